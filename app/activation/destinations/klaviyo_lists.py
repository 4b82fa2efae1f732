"""Klaviyo lists.

Needs: a private API key that may read and write profiles and lists. Members are known by e-mail address; whoever is no
profile yet becomes one. Being on a list is no consent to be mailed. Additions are a job of the vendor's, whose end is
waited for; of profiles that it refuses it tells the address. To be taken off, profiles are looked up first.

Sources: developers.klaviyo.com lists, profiles (2026-07-15); as in `app.activation.klaviyo_api`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote

from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret
from app.activation.hashing import email_of
from app.activation.klaviyo_api import HOST, NOT_FOUND, ask, check_revision, import_profiles, judged, pages, tell
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Shown, Upload
from app.activation.outcome import Delivered, Reason, Rejected, unreadable
from app.activation.payload import JsonObject, Payload
from app.activation.reply import json_of, objects, word
from app.activation.settings import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    api_key: Annotated[Secret, Rule("Private API key.")]
    revision: Annotated[str, Rule("Of the API; the vendor retires old ones.", check=check_revision)] = "2026-07-15"


def member(payload: Payload, settings: Settings) -> Member | None:
    email = email_of(payload)
    return Member(email, (email,)) if email is not None else None


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    response = yield tell("POST", "/lists", {"type": "list", "attributes": {"name": name.name}}, settings)
    outcome = judged(response, attempt.now_s)
    return (word(json_of(response), "data", "id") or unreadable()) if isinstance(outcome, Delivered) else outcome


def add(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    profiles: list[JsonObject] = [{"email": each.cells[0]} for each in upload.members]
    return (yield from import_profiles(profiles, settings, attempt, list_=upload.list))


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
    found = yield from pages(f"{HOST}/lists/{list_}/profiles?fields[profile]=email&page[size]=100", settings, attempt)
    return frozenset(word(one, "attributes", "email").lower() for one in found) if isinstance(found, list) else found


DESTINATION = Destination(
    name="klaviyo_lists",
    settings=Settings,
    limits=Limits(requests_per_s=2, in_flight_max=2, body_bytes_max=5_000_000, reply_bytes_max=1_000_000),
    calls=("identify",),
    lists=ListVendor(member=member, change=change, make=make, shown=shown, add_max=10_000, remove_max=100),
)
