"""Salesforce CRM: fields of contacts, leads or custom objects. There are no events.

Needs: a connected app's client id, client secret and refresh token, the org's own URL, and on the object an external-id
field that holds the user id (or the e-mail address: `match`). Custom fields must exist: a key `vip` is `vip__c`, a name
with a capital letter is the field's own. 200 records share a call; each is judged by itself. With `bulk_from`, so
many or more that wait are one job of up to 5,000: a backfill takes fewer of the day's calls, but a job takes a minute.

Sources: developer.salesforce.com sObject Collections (2026), OAuth refresh-token flow; rudder-transformer and
action-destinations for the codes (2026-08); jobs as in `app.activation.salesforce_jobs`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal
from urllib.parse import urlsplit

from app.activation import salesforce_jobs
from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, send
from app.activation.fields import custom_field, renamed
from app.activation.hashing import email_of
from app.activation.outcome import (
    Delivered,
    Disabled,
    Outcome,
    Partial,
    Pause,
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
from app.activation.settings import Rule
from app.activation.token import TokenFlow, refresh_token

HOSTS = (".salesforce.com", ".force.com", ".salesforce.mil", ".cloudforce.com")
AGAIN = {"UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG"}
TOO_MANY_QUERIES = "too many soql queries"
RECORDS_MAX, JOB_RECORDS_MAX = 200, 5_000
DAY_S = 900.0
"""A day's calls are used up: asked again every quarter of an hour, for the count is of the last 24 hours."""


def check_instance(url: str) -> str | None:
    parts = urlsplit(url)
    sound = parts.scheme == "https" and (parts.hostname or "").endswith(HOSTS) and parts.path in ("", "/")
    return None if sound and "@" not in parts.netloc else "expected https://<your domain>.my.salesforce.com"


def check_name(name: str) -> str | None:
    return None if re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) else "expected an API name: letters, digits, _"


def check_version(text: str) -> str | None:
    return None if re.fullmatch(r"v\d{2,3}\.0", text) else "expected a version such as v60.0"


@dataclass(frozen=True, slots=True)
class Settings:
    client_id: Annotated[str, Rule("The connected app's consumer key.")]
    client_secret: Annotated[Secret, Rule("The connected app's consumer secret.")]
    refresh_token: Annotated[Secret, Rule("The refresh token that the org gave it.")]
    instance_url: Annotated[str, Rule("The org's own URL.", check=check_instance)]
    match_field: Annotated[str, Rule("The external-id field that records are known by.", check=check_name)]
    match: Annotated[Literal["user_id", "email"], Rule("What that field holds.")] = "user_id"
    object: Annotated[str, Rule("Contact, Lead or another object.", check=check_name)] = "Contact"
    sandbox: Annotated[bool, Rule("Tokens come from test.salesforce.com.")] = False
    api_version: Annotated[str, Rule("Of the REST API.", check=check_version)] = "v60.0"
    bulk_from: Annotated[
        int | None, Rule("So many changes that wait at once are a job, and more.", minimum=1, maximum=RECORDS_MAX + 1)
    ] = None


def token(settings: Settings) -> TokenFlow:
    host = "test" if settings.sandbox else "login"
    url = f"https://{host}.salesforce.com/services/oauth2/token"
    return refresh_token(url, settings.client_id, settings.client_secret, settings.refresh_token)


def key(payload: Payload, settings: Settings) -> str | None:
    return email_of(payload) if settings.match == "email" else payload.ids.get("user_id")


def converse(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    records = [
        renamed(payload.fields, custom_field) | {settings.match_field: key(payload, settings)} for payload in payloads
    ]
    base = f"{settings.instance_url.rstrip('/')}/services/data/{settings.api_version}"
    object_, field = settings.object, settings.match_field
    if settings.bulk_from is not None and len(records) >= settings.bulk_from:
        judge = partial(judged, now_s=attempt.now_s)
        outcome = yield from salesforce_jobs.upsert(records, base, object_, field, judge, of_error)
        if not isinstance(outcome, Rejected):
            return outcome
    return (yield from collections(records, f"{base}/composite/sobjects/{object_}/{field}", settings, attempt))


def collections(records: Sequence[JsonObject], url: str, settings: Settings, attempt: Attempt) -> Conversation:
    """One call; or several, for a job that was refused as a whole: here each record is judged by itself."""
    each: list[Delivered | Retry | Rejected] = []
    for at in range(0, len(records), RECORDS_MAX):
        some = [{"attributes": {"type": settings.object}} | one for one in records[at : at + RECORDS_MAX]]
        response = yield send("PATCH", url, {"allOrNone": False, "records": some})
        outcome = judged(response, attempt.now_s)
        if isinstance(outcome, Delivered):
            outcome = of_results(response, len(some))
        if len(some) == len(records) or isinstance(outcome, Pause | Disabled | Rejected):
            return outcome
        each += outcome.items if isinstance(outcome, Partial) else [outcome] * len(some)
    return Partial(tuple(each))


def of_error(error: object) -> Retry | Rejected:
    code, message = word(error, "statusCode") or word(error, "errorCode"), word(error, "message").lower()
    if code == "REQUEST_LIMIT_EXCEEDED":
        return Retry(Reason.THROTTLED, DAY_S)
    again = code in AGAIN or TOO_MANY_QUERIES in message
    return Retry(Reason.SERVER_ERROR) if again else Rejected(Reason.REFUSED)


def judged(response: Response, now_s: float) -> Outcome:
    """Of a request as a whole."""
    outcome = by_status(response, now_s)
    if response.status in (400, 403):
        told = of_error(dig(json_or_none(response), 0))
        return told if isinstance(told, Retry) else outcome
    return outcome


def of_results(response: Response, count: int) -> Outcome:
    """In the order of the records."""
    results = objects(json_of(response))
    if len(results) != count:
        return unreadable()
    each = [Delivered() if one.get("success") is True else of_error(dig(one, "errors", 0)) for one in results]
    return by_index(count, {at: one for at, one in enumerate(each) if not isinstance(one, Delivered)})


DESTINATION = Destination(
    name="salesforce",
    settings=Settings,
    account=("instance_url",),
    limits=Limits(requests_per_s=5, in_flight_max=5, batch_items_max=RECORDS_MAX, reply_bytes_max=1_000_000),
    limits_for=lambda limits, settings: (
        replace(
            limits, jobs_max=5, batch_items_max=JOB_RECORDS_MAX, body_bytes_max=20_000_000, reply_bytes_max=20_000_000
        )
        if settings.bulk_from is not None
        else limits
    ),
    calls=("identify",),
    key=key,
    repeats=False,
    converse=converse,
    token=token,
    field_name=custom_field,
)
