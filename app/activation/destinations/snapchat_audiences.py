"""Snapchat Audiences: customer list segments of an ad account.

Needs: an OAuth app's client id, client secret and refresh token, and the account's id. A segment has one kind of
identifier, so a destination has one, too: `id_type`. All are hashed; phone comes from the trait `phone`, the mobile ad
id from `mobile_ad_id`. No answer names a member. A segment is of use from 1,000 matched people on.

Sources: developers.snap.com customer-lists, rate-limits (read 2026-08-13); action-destinations `snap-audiences`.
Found in one source: the shape of the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, post, send
from app.activation.hashing import hashed, hashed_email, hashed_phone, mobile_id
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.outcome import (
    Delivered,
    Outcome,
    Pause,
    Reason,
    Rejected,
    Response,
    Retry,
    by_status,
    unreadable,
)  # fmt: skip
from app.activation.payload import JsonObject, Payload
from app.activation.reply import json_of, json_or_none, objects, word
from app.activation.settings import Rule
from app.activation.token import TokenFlow, refresh_token

HOST = "https://adsapi.snapchat.com/v1"
TOKEN_URL = "https://accounts.snapchat.com/login/oauth2/access_token"
SCHEMAS = {"email": "EMAIL_SHA256", "phone": "PHONE_SHA256", "mobile_ad_id": "MOBILE_AD_ID_SHA256"}
NAME_CHARS_MAX = 375
NOT_FOUND, THROTTLED = 404, 429
NO_PERMISSION = "E3002"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    client_id: Annotated[str, Rule("Of the OAuth app.")]
    client_secret: Annotated[Secret, Rule("Of the OAuth app.")]
    refresh_token: Annotated[Secret, Rule("Given to the app by the account.")]
    ad_account_id: Annotated[str, Rule("Of the ad account.")]
    id_type: Annotated[Literal["email", "phone", "mobile_ad_id"], Rule("What members are known by.")] = "email"
    retention_in_days: Annotated[int, Rule("How long a member stays; 9999: for ever.", minimum=1, maximum=9999)] = 9999


def token(settings: Settings) -> TokenFlow:
    return refresh_token(TOKEN_URL, settings.client_id, settings.client_secret, settings.refresh_token)


def member(payload: Payload, settings: Settings) -> Member | None:
    if settings.id_type == "email":
        key = hashed_email(payload.ids.get("email", ""), "snapchat")
    elif settings.id_type == "phone":
        key = hashed_phone(str(payload.traits.get("phone") or ""), "snapchat")
    else:
        key = hashed(mobile_id(str(payload.traits.get("mobile_ad_id") or "")))
    return Member(key, (key,)) if key else None


def judged(response: Response, now_s: float) -> Outcome:
    """A 200 is a success where its body says so, in whichever case."""
    outcome, reply = by_status(response, now_s), json_or_none(response)
    if word(reply, "error_code") == NO_PERMISSION:
        return Pause(Reason.UNAUTHORIZED)
    if response.status == THROTTLED and isinstance(outcome, Retry) and outcome.after_s is None:
        return Retry(Reason.THROTTLED, 10.0)
    if not isinstance(outcome, Delivered):
        return outcome
    if not word(reply, "request_status"):
        return unreadable()
    said = [word(reply, "request_status"), *(word(one, "sub_request_status") for one in parts(reply))]
    return outcome if all(one.lower() == "success" for one in said if one) else Rejected(Reason.REFUSED)


def parts(reply: object) -> list[JsonObject]:
    return [*objects(reply, "users"), *objects(reply, "segments")]


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    segment = {
        "name": name.name[:NAME_CHARS_MAX],
        "description": f"Audience {name.audience}",
        "source_type": "FIRST_PARTY",
        "retention_in_days": settings.retention_in_days,
        "ad_account_id": settings.ad_account_id,
    }
    response = yield post(f"{HOST}/adaccounts/{settings.ad_account_id}/segments", {"segments": [segment]})
    outcome = judged(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    return word(json_of(response), "segments", 0, "segment", "id") or unreadable()


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    users: JsonObject = {
        "schema": [SCHEMAS[settings.id_type]],
        "data": [[each.cells[0]] for each in upload.members],
    }
    if not upload.add:
        users = {"id": upload.list} | users
    response = yield send(
        "POST" if upload.add else "DELETE", f"{HOST}/segments/{upload.list}/users", {"users": [users]}
    )
    return Rejected(Reason.LIST_GONE) if response.status == NOT_FOUND else judged(response, attempt.now_s)


DESTINATION = Destination(
    name="snapchat_audiences",
    settings=Settings,
    limits=Limits(requests_per_s=8, in_flight_max=4, body_bytes_max=8_000_000),
    calls=("identify",),
    enrich=("phone", "mobile_ad_id"),
    token=token,
    lists=ListVendor(member=member, change=change, make=make, add_max=10_000, remove_max=10_000),
)
