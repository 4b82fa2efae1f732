"""Marketo Engage: fields of leads, and custom activities.

Needs: a custom service's client id and secret, and the account's id (Munchkin). Fields must exist. An event needs a
custom activity whose id `activities` gives by the event's name, as text: `{Audience Entered: "100001"}`; its primary
attribute gets the definition's key, its attribute `value` the value. Leads are known by e-mail address, or by another
field; for an activity they are looked up first. Upserts can be repeated, activities have no key by which they could.
The limits are the whole subscription's: 100 calls in 20 s, 10 at once, 50,000 a day.

Sources: experienceleague.adobe.com Marketo REST API, error codes (read 2026-08-13). Code 713 was not verified.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from app.activation.checks import check_label
from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, post
from app.activation.fields import as_text
from app.activation.hashing import email_of
from app.activation.marketo_api import host, judged, look_up, token, token_refused
from app.activation.outcome import Delivered, Partial, Reason, Rejected, Retry
from app.activation.payload import JsonObject, Payload
from app.activation.reply import json_or_none, objects, word
from app.activation.settings import Rule


def check_ids(activities: Mapping[str, str]) -> str | None:
    return None if all(id_.isascii() and id_.isdigit() for id_ in activities.values()) else "an id is a whole number"


@dataclass(frozen=True, slots=True)
class Settings:
    account_id: Annotated[str, Rule("Munchkin account id, such as 123-ABC-456.", check=check_label)]
    client_id: Annotated[str, Rule("Of the custom service.")]
    client_secret: Annotated[Secret, Rule("Of the custom service.")]
    lookup_field: Annotated[str, Rule("The lead's field that holds the e-mail address.")] = "email"
    activities: Annotated[Mapping[str, str] | None, Rule("Event name → custom activity type id.", check=check_ids)] = (
        None
    )


def key(payload: Payload, settings: Settings) -> str | None:
    return email_of(payload)


def activity(payload: Payload, lead: object, type_: str) -> JsonObject:
    return {
        "leadId": lead,
        "activityDate": payload.at,
        "activityTypeId": int(type_),
        "primaryAttributeValue": payload.computation.key,
        "attributes": [{"name": "value", "value": as_text(payload.value)}],
    }


def identify(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    field = settings.lookup_field
    leads = [payload.fields | {field: email_of(payload)} for payload in payloads]
    body = {"action": "createOrUpdate", "lookupField": field, "input": leads}
    response = yield post(f"{host(settings)}/rest/v1/leads.json", body)
    return judged(response, len(payloads), attempt.now_s)


def track(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    type_ = (settings.activities or {}).get(payloads[0].event)
    if type_ is None:
        return Rejected(Reason.NOT_SUPPORTED)
    emails = [email_of(payload) or "" for payload in payloads]
    response = yield look_up(emails, settings)
    found = objects(json_or_none(response), "result")
    outcome = judged(response, len(found), attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    leads = {word(lead, settings.lookup_field).lower(): word(lead, "id") for lead in found}
    known = [index for index, email in enumerate(emails) if leads.get(email)]
    if not known:
        return Partial((Rejected(Reason.NO_IDENTIFIER),) * len(payloads))
    inputs = [activity(payloads[index], int(leads[emails[index]]), type_) for index in known]
    response = yield post(f"{host(settings)}/rest/v1/activities/external.json", {"input": inputs})
    outcome = judged(response, len(known), attempt.now_s)
    if len(known) == len(payloads) or not isinstance(outcome, Delivered | Retry | Rejected | Partial):
        return outcome
    told = outcome.items if isinstance(outcome, Partial) else (outcome,) * len(known)
    each = dict(zip(known, told, strict=True))
    return Partial(tuple(each.get(index, Rejected(Reason.NO_IDENTIFIER)) for index in range(len(payloads))))


def converse(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    return (yield from (track if payloads[0].is_track else identify)(payloads, settings, attempt))


def group(payload: Payload, settings: Settings) -> str:
    return payload.event if payload.is_track else ""


DESTINATION = Destination(
    name="marketo",
    settings=Settings,
    account=("account_id",),
    limits=Limits(requests_per_s=5, in_flight_max=8, batch_items_max=300),
    track_needs="activities",
    key=key,
    group=group,
    repeats=False,
    converse=converse,
    token=token,
    token_refused=token_refused,
)
