"""Customer.io manual segments.

Needs: site id and API key of the tracking API, and the region; to have segments made, an App API key too. Members are
known by user id, else by e-mail address; the two never share a request. Segments silently pass over ids that they do
not know: people have to be there, by the event destination `customerio` for one.

Sources: customer.io's Track OpenAPI (2026-08); rudder-transformer `customerio_audience` (2026-08-06).
Not verified: the App API's request that makes a segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, post
from app.activation.hashing import email_of
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.outcome import Delivered, Pause, Reason, Rejected, by_status, unreadable
from app.activation.payload import Payload
from app.activation.reply import json_of, word
from app.activation.request import basic
from app.activation.settings import Rule

HOSTS = {"US": "https://track.customer.io", "EU": "https://track-eu.customer.io"}
APP_HOSTS = {"US": "https://api.customer.io", "EU": "https://api-eu.customer.io"}
ID_BYTES_MAX = 150
NOT_FOUND = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    site_id: Annotated[str, Rule("Of the workspace.")]
    api_key: Annotated[Secret, Rule("The tracking API's key.")]
    region: Annotated[Literal["US", "EU"], Rule("Where the workspace lives.")] = "US"
    app_api_key: Annotated[Secret | None, Rule("The App API's key, to have segments made.")] = None


def member(payload: Payload, settings: Settings) -> Member | None:
    for kind, value in (("id", payload.ids.get("user_id")), ("email", email_of(payload))):
        if value and len(value.encode()) <= ID_BYTES_MAX:
            return Member(value, (value,), kind)
    return None


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    if settings.app_api_key is None:
        return Pause(Reason.LIST_GONE)
    body = {"segment": {"name": name.name, "description": f"Audience {name.audience}"}}
    response = yield post(f"{APP_HOSTS[settings.region]}/v1/segments", body, bearer=settings.app_api_key)
    outcome = by_status(response, attempt.now_s)
    return (word(json_of(response), "segment", "id") or unreadable()) if isinstance(outcome, Delivered) else outcome


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    what = "add_customers" if upload.add else "remove_customers"
    path = f"/api/v1/segments/{upload.list}/{what}?id_type={upload.members[0].group}"
    body = {"ids": [each.cells[0] for each in upload.members]}
    response = yield post(HOSTS[settings.region] + path, body, headers=basic(settings.site_id, settings.api_key))
    return Rejected(Reason.LIST_GONE) if response.status == NOT_FOUND else by_status(response, attempt.now_s)


DESTINATION = Destination(
    name="customerio_segments",
    settings=Settings,
    limits=Limits(requests_per_s=10, in_flight_max=5, body_bytes_max=500_000),
    calls=("identify",),
    lists=ListVendor(member=member, change=change, make=make),
)
