"""Salesforce Marketing Cloud: rows of a data extension, and events that start journeys.

Needs: an installed package's client id and secret, its subdomain, and a data extension by external key, with a primary
key column that holds the user id (or the e-mail address: `match`); its columns must exist. A membership is a boolean
column, false after leaving. For events: the journey's event definition key. Ten rows share a request; where one is bad
the rows before it are saved and nobody says which, so each is sent again alone, which changes nothing for the saved.

Sources: developer.salesforce.com marketing-cloud dataevents (read 2026-11-22), rate limiting (2026).
The vendor advises 50 rows at most; how many bytes a request may have was found in one source only (5 MB).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import quote

from app.activation.checks import check_label
from app.activation.destination import Destination, Limits, Request, Secret, post
from app.activation.fields import as_text
from app.activation.outcome import Outcome, Reason, Rejected, Response, Retry, by_status
from app.activation.payload import Payload
from app.activation.reply import json_or_none, word
from app.activation.settings import Rule
from app.activation.token import TokenFlow, always

BLOCKED_S = 60.0
UNABLE_TO_SAVE = "10006"
DEADLOCK = "Rerun the transaction"


@dataclass(frozen=True, slots=True)
class Settings:
    subdomain: Annotated[str, Rule("The part before .rest.marketingcloudapis.com.", check=check_label)]
    client_id: Annotated[str, Rule("Of the installed package.")]
    client_secret: Annotated[Secret, Rule("Of the installed package.")]
    data_extension: Annotated[str, Rule("The data extension's external key.")]
    account_id: Annotated[str | None, Rule("The business unit's MID.")] = None
    primary_key: Annotated[str, Rule("The data extension's primary key column.")] = "ContactKey"
    match: Annotated[Literal["user_id", "email"], Rule("What that column holds.")] = "user_id"
    event_definition_key: Annotated[str | None, Rule("The journey's entry event.")] = None


def token(settings: Settings) -> TokenFlow:
    login = {
        "grant_type": "client_credentials",
        "client_id": settings.client_id,
        "client_secret": settings.client_secret.reveal(),
    }
    account = {"account_id": settings.account_id} if settings.account_id else {}
    url = f"https://{settings.subdomain}.auth.marketingcloudapis.com/v2/token"
    return TokenFlow(always(post(url, login | account)))


def key(payload: Payload, settings: Settings) -> str | None:
    return payload.ids.get(settings.match)


def group(payload: Payload, settings: Settings) -> str:
    return payload.id if payload.is_track else ""  # events go singly


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    host = f"https://{settings.subdomain}.rest.marketingcloudapis.com"
    if payloads[0].is_track:
        body = {
            "ContactKey": key(payloads[0], settings),
            "EventDefinitionKey": settings.event_definition_key,
            "Data": {settings.primary_key: key(payloads[0], settings), **payloads[0].fields},
        }
        return post(f"{host}/interaction/v1/events", body)
    rows = [{"keys": {settings.primary_key: key(one, settings)}, "values": one.fields} for one in payloads]
    return post(f"{host}/hub/v1/dataevents/key:{quote(settings.data_extension, safe='')}/rowset", rows)


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    outcome = by_status(response, now_s)
    reply = json_or_none(response)
    if isinstance(outcome, Retry) and outcome.after_s is None and response.status == 429:
        told = word(reply, "retryAfter")
        return Retry(Reason.THROTTLED, float(told) if told.isdigit() else BLOCKED_S)
    if isinstance(outcome, Rejected) and len(payloads) == 1:
        detail = as_text(reply)
        if DEADLOCK in detail or (word(reply, "errorcode") == UNABLE_TO_SAVE and '"additionalErrors":[{' not in detail):
            return Retry(Reason.SERVER_ERROR, attempts_max=5)
    return outcome


DESTINATION = Destination(
    name="sfmc",
    settings=Settings,
    account=("subdomain",),
    limits=Limits(requests_per_s=20, in_flight_max=10, batch_items_max=10, body_bytes_max=5_000_000),
    track_needs="event_definition_key",
    key=key,
    group=group,
    build=build,
    classify=classify,
    token=token,
)
