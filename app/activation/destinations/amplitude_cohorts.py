"""Amplitude cohorts.

Needs: the project's API key and secret key, its app id, a login's e-mail address as the owner, and a user id to begin
a cohort with, since none can be made empty; that one stays in it. Members are known by user id. The vendor bears one
request at a time for a cohort, and says so with 429.

Sources: action-destinations `amplitude-cohorts` (2026-08-21); amplitude.com/docs behavioral cohorts (2026).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, post
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.outcome import Delivered, Reason, Rejected, by_index, by_status, unreadable
from app.activation.payload import Payload
from app.activation.reply import json_of, objects, texts, word
from app.activation.request import basic
from app.activation.settings import Rule

HOSTS = {"US": "https://amplitude.com", "EU": "https://analytics.eu.amplitude.com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    api_key: Annotated[Secret, Rule("The project's API key.")]
    secret_key: Annotated[Secret, Rule("The project's secret key.")]
    app_id: Annotated[str, Rule("The project's id.")]
    owner: Annotated[str, Rule("E-mail address of the login that owns the cohorts.")]
    seed_user_id: Annotated[str, Rule("A user that is there; each new cohort begins with it.")]
    region: Annotated[Literal["US", "EU"], Rule("Where the project lives.")] = "US"


def member(payload: Payload, settings: Settings) -> Member | None:
    user = payload.ids.get("user_id")
    return Member(user, (user,)) if user else None


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    body = {
        "name": name.name,
        "app_id": int(settings.app_id) if settings.app_id.isdecimal() else settings.app_id,
        "id_type": "BY_USER_ID",
        "ids": [settings.seed_user_id],
        "owner": settings.owner,
        "published": True,
    }
    url = f"{HOSTS[settings.region]}/api/3/cohorts/upload"
    response = yield post(url, body, headers=basic(settings.api_key, settings.secret_key))
    outcome = by_status(response, attempt.now_s)
    return (word(json_of(response), "cohortId") or unreadable()) if isinstance(outcome, Delivered) else outcome


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    ids = [each.cells[0] for each in upload.members]
    one = {"ids": ids, "id_type": "BY_NAME", "operation": "ADD" if upload.add else "REMOVE"}
    body = {"cohort_id": upload.list, "skip_invalid_ids": True, "memberships": [one]}
    url = f"{HOSTS[settings.region]}/api/3/cohorts/membership"
    response = yield post(url, body, headers=basic(settings.api_key, settings.secret_key))
    outcome = by_status(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    results = objects(json_of(response), "memberships_result")
    skipped = {id_ for result in results for id_ in texts(result, "skipped_ids")}
    # Whom the vendor does not know is on no cohort of its either.
    failed = {at: Rejected(Reason.REFUSED) for at, id_ in enumerate(ids) if id_ in skipped and upload.add}
    return by_index(len(ids), failed)


DESTINATION = Destination(
    name="amplitude_cohorts",
    settings=Settings,
    limits=Limits(requests_per_s=1, in_flight_max=1, reply_bytes_max=1_000_000),
    calls=("identify",),
    lists=ListVendor(member=member, change=change, make=make, add_max=100, remove_max=100),
)
