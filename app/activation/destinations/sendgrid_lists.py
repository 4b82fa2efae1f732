"""SendGrid marketing lists.

Needs: an API key that may write marketing contacts, and the region. Members are known by e-mail address, lower-cased as
the vendor does it; whoever is no contact yet becomes one. Additions are a job whose end is waited for; where it names
bad addresses at once, the others are sent again. Contacts are looked up to be taken off; one that is not found is taken
for gone: within an hour the vendor's search knows whom it was given.

Sources: SendGrid's OpenAPI (2026-01-22); action-destinations `sendgrid-audiences` (2026-08-21).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation import polling
from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, get, post, send
from app.activation.hashing import email_of
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.outcome import (
    Delivered,
    Outcome,
    Reason,
    Rejected,
    Response,
    Retry,
    by_index,
    by_status,
    unreadable,
)  # fmt: skip
from app.activation.payload import Payload
from app.activation.reply import dig, json_of, json_or_none, objects, word
from app.activation.settings import Rule

HOSTS = {"global": "https://api.sendgrid.com", "eu": "https://api.eu.sendgrid.com"}
BAD_REQUEST, NOT_FOUND = 400, 404
FAILED = "failed"
ENDED = {"completed", FAILED, "errored"}
POLLS_S = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 120.0, 120.0, 120.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    api_key: Annotated[Secret, Rule("API key with full access to marketing.")]
    region: Annotated[Literal["global", "eu"], Rule("Where the account lives.")] = "global"


def url(path: str, settings: Settings) -> str:
    return f"{HOSTS[settings.region]}/v3/marketing/{path}"


def member(payload: Payload, settings: Settings) -> Member | None:
    email = email_of(payload)
    return Member(email, (email,)) if email is not None else None


def judged(response: Response, now_s: float) -> Outcome:
    return by_status(response, now_s, reset_header="x-ratelimit-reset")


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    response = yield post(url("lists", settings), {"name": name.name}, bearer=settings.api_key)
    outcome = judged(response, attempt.now_s)
    return (word(json_of(response), "id") or unreadable()) if isinstance(outcome, Delivered) else outcome


def named(response: Response, upload: Upload) -> Outcome:
    """Nothing of the request is done; addresses that the errors name are refused, the others sent again."""
    said = " ".join(word(error, "message") for error in objects(json_or_none(response), "errors")).lower()
    bad = {at for at, each in enumerate(upload.members) if f"'{each.cells[0]}'" in said}
    if not bad:
        return Rejected(Reason.LIST_GONE) if upload.list in said else Rejected(Reason.REFUSED)
    rest = Retry(Reason.REFUSED)
    count = len(upload.members)
    return by_index(count, {at: Rejected(Reason.REFUSED) if at in bad else rest for at in range(count)})


def add(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    contacts = [{"email": each.cells[0]} for each in upload.members]
    body = {"list_ids": [upload.list], "contacts": contacts}
    response = yield send("PUT", url("contacts", settings), body, bearer=settings.api_key)
    if response.status == BAD_REQUEST:
        return named(response, upload)
    outcome = judged(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    job = word(json_of(response), "job_id")
    if not job:
        return unreadable()
    ended = yield from polling.ended(
        lambda after_s: get(url(f"contacts/imports/{job}", settings), bearer=settings.api_key, after_s=after_s),
        lambda reply: word(json_or_none(reply), "status") in ENDED,
        POLLS_S,
        lambda reply: judged(reply, attempt.now_s),
    )
    if not isinstance(ended, Response):
        return ended
    told = json_of(ended)
    if word(told, "status") == FAILED:
        return Retry(Reason.SERVER_ERROR)
    # Its file says who was refused; asked in halves it comes down to them as well.
    return Rejected(Reason.REFUSED) if dig(told, "results", "errored_count") else Delivered()


def remove(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    emails = [each.cells[0] for each in upload.members]
    response = yield post(url("contacts/search/emails", settings), {"emails": emails}, bearer=settings.api_key)
    outcome = judged(response, attempt.now_s)
    if response.status == NOT_FOUND:
        return Delivered()  # none of them is a contact
    if not isinstance(outcome, Delivered):
        return outcome
    reply = json_of(response)
    ids = [id_ for email in emails if (id_ := word(reply, "result", email, "contact", "id"))]
    if not ids:
        return Delivered()
    path = f"lists/{upload.list}/contacts?contact_ids={','.join(ids)}"
    response = yield send("DELETE", url(path, settings), bearer=settings.api_key)
    return Rejected(Reason.LIST_GONE) if response.status == NOT_FOUND else judged(response, attempt.now_s)


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    return (yield from (add if upload.add else remove)(upload, settings, attempt))


DESTINATION = Destination(
    name="sendgrid_lists",
    settings=Settings,
    limits=Limits(requests_per_s=100, in_flight_max=5, body_bytes_max=6_000_000, reply_bytes_max=1_000_000),
    calls=("identify",),
    lists=ListVendor(member=member, change=change, make=make, add_max=10_000, remove_max=100),
)
