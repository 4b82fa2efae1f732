"""HubSpot: properties of contacts, and custom events.

Needs: a private app's access token, or an OAuth app's client id, client secret and refresh token; for events the
account's id. Properties must exist, as text or single checkbox: names are lower-cased, values sent as text. Custom
events must exist too, as `pe<hub id>_<name>`, and need an Enterprise plan. Contacts are known by e-mail address.
The original product's limit of 5 objects per second was for two calls each; here 5 requests carry up to 100 each.

Sources: developers.hubspot.com CRM batch upsert (2026-08), events/v3/send/batch (2026-03-30); rudder-transformer `hs`.
Not verified: whether an event's uuid is used to drop repeats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.activation.destination import Destination, Limits, Request, Secret, post
from app.activation.fields import lower_snake, texts
from app.activation.hashing import email_of
from app.activation.hubspot_api import HOST, check, judged, token
from app.activation.outcome import Delivered, Outcome, Reason, Rejected, Response, by_index
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, objects
from app.activation.reply import texts as texts_at
from app.activation.settings import Rule

NO_CONTENT = 204


@dataclass(frozen=True, slots=True)
class Settings:
    access_token: Annotated[Secret | None, Rule("A private app's access token.")] = None
    client_id: Annotated[str | None, Rule("An OAuth app's client id.")] = None
    client_secret: Annotated[Secret | None, Rule("Its client secret.")] = None
    refresh_token: Annotated[Secret | None, Rule("The refresh token that the account gave it.")] = None
    hub_id: Annotated[str | None, Rule("The account's id, for custom events.")] = None
    id_property: Annotated[str, Rule("The unique property that holds the e-mail address.")] = "email"


def key(payload: Payload, settings: Settings) -> str | None:
    return email_of(payload)


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    path = "/crm/v3/objects/contacts/batch/upsert"
    inputs: list[JsonObject] = []
    for payload in payloads:
        email = email_of(payload)
        properties = texts(payload.fields, lower_snake)
        if payload.is_track:
            path = "/events/v3/send/batch"
            name = f"pe{settings.hub_id}_{lower_snake(payload.event)}"
            told = {"eventName": name, "occurredAt": payload.at, "uuid": payload.id}
            inputs.append(told | {"email": email, "properties": properties})
        else:
            who = {"id": email, "idProperty": settings.id_property, "objectWriteTraceId": payload.id}
            inputs.append(who | {"properties": properties})
    return post(HOST + path, {"inputs": inputs}, bearer=settings.access_token)


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    outcome = judged(response, now_s)
    if not isinstance(outcome, Delivered) or response.status == NO_CONTENT or not response.body:
        return outcome
    reply = json_of(response)
    errors = objects(reply, "errors")
    named: set[str] = set()
    for error in errors:
        trace = dig(error, "context", "objectWriteTraceId")
        named |= {trace} if isinstance(trace, str) else {*texts_at(trace)}
    if errors and (not objects(reply, "results") or not named):
        return Rejected(Reason.REFUSED)
    failed = {index: Rejected(Reason.REFUSED) for index, payload in enumerate(payloads) if payload.id in named}
    return by_index(len(payloads), failed)


DESTINATION = Destination(
    name="hubspot",
    settings=Settings,
    limits=Limits(requests_per_s=5, in_flight_max=5, batch_items_max=100, reply_bytes_max=1_000_000),
    key=key,
    repeats=False,
    build=build,
    classify=classify,
    track_needs="hub_id",
    check=check,
    token=token,
    field_name=lower_snake,
)
