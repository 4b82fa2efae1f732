"""Amplitude: user properties and events.

Needs: the project's API key, which goes in the body, and the region. Known by user id, else an anonymous id as the
device. Properties are set by `$identify` events, so both kinds share requests, are judged one by one, and are
deduplicated by the message id for 7 days. More than 1,800 property updates of one user per hour are dropped silently.

Sources: amplitude.com/docs http-v2, batch-event-upload, identify (2026). That the HTTP API takes `$identify` is known
from rudder-transformer only (2026-08).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.destination import Destination, Erase, Limits, Request, Secret, once, post
from app.activation.outcome import (
    Delivered,
    Outcome,
    Partial,
    Pause,
    Reason,
    Rejected,
    Response,
    Retry,
    by_index,
    by_status,
)  # fmt: skip
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_or_none, word
from app.activation.request import basic
from app.activation.settings import Rule

DELETIONS = {
    "US": "https://amplitude.com/api/2/deletions/users",
    "EU": "https://analytics.eu.amplitude.com/api/2/deletions/users",
}
HOSTS = {"US": "https://api2.amplitude.com", "EU": "https://api.eu.amplitude.com"}
BAD_REQUEST, THROTTLED = 400, 429
HOLD_S, DAY_S = 30.0, 3600.0
"""For a user who sends too fast; for one whose day is used up, asked again every hour."""
BY_INDEX = ("events_with_invalid_fields", "events_with_missing_fields", "events_with_invalid_id_lengths")


@dataclass(frozen=True, slots=True)
class Settings:
    api_key: Annotated[Secret, Rule("The project's API key.")]
    region: Annotated[Literal["US", "EU"], Rule("Where the project lives.")] = "US"
    secret_key: Annotated[Secret | None, Rule("The project's secret key; only to delete users who are erased.")] = None


def person(payload: Payload) -> JsonObject:
    ids = payload.ids
    if "user_id" in ids:
        return {"user_id": ids["user_id"]}
    return {"device_id": ids["anonymous_id"]} if "anonymous_id" in ids else {}


def key(payload: Payload, settings: Settings) -> str | None:
    return str(next(iter(person(payload).values()), "")) or None


def item(payload: Payload) -> JsonObject:
    event = person(payload) | {"time": payload.at_ms, "insert_id": payload.id}
    if payload.is_track:
        return event | {"event_type": payload.event, "event_properties": payload.fields}
    return event | {"event_type": "$identify", "user_properties": {"$set": payload.fields}}


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    events = [item(payload) for payload in payloads]
    body = {"api_key": settings.api_key.reveal(), "events": events, "options": {"min_id_length": 1}}
    return post(f"{HOSTS[settings.region]}/2/httpapi", body)


def named(reply: object) -> set[int]:
    """Indexes of the events that have a fault, under whatever field."""
    found: set[int] = set()
    for group in BY_INDEX:
        fields = dig(reply, group)
        for indexes in fields.values() if isinstance(fields, dict) else ():
            found |= {index for index in indexes if isinstance(index, int)} if isinstance(indexes, list) else set()
    return found


def throttled(reply: object, payloads: Sequence[Payload]) -> Outcome | None:
    """Those who are throttled wait; nothing of the request was taken, so the rest goes again at once."""
    groups = ("throttled_users", "throttled_devices", "exceeded_daily_quota_users", "exceeded_daily_quota_devices")
    waits: dict[str, float] = {}
    for group, wait_s in zip(groups, (HOLD_S, HOLD_S, DAY_S, DAY_S), strict=True):
        who = dig(reply, group)
        waits |= dict.fromkeys(who, wait_s) if isinstance(who, dict) else {}
    each = tuple(Retry(Reason.THROTTLED, waits.get(str(next(iter(person(one).values()), "")))) for one in payloads)
    return Partial(each) if any(one.after_s is not None for one in each) else None


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    outcome = by_status(response, now_s)
    if isinstance(outcome, Delivered):
        return outcome
    reply: object = json_or_none(response)
    if response.status == THROTTLED:
        return throttled(reply, payloads) or Retry(Reason.THROTTLED, HOLD_S)
    if response.status == BAD_REQUEST and word(reply, "error").startswith("Invalid API key"):
        return Pause(Reason.UNAUTHORIZED)
    bad = named(reply) if response.status == BAD_REQUEST else set()
    if not bad:
        return outcome
    failed: Mapping[int, Retry | Rejected] = {
        # Nothing of a request with a fault is taken: the others go again, without the faulty ones.
        index: Rejected(Reason.REFUSED) if index in bad else Retry(Reason.REFUSED)
        for index in range(len(payloads))
    }
    return by_index(len(payloads), failed)


def erase(payload: Payload, settings: Settings) -> Request:
    assert settings.secret_key is not None, "asked only where there is one"
    body = {"user_ids": [payload.ids["user_id"]], "ignore_invalid_id": "true", "requester": "headwater"}
    return post(DELETIONS[settings.region], body, headers=basic(settings.api_key, settings.secret_key))


DESTINATION = Destination(
    name="amplitude",
    settings=Settings,
    limits=Limits(requests_per_s=20, in_flight_max=10, batch_items_max=500, body_bytes_max=1_000_000),
    key=key,
    repeats=False,
    group=lambda payload, settings: "",
    build=build,
    classify=classify,
    erase=Erase(once(erase), knows=lambda payload, settings: "user_id" in payload.ids, needs="secret_key"),
)
