"""Klaviyo: profile properties and events.

Needs: a private API key that may write profiles and events. Properties are created on first use; null clears one,
which the vendor's bulk import could not do. Known by user id (external id) and e-mail address. Events carry the message
id, so repeats are dropped. 700 profiles a minute are allowed, hence 11 a second. Who is erased is deleted by e-mail
address, for which the key has to be allowed to write data privacy.

Sources: developers.klaviyo.com rate limits, create-or-update profile, events (2026-07-15).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.activation.destination import Destination, Erase, Limits, Request, Secret, once, post
from app.activation.outcome import Outcome, Pause, Reason, Response, by_status
from app.activation.payload import JsonObject, Payload
from app.activation.settings import Rule

HOST = "https://a.klaviyo.com/api"
ID_CHARS_MAX = 255
GONE = 410


def check_revision(text: str) -> str | None:
    return None if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else "expected a date, such as 2026-07-15"


@dataclass(frozen=True, slots=True)
class Settings:
    api_key: Annotated[Secret, Rule("Private API key.")]
    revision: Annotated[str, Rule("Of the API; the vendor retires old ones.", check=check_revision)] = "2026-07-15"


def person(payload: Payload) -> JsonObject:
    ids = payload.ids
    user = ids.get("user_id", "")
    known = {"external_id": user if len(user) <= ID_CHARS_MAX else "", "email": ids.get("email", "")}
    return {name: value for name, value in known.items() if value}


def key(payload: Payload, settings: Settings) -> str | None:
    return str(next(iter(person(payload).values()), "")) or None


def headers(settings: Settings) -> dict[str, str | Secret]:
    return {
        "Authorization": Secret(f"Klaviyo-API-Key {settings.api_key.reveal()}"),
        "revision": settings.revision,
        "Content-Type": "application/vnd.api+json",
        "Accept": "application/vnd.api+json",
    }


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    payload = payloads[0]
    if payload.is_track:
        path, kind = "/events", "event"
        attributes: JsonObject = {
            "unique_id": payload.id,
            "time": payload.at,
            "properties": payload.fields,
            "metric": {"data": {"type": "metric", "attributes": {"name": payload.event}}},
            "profile": {"data": {"type": "profile", "attributes": person(payload)}},
        }
    else:
        path, kind = "/profile-import", "profile"
        attributes = person(payload) | {"properties": payload.fields}
    return post(HOST + path, {"data": {"type": kind, "attributes": attributes}}, headers=headers(settings))


def erase(payload: Payload, settings: Settings) -> Request:
    who = {"data": {"type": "profile", "attributes": {"email": payload.ids["email"]}}}
    job = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": who}}}
    return post(f"{HOST}/data-privacy-deletion-jobs", job, headers=headers(settings))


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    if response.status == GONE:  # the revision was retired: another one is a setting
        return Pause(Reason.GONE)
    return by_status(response, now_s)


DESTINATION = Destination(
    name="klaviyo",
    settings=Settings,
    limits=Limits(requests_per_s=11, in_flight_max=10, body_bytes_max=100_000),
    key=key,
    build=build,
    classify=classify,
    erase=Erase(once(erase), knows=lambda payload, settings: "email" in payload.ids),
)
