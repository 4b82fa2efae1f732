"""Customer.io: attributes and events of people.

Needs: the Track API's site id and key, and the region. Known by user id, else by e-mail address, else an event of an
anonymous id. Both the change's time (late retries never undo a newer value) and an event's id (a ULID made of the
message id) go along, so repeats are harmless. Accepted is not applied: processing follows later.

Sources: docs.customer.io Track API, OpenAPI of 2026-08; github.com/segmentio/action-destinations (read 2026-08-21).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from app.activation.destination import Attempt, Conversation, Destination, Erase, Limits, Request, Secret, post
from app.activation.outcome import Delivered, Outcome, Reason, Rejected, Response, by_index, by_status
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, objects
from app.activation.request import basic
from app.activation.settings import Rule

HOSTS = {"US": "https://track.customer.io", "EU": "https://track-eu.customer.io"}
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
ID_BYTES_MAX = 150
MULTI_STATUS = 207


@dataclass(frozen=True, slots=True)
class Settings:
    site_id: Annotated[Secret, Rule("Site id of the Track API credentials.")]
    api_key: Annotated[Secret, Rule("Key of the Track API credentials.")]
    region: Annotated[Literal["US", "EU"], Rule("Where the workspace lives.")] = "US"


def ulid(uuid: str) -> str:
    """The same 128 bits in the letters of a ULID."""
    bits = UUID(uuid).int
    return "".join(CROCKFORD[bits >> shift & 31] for shift in range(125, -1, -5))


def person(payload: Payload) -> dict[str, str]:
    ids = payload.ids
    known = {"id": ids.get("user_id"), "email": ids.get("email")}
    if payload.is_track:
        known["anonymous_id"] = ids.get("anonymous_id")
    found = ((name, value) for name, value in known.items() if value and len(value.encode()) <= ID_BYTES_MAX)
    return dict([next(found, ("", ""))])


def key(payload: Payload, settings: Settings) -> str | None:
    return "".join(person(payload).values()) or None


def item(payload: Payload) -> JsonObject:
    who = {"type": "person", "identifiers": person(payload), "timestamp": payload.at_s}
    if payload.is_track:
        told = {"action": "event", "id": ulid(payload.id), "name": payload.event}
        return who | told | {"attributes": payload.fields}
    email = {"email": payload.ids["email"]} if "email" in payload.ids else {}
    return who | {"action": "identify", "attributes": payload.fields | email}


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    body = {"batch": [item(payload) for payload in payloads]}
    return post(f"{HOSTS[settings.region]}/api/v2/batch", body, headers=basic(settings.site_id, settings.api_key))


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    outcome = by_status(response, now_s)
    if not isinstance(outcome, Delivered) or response.status != MULTI_STATUS:
        return outcome
    failed = {}
    for error in objects(json_of(response), "errors"):
        index = dig(error, "batch_index")
        if not isinstance(index, int):
            return Rejected(Reason.REFUSED)
        failed[index] = Rejected(Reason.REFUSED)
    return by_index(len(payloads), failed)


def erase(payload: Payload, settings: Settings, attempt: Attempt) -> Conversation:
    entry = {"type": "person", "action": "delete", "identifiers": person(payload)}
    url = f"{HOSTS[settings.region]}/api/v2/batch"
    response = yield post(url, {"batch": [entry]}, headers=basic(settings.site_id, settings.api_key))
    return classify(response, [payload], attempt.now_s)


DESTINATION = Destination(
    name="customerio",
    settings=Settings,
    account=("site_id",),
    limits=Limits(requests_per_s=30, in_flight_max=10, batch_items_max=100, body_bytes_max=500_000),
    key=key,
    group=lambda payload, settings: "",
    build=build,
    classify=classify,
    erase=Erase(erase, knows=lambda payload, settings: bool("".join(person(payload).values()))),
)
