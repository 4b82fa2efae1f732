"""Klaviyo: profile properties and events.

Needs: a private API key that may write profiles and events. Properties are created on first use; null clears one.
Known by user id (external id) and e-mail address. Events carry the message id, so repeats are dropped. 700 profiles a
minute are allowed, hence 11 a second. `bulk` is for more, 150 requests a minute: profiles as jobs whose end is awaited;
events together, of which the vendor says no more than that it has them. Null goes alone there, too: an import cannot
clear. Whom a job refuses without a name is told alone. Who is erased is deleted by e-mail address, for which the key
has to be allowed to write data privacy.

Sources: developers.klaviyo.com rate limits, create-or-update profile, events, bulk events (2026-07-15); as in
`app.activation.klaviyo_api`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from app.activation.destination import Attempt, Conversation, Destination, Erase, Limits, Request, Secret, once
from app.activation.klaviyo_api import check_revision, import_profiles, judged, judged_together, tell
from app.activation.payload import JsonObject, Payload
from app.activation.settings import Rule

ID_CHARS_MAX = 255


@dataclass(frozen=True, slots=True)
class Settings:
    api_key: Annotated[Secret, Rule("Private API key.")]
    revision: Annotated[str, Rule("Of the API; the vendor retires old ones.", check=check_revision)] = "2026-07-15"
    bulk: Annotated[bool, Rule("1,000 profiles or events per request, 2 requests per second.")] = False


def person(payload: Payload) -> JsonObject:
    ids = payload.ids
    user = ids.get("user_id", "")
    known = {"external_id": user if len(user) <= ID_CHARS_MAX else "", "email": ids.get("email", "")}
    return {name: value for name, value in known.items() if value}


def key(payload: Payload, settings: Settings) -> str | None:
    return str(next(iter(person(payload).values()), "")) or None


def group(payload: Payload, settings: Settings) -> str:
    """The vendor's import cannot clear a property, so whatever is null goes alone."""
    cleared = not payload.is_track and None in payload.fields.values()
    return payload.id if cleared else str(payload.call.get("type"))


def profile(payload: Payload) -> JsonObject:
    return person(payload) | {"properties": payload.fields}


def event(payload: Payload) -> JsonObject:
    return {
        "unique_id": payload.id,
        "time": payload.at,
        "properties": payload.fields,
        "metric": {"data": {"type": "metric", "attributes": {"name": payload.event}}},
    }


def of_whom(payload: Payload) -> JsonObject:
    return {"data": {"type": "profile", "attributes": person(payload)}}


def together(payload: Payload) -> JsonObject:
    events = {"data": [{"type": "event", "attributes": event(payload)}]}
    return {"type": "event-bulk-create", "attributes": {"profile": of_whom(payload), "events": events}}


def converse(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    first, count = payloads[0], len(payloads)
    if count == 1:
        path, kind, attributes = "/profile-import", "profile", profile(first)
        if first.is_track:
            path, kind, attributes = "/events", "event", event(first) | {"profile": of_whom(first)}
        return judged((yield tell("POST", path, {"type": kind, "attributes": attributes}, settings)), attempt.now_s)
    if not first.is_track:
        return (yield from import_profiles([profile(payload) for payload in payloads], settings, attempt))
    events = {"events-bulk-create": {"data": [together(payload) for payload in payloads]}}
    job = {"type": "event-bulk-create-job", "attributes": events}
    return judged_together((yield tell("POST", "/event-bulk-create-jobs", job, settings)), count, attempt.now_s)


def erase(payload: Payload, settings: Settings) -> Request:
    who = {"data": {"type": "profile", "attributes": {"email": payload.ids["email"]}}}
    job = {"type": "data-privacy-deletion-job", "attributes": {"profile": who}}
    return tell("POST", "/data-privacy-deletion-jobs", job, settings)


def limits_for(limits: Limits, settings: Settings) -> Limits:
    if not settings.bulk:
        return limits
    return replace(
        limits, requests_per_s=2, jobs_max=10, batch_items_max=1_000, body_bytes_max=5_000_000,
        reply_bytes_max=1_000_000,
    )  # fmt: skip


DESTINATION = Destination(
    name="klaviyo",
    settings=Settings,
    account=("api_key", "bulk"),
    limits=Limits(requests_per_s=11, in_flight_max=10, body_bytes_max=100_000),
    limits_for=limits_for,
    key=key,
    group=group,
    converse=converse,
    erase=Erase(once(erase), knows=lambda payload, settings: "email" in payload.ids),
)
