"""Klaviyo lists.

Needs: a private API key that may read and write profiles and lists. Members are known by e-mail address; whoever is no
profile yet becomes one. Being on a list is no consent to be mailed. Additions are a job of the vendor's, whose end is
waited for; of profiles that it refuses it tells the address. To be taken off, profiles are looked up first.

Sources: developers.klaviyo.com bulk profile import, lists, profiles (2026-07-15).
Not verified: the field of an import error that holds the address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from app.activation.destination import Attempt, Conversation, Destination, Limits, Request, Secret, get, send
from app.activation.hashing import email_of
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Shown, Upload
from app.activation.outcome import (
    Delivered,
    Outcome,
    Pause,
    Reason,
    Rejected,
    Response,
    Retry,
    by_index,
    by_status,
    unreadable,
)  # fmt: skip
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, json_or_none, objects, word
from app.activation.settings import Rule

HOST = "https://a.klaviyo.com/api"
GONE, NOT_FOUND, BAD_REQUEST = 410, 404, 400
POLLS_S = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0, 120.0, 120.0, 120.0)
POINTER = re.compile(r"/profiles/data/(\d+)")


def check_revision(text: str) -> str | None:
    return None if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else "expected a date, such as 2026-07-15"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    api_key: Annotated[Secret, Rule("Private API key.")]
    revision: Annotated[str, Rule("Of the API; the vendor retires old ones.", check=check_revision)] = "2026-07-15"


def member(payload: Payload, settings: Settings) -> Member | None:
    email = email_of(payload)
    return Member(email, (email,)) if email is not None else None


def headers(settings: Settings) -> dict[str, str | Secret]:
    return {
        "Authorization": Secret(f"Klaviyo-API-Key {settings.api_key.reveal()}"),
        "revision": settings.revision,
        "Accept": "application/vnd.api+json",
    }


def ask(url: str, settings: Settings, after_s: float = 0.0) -> Request:
    return get(url, headers=headers(settings), after_s=after_s)


def tell(method: str, path: str, data: object, settings: Settings) -> Request:
    with_type = headers(settings) | {"Content-Type": "application/vnd.api+json"}
    return send(method, HOST + path, {"data": data}, headers=with_type)


def judged(response: Response, now_s: float) -> Outcome:
    if response.status == GONE:  # the revision was retired: another one is a setting
        return Pause(Reason.GONE)
    return by_status(response, now_s)


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    response = yield tell("POST", "/lists", {"type": "list", "attributes": {"name": name.name}}, settings)
    outcome = judged(response, attempt.now_s)
    return (word(json_of(response), "data", "id") or unreadable()) if isinstance(outcome, Delivered) else outcome


def add(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    profiles = [{"type": "profile", "attributes": {"email": each.cells[0]}} for each in upload.members]
    job: JsonObject = {
        "type": "profile-bulk-import-job",
        "attributes": {"profiles": {"data": profiles}},
        "relationships": {"lists": {"data": [{"type": "list", "id": upload.list}]}},
    }
    response = yield tell("POST", "/profile-bulk-import-jobs", job, settings)
    outcome = judged(response, attempt.now_s)
    if response.status == NOT_FOUND:
        return Rejected(Reason.LIST_GONE)
    if response.status == BAD_REQUEST:
        return named(response, len(upload.members))
    if not isinstance(outcome, Delivered):
        return outcome
    id_ = word(json_of(response), "data", "id")
    for wait_s in POLLS_S:
        response = yield ask(f"{HOST}/profile-bulk-import-jobs/{id_}", settings, wait_s)
        told = json_or_none(response)
        match word(told, "data", "attributes", "status"):
            case "complete":
                if dig(told, "data", "attributes", "failed_count"):
                    return (yield from refused(id_, upload, settings))
                return Delivered()
            case "failed" | "cancelled":
                return Retry(Reason.SERVER_ERROR)
    return Retry(Reason.TIMEOUT)


def named(response: Response, count: int) -> Outcome:
    """A request with bad profiles is not done; those that are named are refused, the others sent again."""
    places = [POINTER.search(word(error, "source", "pointer")) for error in objects(json_or_none(response), "errors")]
    bad = {at for one in places if one is not None and (at := int(one[1])) < count}
    if not bad:
        return Rejected(Reason.REFUSED)
    rest = Retry(Reason.REFUSED)
    return by_index(count, {at: Rejected(Reason.REFUSED) if at in bad else rest for at in range(count)})


def refused(id_: str, upload: Upload, settings: Settings) -> Conversation:
    """The job is done; whom it could not take is asked for."""
    response = yield ask(f"{HOST}/profile-bulk-import-jobs/{id_}/import-errors", settings)
    errors = objects(json_or_none(response), "data")
    emails = {word(error, "attributes", "original_payload", "email").lower() for error in errors}
    failed = {at: Rejected(Reason.REFUSED) for at, each in enumerate(upload.members) if each.key in emails}
    return by_index(len(upload.members), failed)


def remove(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    emails = ",".join(f'"{each.cells[0]}"' for each in upload.members)
    query = f"filter={quote(f'any(email,[{emails}])')}&fields[profile]=email&page[size]=100"
    response = yield ask(f"{HOST}/profiles?{query}", settings)
    outcome = judged(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    found = [{"type": "profile", "id": word(one, "id")} for one in objects(json_of(response), "data")]
    if not found:
        return Delivered()  # nobody of them is known there any more
    response = yield tell("DELETE", f"/lists/{upload.list}/relationships/profiles", found, settings)
    return Rejected(Reason.LIST_GONE) if response.status == NOT_FOUND else judged(response, attempt.now_s)


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    return (yield from (add if upload.add else remove)(upload, settings, attempt))


def shown(list_: str, settings: Settings, attempt: Attempt) -> Shown:
    url = f"{HOST}/lists/{list_}/profiles?fields[profile]=email&page[size]=100"
    found: set[str] = set()
    while url:
        response = yield ask(url, settings)
        outcome = judged(response, attempt.now_s)
        if not isinstance(outcome, Delivered):
            return outcome
        reply = json_of(response)
        found |= {word(one, "attributes", "email").lower() for one in objects(reply, "data")}
        url = word(reply, "links", "next")
        if url and not url.startswith(HOST):
            return unreadable()  # our key goes nowhere else
    return frozenset(found)


DESTINATION = Destination(
    name="klaviyo_lists",
    settings=Settings,
    limits=Limits(requests_per_s=2, in_flight_max=2, body_bytes_max=5_000_000, reply_bytes_max=1_000_000),
    calls=("identify",),
    lists=ListVendor(member=member, change=change, make=make, shown=shown, add_max=10_000, remove_max=100),
)
