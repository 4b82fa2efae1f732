"""Braze cohorts: lists of users that a partner keeps.

Needs: the partner's name and key, as Braze gives them, the customer's data import key, and the instance. Members are
known by user id. A cohort's id is ours: the audience's key. Requests are small, because the vendor takes the newest
change of each user in them and says nothing of a single one.

Sources: action-destinations `braze-cohorts` (2026-08-21); braze.com/docs/api/errors (read 2026-08-13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.checks import check_label
from app.activation.destination import Attempt, Conversation, Destination, Limits, Request, Secret, post
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.outcome import Delivered, by_status
from app.activation.payload import JsonObject, Payload
from app.activation.settings import Rule
from app.activation.wire import iso

Instance = Literal[
    "iad-01", "iad-02", "iad-03", "iad-04", "iad-05", "iad-06", "iad-07", "iad-08", "us-09", "us-10",
    "fra-01", "fra-02", "au-01", "id-01", "jp-01",
]  # fmt: skip
MEMBERS_MAX = 75


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    partner: Annotated[str, Rule("The partner's name in the path.", check=check_label)]
    partner_api_key: Annotated[Secret, Rule("The partner's key.")]
    client_secret: Annotated[Secret, Rule("The customer's data import key.")]
    instance: Annotated[Instance, Rule("Where the account lives: the part after rest. in the REST endpoint.")]


def member(payload: Payload, settings: Settings) -> Member | None:
    user = payload.ids.get("user_id")
    return Member(user, (user,)) if user else None


def tell(path: str, body: JsonObject, settings: Settings) -> Request:
    domain = "eu" if settings.instance.startswith("fra") else "com"
    keys = {
        "partner_api_key": settings.partner_api_key.reveal(),
        "client_secret": settings.client_secret.reveal(),
    }
    url = f"https://rest.{settings.instance}.braze.{domain}/partners/{settings.partner}/cohorts{path}"
    return post(url, keys | body)


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    body: JsonObject = {"name": name.name, "cohort_id": name.audience, "created_at": iso(attempt.now_s * 1000)}
    outcome = by_status((yield tell("", body, settings)), attempt.now_s, reset_header="x-ratelimit-reset")
    return name.audience if isinstance(outcome, Delivered) else outcome


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    users: JsonObject = {"user_ids": [each.cells[0] for each in upload.members]}
    if not upload.add:
        users["should_remove"] = True
    response = yield tell("/users", {"cohort_id": upload.list, "cohort_changes": [users]}, settings)
    return by_status(response, attempt.now_s, reset_header="x-ratelimit-reset")


DESTINATION = Destination(
    name="braze_cohorts",
    settings=Settings,
    limits=Limits(requests_per_s=5, in_flight_max=4, body_bytes_max=4_000_000),
    calls=("identify",),
    lists=ListVendor(member=member, change=change, make=make, add_max=MEMBERS_MAX, remove_max=MEMBERS_MAX),
)
