"""SendGrid Marketing: custom fields of contacts. There are no events and no groups.

Needs: an API key with Marketing access, and the region. Custom fields must exist under the definition's key, as Text
or Number; they are addressed by ids, which are looked up and kept for an hour. All identifiers that a contact has are
sent, else the vendor makes a second one. A write is a job: it is asked for until it is done, and a batch with errors is
sent again one by one, so that each contact is judged by its own job. Who is erased is looked up by e-mail address.

Sources: Twilio SendGrid OpenAPI (2026-01-22), twilio.com/docs/sendgrid rate limits (read 2026-08-13).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import quote

from app.activation import polling
from app.activation.destination import (
    Attempt,
    Conversation,
    Destination,
    Erase,
    Limits,
    Request,
    Secret,
    forgotten,
    get,
    send,
)  # fmt: skip
from app.activation.fields import as_text
from app.activation.outcome import Delivered, Outcome, Reason, Rejected, Response, Retry, by_status
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, json_or_none, objects, word
from app.activation.settings import Rule

HOSTS = {"global": "https://api.sendgrid.com", "EU": "https://api.eu.sendgrid.com"}
KEPT_S = 3600
FAILED, ERRORED = "failed", "errored"
ENDED = {"completed", FAILED, ERRORED}
POLLS_S = (1.0, 2.0, 5.0, 10.0, 15.0, 15.0, 15.0, 30.0, 30.0, 30.0)
"""Between asking how far the job is; after that it is taken for accepted, as its 202 has said."""
IDENTIFIERS = {"email": "email", "user_id": "external_id", "anonymous_id": "anonymous_id"}


@dataclass(frozen=True, slots=True)
class Settings:
    api_key: Annotated[Secret, Rule("API key with access to Marketing.")]
    region: Annotated[Literal["global", "EU"], Rule("Where the account lives.")] = "global"


def judged(response: Response, now_s: float) -> Outcome:
    return by_status(response, now_s, reset_header="x-ratelimit-reset")


def field_ids(
    names: set[str], url: str, settings: Settings, attempt: Attempt
) -> Generator[Request, Response, dict[str, str] | Outcome]:
    """Name → id and type, as `e1_T:Text`; names that the vendor does not know are missing."""
    memory, now_s = attempt.memory, attempt.now_s
    if any(memory.recall(f"field:{name}", now_s) is None for name in names):
        response = yield get(f"{url}/field_definitions", bearer=settings.api_key)
        outcome = judged(response, now_s)
        if not isinstance(outcome, Delivered):
            return outcome
        for field in objects(json_of(response), "custom_fields"):
            told = f"{word(field, 'id')}:{word(field, 'field_type')}"
            memory.keep(f"field:{word(field, 'name')}", told, now_s + KEPT_S)
    known = {name: memory.recall(f"field:{name}", now_s) for name in names}
    return {name: told for name, told in known.items() if told is not None}


def contact(payload: Payload, fields: dict[str, str]) -> JsonObject:
    custom: JsonObject = {}
    for name, value in payload.fields.items():
        id_, _, kind = fields[name].partition(":")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        custom[id_] = value if value is None or (kind == "Number" and number) else as_text(value)
    who = {IDENTIFIERS[kind]: value for kind, value in payload.ids.items() if kind in IDENTIFIERS}
    return who | {"custom_fields": custom}


def converse(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    url = f"{HOSTS[settings.region]}/v3/marketing"
    names = {name for payload in payloads for name in payload.fields}
    fields = yield from field_ids(names, url, settings, attempt)
    if not isinstance(fields, dict):
        return fields
    if names - fields.keys():
        return Rejected(Reason.NOT_SUPPORTED)
    body = {"contacts": [contact(payload, fields) for payload in payloads]}
    response = yield send("PUT", f"{url}/contacts", body, bearer=settings.api_key)
    outcome = judged(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    job = word(json_of(response), "job_id")
    if not job:
        return outcome
    ended = yield from polling.ended(
        lambda after_s: get(f"{url}/contacts/imports/{job}", bearer=settings.api_key, after_s=after_s),
        lambda reply: word(json_or_none(reply), "status") in ENDED,
        POLLS_S,
        lambda reply: judged(reply, attempt.now_s),
    )
    if not isinstance(ended, Response):
        return outcome  # the contacts were accepted; that nobody answers about it changes nothing
    told = json_of(ended)
    if word(told, "status") == FAILED:
        return Retry(Reason.SERVER_ERROR)
    refused = word(told, "status") == ERRORED and dig(told, "results", "errored_count") != 0
    return Rejected(Reason.REFUSED) if refused else outcome


def erase(payload: Payload, settings: Settings, attempt: Attempt) -> Conversation:
    url = f"{HOSTS[settings.region]}/v3/marketing/contacts"
    body = {"emails": [payload.ids["email"]]}
    response = yield send("POST", f"{url}/search/emails", body, bearer=settings.api_key)
    outcome = forgotten(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    contacts = dig(json_or_none(response), "result")
    ids = [word(dig(each, "contact"), "id") for each in (contacts.values() if isinstance(contacts, dict) else ())]
    if not any(ids):
        return outcome  # nobody is known by that address
    chosen = quote(",".join(filter(None, ids)))
    return judged((yield send("DELETE", f"{url}?ids={chosen}", bearer=settings.api_key)), attempt.now_s)


def key(payload: Payload, settings: Settings) -> str | None:
    return next((value for kind, value in payload.ids.items() if kind in IDENTIFIERS), None)


DESTINATION = Destination(
    name="sendgrid",
    settings=Settings,
    limits=Limits(requests_per_s=100, in_flight_max=10, batch_items_max=1_000, body_bytes_max=6_000_000),
    calls=("identify",),
    key=key,
    converse=converse,
    erase=Erase(erase, knows=lambda payload, settings: "email" in payload.ids),
)
