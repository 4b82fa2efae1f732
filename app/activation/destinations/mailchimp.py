"""Mailchimp: merge fields and events of an audience's members.

Needs: an API key and the audience's id. Merge fields must exist, as text: a name is the key's letters and digits, upper
case, its first 10 (`first_time_shopper` is FIRSTTIMES). Members are known by e-mail address. A member who is there
keeps his status, so nobody who unsubscribed is subscribed again; one who is new gets `subscribed`, or `pending` where
the audience asks for double opt-in. Each member is a request of its own: the vendor's batch would overwrite statuses.

Sources: mailchimp.com/developer fundamentals and errors (read 2026-08-13), its OpenAPI. Merge tags: rudder-transformer;
the vendor's own words on the 10 characters were not found.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from app.activation.checks import check_label
from app.activation.destination import Attempt, Conversation, Destination, Limits, Request, Secret, get, send
from app.activation.fields import letters_and_digits, lower_snake, texts
from app.activation.hashing import email_of, member_md5
from app.activation.outcome import Delivered, Outcome, Reason, Response, Retry, by_status
from app.activation.payload import Payload
from app.activation.reply import dig, json_of, json_or_none
from app.activation.request import basic
from app.activation.settings import Rule

TAG_CHARS_MAX = 10
EVENT_CHARS = range(2, 31)
FORBIDDEN = 403
KEPT_S = 3600

tag = partial(letters_and_digits, chars_max=TAG_CHARS_MAX)


@dataclass(frozen=True, slots=True)
class Settings:
    api_key: Annotated[Secret, Rule("API key.")]
    audience_id: Annotated[str, Rule("The audience (list) id.", check=check_label)]
    datacenter: Annotated[str | None, Rule("Such as us6; else what follows the key's hyphen.", check=check_label)] = (
        None
    )
    double_opt_in: Annotated[bool | None, Rule("Whether new members confirm; else what the audience says.")] = None


def datacenter(settings: Settings) -> str:
    return settings.datacenter or settings.api_key.reveal().rpartition("-")[2]


def check(settings: Settings) -> Mapping[str, str]:
    wrong = check_label(datacenter(settings)) is not None or "-" in datacenter(settings)
    return {"datacenter": "expected, because the key does not end in a hyphen and its data center"} if wrong else {}


def key(payload: Payload, settings: Settings) -> str | None:
    return email_of(payload)


def judged(response: Response, now_s: float) -> Outcome:
    if response.status == FORBIDDEN and json_or_none(response) is None:
        return Retry(Reason.THROTTLED)  # how it says that ten connections are open already
    return by_status(response, now_s)


def status_if_new(url: str, settings: Settings, attempt: Attempt) -> Generator[Request, Response, str | Outcome]:
    """`subscribed` or `pending`, which sends a mail that asks for consent."""
    if settings.double_opt_in is not None:
        return "pending" if settings.double_opt_in else "subscribed"
    known = attempt.memory.recall("status_if_new", attempt.now_s)
    if known is None:
        response = yield get(f"{url}?fields=double_optin", headers=basic("any", settings.api_key))
        outcome = judged(response, attempt.now_s)
        if not isinstance(outcome, Delivered):
            return outcome
        known = "pending" if dig(json_of(response), "double_optin") is True else "subscribed"
        attempt.memory.keep("status_if_new", known, attempt.now_s + KEPT_S)
    return known


def converse(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    payload = payloads[0]
    address = email_of(payload) or ""
    url = f"https://{datacenter(settings)}.api.mailchimp.com/3.0/lists/{settings.audience_id}"
    member = f"{url}/members/{member_md5(address)}"
    login = basic("any", settings.api_key)
    if payload.is_track:
        name = lower_snake(payload.event)[: EVENT_CHARS[-1]]
        event = {"name": name, "occurred_at": payload.at, "properties": texts(payload.fields)}
        return judged((yield send("POST", f"{member}/events", event, headers=login)), attempt.now_s)
    status = yield from status_if_new(url, settings, attempt)
    if not isinstance(status, str):
        return status
    body = {"email_address": address, "status_if_new": status, "merge_fields": texts(payload.fields, tag)}
    put = send("PUT", f"{member}?skip_merge_validation=true", body, headers=login)
    return judged((yield put), attempt.now_s)


DESTINATION = Destination(
    name="mailchimp",
    settings=Settings,
    # Ten connections at once are allowed per user; two are left to others.
    limits=Limits(requests_per_s=10, in_flight_max=8, timeout_s=120),
    key=key,
    repeats=False,
    converse=converse,
    check=check,
    field_name=tag,
)
