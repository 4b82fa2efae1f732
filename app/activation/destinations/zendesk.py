"""Zendesk: user fields of end users, and events on their profiles.

Needs: the subdomain, and either an agent's e-mail address with an API token, or an OAuth access token. User fields must
exist. Zendesk insists on a `name`: the trait `name`, else first and last name, else the e-mail address's local part,
else the user id. Known by user id (external id, at most 60 characters) and e-mail address. Events need a plan with
custom data; the vendor finds the user by the e-mail address, without one we look it up by its external id.
Plans allow 200 to 2,500 requests a minute: set `rate_per_s` on a small one. `bulk` sends 100 users with a request, as a
job whose end is waited for. The account has to have bulk imports switched on; else the vendor answers 403, and every
user goes alone after all.

Sources: developer.zendesk.com create_or_update, create_or_update_many, job statuses, tracking events, rate limits
(2026); the order and words of a job's results: support.zendesk.com, the vendor's answer (2021). The plans' numbers are
from one source only. Not verified: whether a job's users count for the limit of one user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated
from urllib.parse import quote

from app.activation import polling
from app.activation.checks import check_label
from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, get, post
from app.activation.fields import as_text, lower_snake
from app.activation.outcome import (
    Delivered,
    Outcome,
    Partial,
    Reason,
    Rejected,
    Response,
    Retry,
    by_index,
    by_status,
    unreadable,
)
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, json_or_none, objects, word
from app.activation.request import Headers, basic
from app.activation.settings import Rule

ID_CHARS_MAX = 60
NAMES = ("name", "first_name", "last_name", "firstName", "lastName")
FORBIDDEN, CONFLICT, THROTTLED = 403, 409, 429
POLLS_S = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 120.0)
COMPLETED = "completed"
ENDED = {COMPLETED, "failed", "killed"}
USER_WAIT_S = 12.0
"""One user may be written five times a minute."""


@dataclass(frozen=True, slots=True)
class Settings:
    subdomain: Annotated[str, Rule("The part before .zendesk.com.", check=check_label)]
    email: Annotated[str | None, Rule("The agent that api_token belongs to.")] = None
    api_token: Annotated[Secret | None, Rule("An API token.")] = None
    access_token: Annotated[Secret | None, Rule("An OAuth access token, instead of the two above.")] = None
    bulk: Annotated[bool, Rule("100 users per request, as jobs; bulk imports have to be switched on.")] = False


def check(settings: Settings) -> Mapping[str, str]:
    pair = settings.email is not None and settings.api_token is not None
    none = settings.email is None and settings.api_token is None
    sound = none if settings.access_token is not None else pair
    return {} if sound else {"api_token": "expected either email and api_token, or access_token"}


def name(payload: Payload) -> str:
    traits, ids = payload.traits, payload.ids
    whole = as_text(traits.get("name"))
    parts = (as_text(traits.get(a) or traits.get(b)) for a, b in (NAMES[1::2], NAMES[2::2]))
    local = ids.get("email", "").partition("@")[0]
    return whole or " ".join(part for part in parts if part) or local or ids.get("user_id", "")


def key(payload: Payload, settings: Settings) -> str | None:
    return short_user_id(payload) or payload.ids.get("email")


def short_user_id(payload: Payload) -> str:
    user = payload.ids.get("user_id", "")
    return user if len(user) <= ID_CHARS_MAX else ""


def login(settings: Settings) -> Headers:
    if settings.access_token is not None:
        return {"Authorization": Secret(f"Bearer {settings.access_token.reveal()}")}
    return basic(f"{settings.email}/token", settings.api_token or "")


def host(settings: Settings) -> str:
    return f"https://{settings.subdomain}.zendesk.com/api/v2"


def group(payload: Payload, settings: Settings) -> str:
    """Events go alone."""
    return payload.id if payload.is_track else ""


def user(payload: Payload) -> JsonObject:
    fields = {lower_snake(field): value for field, value in payload.fields.items() if field not in NAMES}
    known = {"email": payload.ids.get("email"), "external_id": short_user_id(payload)}
    about: JsonObject = {"name": name(payload), "verified": True, "user_fields": fields}
    return about | {field: value for field, value in known.items() if value}


def many(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    """A job, to its end."""
    body = {"users": [user(payload) for payload in payloads]}
    response = yield post(f"{host(settings)}/users/create_or_update_many.json", body, headers=login(settings))
    if response.status == FORBIDDEN:
        return Rejected(Reason.NOT_SUPPORTED)  # each alone then; where the credentials are refused, that tells
    outcome = judged(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return Retry(Reason.THROTTLED, USER_WAIT_S) if isinstance(outcome, Partial) else outcome
    job = quote(word(json_of(response), "job_status", "id"), safe="")
    if not job:
        return unreadable()
    url = f"{host(settings)}/job_statuses/{job}.json"
    ended = yield from polling.ended(
        lambda after_s: get(url, headers=login(settings), after_s=after_s),
        lambda reply: word(json_or_none(reply), "job_status", "status") in ENDED,
        POLLS_S,
        lambda reply: judged(reply, attempt.now_s),
    )
    if not isinstance(ended, Response):
        return ended
    told = dig(json_of(ended), "job_status")
    if word(told, "status") != COMPLETED:
        return Retry(Reason.SERVER_ERROR)
    return of_results(objects(told, "results"), len(payloads))


def of_results(results: Sequence[JsonObject], count: int) -> Outcome:
    """In the order of the users."""
    if len(results) != count:
        return unreadable()
    words = [word(one, "status").lower() for one in results]
    return by_index(count, {at: Rejected(Reason.REFUSED) for at, told in enumerate(words) if told == "failed"})


def track(payload: Payload, settings: Settings, attempt: Attempt) -> Conversation:
    url, email = f"{host(settings)}/user_profiles/events", payload.ids.get("email")
    who: JsonObject = {"type": "email", "value": email}
    if email is None:
        query = f"/users/search.json?external_id={quote(short_user_id(payload), safe='')}"
        response = yield get(host(settings) + query, headers=login(settings))
        outcome = judged(response, attempt.now_s)
        if not isinstance(outcome, Delivered):
            return outcome
        found = word(json_of(response), "users", 0, "id")
        if not found:
            return Rejected(Reason.NO_IDENTIFIER)
        url, who = f"{host(settings)}/users/{found}/events", {"type": "external_id", "value": short_user_id(payload)}
    profile = {"type": "customer", "source": "headwater", "identifiers": [who]}
    event = {
        "type": lower_snake(payload.event),
        "source": "headwater",
        "description": payload.event,
        "created_at": payload.at,
        "properties": payload.fields,
    }
    return judged((yield post(url, {"event": event, "profile": profile}, headers=login(settings))), attempt.now_s)


def converse(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    if payloads[0].is_track:
        return (yield from track(payloads[0], settings, attempt))
    if len(payloads) > 1:
        return (yield from many(payloads, settings, attempt))
    url, body = f"{host(settings)}/users/create_or_update.json", {"user": user(payloads[0])}
    return judged((yield post(url, body, headers=login(settings))), attempt.now_s)


def judged(response: Response, now_s: float) -> Outcome:
    if response.status == CONFLICT:
        return Retry(Reason.REFUSED)
    outcome = by_status(response, now_s)
    if response.status != THROTTLED or not isinstance(outcome, Retry):
        return outcome
    reset, left = (response.headers.get(name, "") for name in ("ratelimit-reset", "x-rate-limit-remaining"))
    if outcome.after_s is None and reset.isdigit():
        outcome = Retry(Reason.THROTTLED, float(reset))
    if left.isdigit() and int(left) > 0:
        # The account has calls left, so it is the user's own limit: nobody else has to wait for it.
        after_s = USER_WAIT_S if outcome.after_s is None else outcome.after_s
        return Partial((Retry(Reason.THROTTLED, after_s),))
    return outcome


DESTINATION = Destination(
    name="zendesk",
    settings=Settings,
    account=("subdomain",),
    limits=Limits(requests_per_s=50, in_flight_max=10),
    limits_for=lambda limits, settings: (
        replace(limits, jobs_max=10, batch_items_max=100, reply_bytes_max=1_000_000) if settings.bulk else limits
    ),
    key=key,
    group=group,
    converse=converse,
    check=check,
    field_name=lower_snake,
    enrich=NAMES,
)
