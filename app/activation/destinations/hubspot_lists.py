"""HubSpot lists of contacts (manual ones).

Needs: a private app's access token, or an OAuth app's client id, client secret and refresh token, with the scopes for
lists and contacts. Members are known by e-mail address. Their record ids are looked up before each change; contacts
that do not exist are made, by an upsert of the address alone.

Sources: developers.hubspot.com lists v3, CRM batch read and upsert (2026-08).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from app.activation.destination import Attempt, Conversation, Destination, Limits, Request, Secret, get, post, send
from app.activation.hashing import email_of
from app.activation.hubspot_api import HOST, check, judged, token
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.outcome import (
    Delivered,
    Outcome,
    Reason,
    Rejected,
    Response,
    by_index,
    unreadable,
)  # fmt: skip
from app.activation.payload import Payload
from app.activation.reply import json_of, json_or_none, objects, texts, word
from app.activation.settings import Rule

CONTACTS, LISTS = f"{HOST}/crm/v3/objects/contacts", f"{HOST}/crm/v3/lists"
NOT_FOUND = 404
MEMBERS_MAX = 100
"""Of one look-up."""
TAKEN = "ILS.DUPLICATE_LIST_NAMES"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    access_token: Annotated[Secret | None, Rule("A private app's access token.")] = None
    client_id: Annotated[str | None, Rule("An OAuth app's client id.")] = None
    client_secret: Annotated[Secret | None, Rule("Its client secret.")] = None
    refresh_token: Annotated[Secret | None, Rule("The refresh token that the account gave it.")] = None


def member(payload: Payload, settings: Settings) -> Member | None:
    email = email_of(payload)
    return Member(email, (email,)) if email is not None else None


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    body = {"name": name.name, "objectTypeId": "0-1", "processingType": "MANUAL"}
    response = yield post(LISTS, body, bearer=settings.access_token)
    outcome = judged(response, attempt.now_s)
    if word(json_or_none(response), "subCategory") == TAKEN:
        url = f"{LISTS}/object-type-id/0-1/name/{quote(name.name, safe='')}"
        response = yield get(url, bearer=settings.access_token)
        outcome = judged(response, attempt.now_s)
    return (word(json_of(response), "list", "listId") or unreadable()) if isinstance(outcome, Delivered) else outcome


def records(
    upload: Upload, settings: Settings, attempt: Attempt
) -> Generator[Request, Response, dict[str, str] | Outcome]:
    """E-mail address → record id, of those that are contacts."""
    inputs = [{"id": each.cells[0], "idProperty": "email", "properties": {"email": each.cells[0]}}
              for each in upload.members]  # fmt: skip
    if upload.add:
        request = post(f"{CONTACTS}/batch/upsert", {"inputs": inputs}, bearer=settings.access_token)
    else:
        asked = {"properties": ["email"], "idProperty": "email", "inputs": [{"id": one["id"]} for one in inputs]}
        request = post(f"{CONTACTS}/batch/read", asked, bearer=settings.access_token)
    response = yield request
    outcome = judged(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    found = objects(json_of(response), "results")
    return {word(one, "properties", "email").lower(): word(one, "id") for one in found if word(one, "id")}


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    known = yield from records(upload, settings, attempt)
    if not isinstance(known, dict):
        return known
    unknown = {at for at, each in enumerate(upload.members) if each.cells[0] not in known}
    ids = [known[each.cells[0]] for at, each in enumerate(upload.members) if at not in unknown]
    # Whoever is no contact is on no list; who could not be made one cannot be put on it.
    failed = {at: Rejected(Reason.REFUSED) for at in unknown if upload.add}
    if not ids:
        return by_index(len(upload.members), failed)
    body = {"recordIdsToAdd": ids if upload.add else [], "recordIdsToRemove": [] if upload.add else ids}
    url = f"{LISTS}/{upload.list}/memberships/add-and-remove"
    response = yield send("PUT", url, body, bearer=settings.access_token)
    if response.status == NOT_FOUND:
        return Rejected(Reason.LIST_GONE)
    outcome = judged(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    missing = {*texts(json_of(response), "recordIdsMissing")} if upload.add else set()
    failed |= {at: Rejected(Reason.REFUSED) for at, each in enumerate(upload.members)
               if known.get(each.cells[0]) in missing}  # fmt: skip
    return by_index(len(upload.members), failed)


DESTINATION = Destination(
    name="hubspot_lists",
    vendor="hubspot",
    settings=Settings,
    limits=Limits(requests_per_s=5, in_flight_max=5, reply_bytes_max=1_000_000),
    calls=("identify",),
    check=check,
    token=token,
    lists=ListVendor(member=member, change=change, make=make, add_max=MEMBERS_MAX, remove_max=MEMBERS_MAX),
)
