"""Braze: attributes and custom events of `/users/track`.

Needs: a REST API key with `users.track`, and the instance that the dashboard's URL names. Attributes and events are
created on first use; setting an attribute is billed as a data point. Known by user id, else by e-mail address. There is
no dedupe: an event whose answer was lost may be counted twice. Who is erased is deleted by user id.

Sources: braze.com/docs/api/endpoints/user_data/post_user_track, /errors, /api_limits (read 2026-08-13).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.destination import Destination, Erase, Limits, Request, Secret, once, post
from app.activation.outcome import Delivered, Outcome, Reason, Rejected, Response, by_index, by_status
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, objects, word
from app.activation.settings import Rule

Instance = Literal[
    "iad-01", "iad-02", "iad-03", "iad-04", "iad-05", "iad-06", "iad-07", "iad-08", "us-09", "us-10",
    "fra-01", "fra-02", "au-01", "id-01", "jp-01",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Settings:
    api_key: Annotated[Secret, Rule("REST API key with the permissions users.track and, for erasure, users.delete.")]
    instance: Annotated[Instance, Rule("Where the account lives: the part after rest. in the REST endpoint.")]
    app_id: Annotated[str | None, Rule("The app that events are filed under.")] = None


def host(settings: Settings) -> str:
    domain = "eu" if settings.instance.startswith("fra") else "com"
    return f"https://rest.{settings.instance}.braze.{domain}"


def person(payload: Payload) -> JsonObject | None:
    ids = payload.ids
    if "user_id" in ids:
        return {"external_id": ids["user_id"]}
    return {"email": ids["email"]} if "email" in ids else None


def key(payload: Payload, settings: Settings) -> str | None:
    who = person(payload)
    return None if who is None else str(who)


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    app = {"app_id": settings.app_id} if settings.app_id else {}
    attributes: list[JsonObject] = []
    events: list[JsonObject] = []
    for payload in payloads:
        who = person(payload) or {}
        if payload.is_track:
            events.append(who | app | {"name": payload.event, "time": payload.at, "properties": payload.fields})
        else:
            attributes.append(payload.fields | who | {"_update_existing_only": False})
    body = {name: items for name, items in (("attributes", attributes), ("events", events)) if items}
    headers = {"X-Braze-Batch": "true"} if len(payloads) > 1 else {}
    return post(f"{host(settings)}/users/track", body, bearer=settings.api_key, headers=headers)


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    outcome = by_status(response, now_s, reset_header="x-ratelimit-reset")
    if not isinstance(outcome, Delivered):
        return outcome
    reply = json_of(response)
    if word(reply, "message") not in ("success", "queued"):  # queued: accepted while they maintain something
        return Rejected(Reason.REFUSED)
    places: dict[str, list[int]] = {"attributes": [], "events": []}
    for index, payload in enumerate(payloads):
        places["events" if payload.is_track else "attributes"].append(index)
    failed = {}
    for error in objects(reply, "errors"):
        at, array = dig(error, "index"), places.get(word(error, "input_array"), [])
        if not isinstance(at, int) or not 0 <= at < len(array):
            return Rejected(Reason.REFUSED)  # an item failed and we cannot tell which: each is sent alone
        failed[array[at]] = Rejected(Reason.REFUSED)
    return by_index(len(payloads), failed)


def erase(payload: Payload, settings: Settings) -> Request:
    return post(f"{host(settings)}/users/delete", {"external_ids": [payload.ids["user_id"]]}, bearer=settings.api_key)


DESTINATION = Destination(
    name="braze",
    settings=Settings,
    limits=Limits(requests_per_s=100, in_flight_max=50, batch_items_max=75, body_bytes_max=4_000_000),
    key=key,
    repeats=False,
    group=lambda payload, settings: "",
    build=build,
    classify=classify,
    erase=Erase(once(erase), knows=lambda payload, settings: "user_id" in payload.ids),
)
