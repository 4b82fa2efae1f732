"""Intercom: custom attributes of contacts, and events.

Needs: an access token and the region. Custom attributes must exist. A contact is looked up by user id, then by e-mail
address (the answer is kept for a day), and made where there is none; where several match, the change is refused:
nobody guesses. Events drop repeats by person, name and second. An event's metadata is cut to 10 keys.

Sources: Intercom's OpenAPI 2.16 (2026-08-21), the same shapes as version 2.10, which is asked for.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.destination import Attempt, Conversation, Destination, Erase, Limits, Request, Secret, send
from app.activation.outcome import Delivered, Outcome, Reason, Rejected, Response, Retry, by_status
from app.activation.payload import Payload
from app.activation.reply import json_of, objects, word
from app.activation.settings import Rule

HOSTS = {"US": "https://api.intercom.io", "EU": "https://api.eu.intercom.io", "AU": "https://api.au.intercom.io"}
NOT_FOUND, CONFLICT = 404, 409
METADATA_KEYS_MAX = 10
KEPT_S = 86_400
AGAIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Settings:
    access_token: Annotated[Secret, Rule("The workspace's access token.")]
    region: Annotated[Literal["US", "EU", "AU"], Rule("Where the workspace lives.")] = "US"


class NotAnswered(Exception):
    """The look-up came to nothing; `outcome` says what follows."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


def request(settings: Settings, method: str, path: str, body: object) -> Request:
    url = HOSTS[settings.region] + path
    return send(method, url, body, bearer=settings.access_token, headers={"Intercom-Version": "2.10"})


def judged(response: Response, now_s: float) -> Outcome:
    if response.status == CONFLICT:  # its search lags behind what was made a moment ago
        return Retry(Reason.REFUSED, AGAIN_S)
    return by_status(response, now_s, reset_header="x-ratelimit-reset")


def found(payload: Payload, settings: Settings, attempt: Attempt) -> Generator[Request, Response, str | None]:
    """The contact's id; None where there is no such contact."""
    for field, kind in (("external_id", "user_id"), ("email", "email")):
        if kind not in payload.ids:
            continue
        value = payload.ids[kind]
        known = attempt.memory.recall(f"{field}:{value}", attempt.now_s)
        if known:
            return known
        query = {"query": {"field": field, "operator": "=", "value": value}}
        response = yield request(settings, "POST", "/contacts/search", query)
        outcome = judged(response, attempt.now_s)
        if not isinstance(outcome, Delivered):
            raise NotAnswered(outcome)
        contacts = objects(json_of(response), "data")
        if len(contacts) > 1:
            raise NotAnswered(Rejected(Reason.REFUSED))
        if contacts:
            contact = word(contacts[0], "id")
            attempt.memory.keep(f"{field}:{value}", contact, attempt.now_s + KEPT_S)
            return contact
    return None


def forget(payload: Payload, attempt: Attempt) -> None:
    for field, kind in (("external_id", "user_id"), ("email", "email")):
        attempt.memory.forget(f"{field}:{payload.ids.get(kind)}")


def identify(payload: Payload, settings: Settings, attempt: Attempt) -> Conversation:
    contact = yield from found(payload, settings, attempt)
    if contact is not None:
        response = yield request(settings, "PUT", f"/contacts/{contact}", {"custom_attributes": payload.fields})
        if response.status == NOT_FOUND:  # erased or merged since it was looked up
            forget(payload, attempt)
            return Retry(Reason.REFUSED, attempts_max=3)
        return judged(response, attempt.now_s)
    ids = payload.ids
    known = {"external_id": ids.get("user_id"), "email": ids.get("email")}
    who = {name: value for name, value in known.items() if value}
    body = {"role": "user"} | who | {"custom_attributes": payload.fields}
    return judged((yield request(settings, "POST", "/contacts", body)), attempt.now_s)


def track(payload: Payload, settings: Settings, attempt: Attempt) -> Conversation:
    ids = payload.ids
    known = {"user_id": ids.get("user_id"), "email": ids.get("email")}
    metadata = dict(list(payload.fields.items())[:METADATA_KEYS_MAX])
    told = {"event_name": payload.event, "created_at": payload.at_s, "metadata": metadata}
    body = told | {name: value for name, value in known.items() if value}
    response = yield request(settings, "POST", "/events", body)
    if response.status == NOT_FOUND:  # the identify that makes the contact may be on its way
        return Retry(Reason.REFUSED, AGAIN_S, attempts_max=2)
    return judged(response, attempt.now_s)


def converse(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    try:
        talk = track if payloads[0].is_track else identify
        return (yield from talk(payloads[0], settings, attempt))
    except NotAnswered as end:
        return end.outcome


def key(payload: Payload, settings: Settings) -> str | None:
    return payload.ids.get("user_id") or payload.ids.get("email")


def erase(payload: Payload, settings: Settings, attempt: Attempt) -> Conversation:
    try:
        contact = yield from found(payload, settings, attempt)
    except NotAnswered as end:
        return end.outcome
    if contact is None:
        return Delivered()
    response = yield request(settings, "POST", "/user_delete_requests", {"intercom_user_id": contact})
    forget(payload, attempt)
    return Delivered() if response.status == NOT_FOUND else judged(response, attempt.now_s)


DESTINATION = Destination(
    name="intercom",
    settings=Settings,
    limits=Limits(requests_per_s=8, in_flight_max=8),
    key=key,
    repeats=False,
    converse=converse,
    erase=Erase(erase, knows=lambda payload, settings: key(payload, settings) is not None),
)
