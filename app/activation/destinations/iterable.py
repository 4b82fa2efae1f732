"""Iterable: user fields and custom events.

Needs: a server-side API key, and the project's type, which decides how users are known. Nothing has to exist
beforehand, but a field keeps the type of its first value. Events carry the message id, so a repeat overwrites itself.
Singly 500 requests per second go through; `bulk` sends 1,000 users in each of 5, with a little more delay.
A user that was erased by law is settled as rejected, and never sent again.

Sources: api.iterable.com/api/docs and the limits in rudder-transformer's README (read 2026-08-06).
Not verified: whether createdAt is read as seconds; the vendor's words are "Unix timestamp".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal
from urllib.parse import quote

from app.activation.destination import Destination, Erase, Limits, Request, Secret, once, post, send
from app.activation.hashing import email_of
from app.activation.outcome import Delivered, Outcome, Reason, Rejected, Response, by_index, by_status
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, texts
from app.activation.settings import Rule

HOSTS = {"US": "https://api.iterable.com", "EU": "https://api.eu.iterable.com"}


@dataclass(frozen=True, slots=True)
class Settings:
    api_key: Annotated[Secret, Rule("Server-side API key.")]
    project_type: Annotated[Literal["email", "userId", "hybrid"], Rule("How the project knows its users.")]
    data_center: Annotated[Literal["US", "EU"], Rule("Where the project lives.")] = "US"
    bulk: Annotated[bool, Rule("1,000 users per request, 5 requests per second.")] = False


def person(payload: Payload, settings: Settings) -> JsonObject:
    who: JsonObject = {}
    if "user_id" in payload.ids and settings.project_type != "email":
        who["userId"] = payload.ids["user_id"]
    email = email_of(payload)
    if email is not None and settings.project_type != "userId":
        who["email"] = email
    return who


def key(payload: Payload, settings: Settings) -> str | None:
    who = person(payload, settings)
    return str(who.get("userId") or who.get("email")) if who else None


def item(payload: Payload, settings: Settings) -> JsonObject:
    who = person(payload, settings)
    if payload.is_track:
        told = {"eventName": payload.event, "id": payload.id, "createdAt": payload.at_s}
        return who | told | {"dataFields": payload.fields}
    prefer = {"preferUserId": True} if "userId" in who else {}
    return who | prefer | {"mergeNestedObjects": True, "dataFields": payload.fields}


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    items = [item(payload, settings) for payload in payloads]
    path, body = ("events/track", items[0]) if payloads[0].is_track else ("users/update", items[0])
    if settings.bulk and payloads[0].is_track:
        path, body = "events/trackBulk", {"events": items}
    elif settings.bulk:
        path, body = "users/bulkUpdate", {"users": items, "updateOnly": False}
    return post(f"{HOSTS[settings.data_center]}/api/{path}", body, headers={"Api-Key": settings.api_key})


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    outcome = by_status(response, now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    reply = json_of(response)
    bad = {*texts(reply, "invalidEmails"), *texts(reply, "invalidUserIds")}
    updates = dig(reply, "failedUpdates")
    for name in updates if isinstance(updates, dict) else ():
        bad |= {*texts(updates, name)}
    events = {*texts(reply, "disallowedEventNames")}
    failed = {
        index: Rejected(Reason.REFUSED)
        for index, payload in enumerate(payloads)
        if events & {payload.event} or bad & {*payload.ids.values(), email_of(payload)}
    }
    return by_index(len(payloads), failed)


def erase(payload: Payload, settings: Settings) -> Request:
    who = person(payload, settings)
    path = f"byUserId/{quote(str(who['userId']), safe='')}" if "userId" in who else quote(str(who["email"]), safe="")
    url = f"{HOSTS[settings.data_center]}/api/users/{path}"
    return send("DELETE", url, headers={"Api-Key": settings.api_key})


DESTINATION = Destination(
    name="iterable",
    settings=Settings,
    account=("api_key", "bulk"),
    limits=Limits(requests_per_s=500, in_flight_max=50, body_bytes_max=4_000_000, reply_bytes_max=1_000_000),
    limits_for=lambda limits, settings: (
        replace(limits, requests_per_s=5, batch_items_max=1_000) if settings.bulk else limits
    ),
    key=key,
    build=build,
    classify=classify,
    erase=Erase(once(erase), knows=lambda payload, settings: bool(person(payload, settings))),
)
