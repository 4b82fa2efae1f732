"""TikTok custom audiences.

Needs: a long-lived access token and the advertiser's id. All of a person's identifiers are one row, hashed: e-mail,
phone from the trait `phone`, and a mobile ad id from `mobile_ad_id`, as `device` says. The vendor answers 200 whatever
happened, with a code. Changes show after 24 to 48 hours; an audience is of use from 1,000 people on.

Sources: action-destinations `tiktok-audiences` (2026-08-21); rudder-transformer `tiktok_audience` (2026-08-06).
Not verified: how many rows a request may have, the rates, and codes from 50000 on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.destination import Attempt, Conversation, Destination, Limits, Request, Secret, post
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
from app.activation.reply import json_of, word
from app.activation.settings import Rule

HOST = "https://business-api.tiktok.com/open_api/v1.3"
SCHEMA = {"ios": "IDFA_SHA256", "android": "AAID_SHA256"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    access_token: Annotated[Secret, Rule("A long-lived access token.")]
    advertiser_id: Annotated[str, Rule("The advertiser's id.")]
    device: Annotated[Literal["ios", "android"], Rule("Which kind of id the trait mobile_ad_id holds.")] = "android"


def member(payload: Payload, settings: Settings) -> Member | None:
    cells = (
        hashed_email(payload.ids.get("email", ""), "tiktok"),
        hashed_phone(str(payload.traits.get("phone") or ""), "tiktok"),
        hashed(mobile_id(str(payload.traits.get("mobile_ad_id") or ""))),
    )
    who = next((cell for cell in cells if cell), None)
    return Member(who, tuple(cell or "" for cell in cells)) if who else None


def tell(path: str, body: JsonObject, settings: Settings) -> Request:
    return post(f"{HOST}/{path}", body, headers={"Access-Token": settings.access_token})


def judged(response: Response, now_s: float) -> Outcome:
    outcome = by_status(response, now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    match word(json_of(response), "code"):
        case "0":
            return outcome
        case "40100":
            return Retry(Reason.THROTTLED, 60.0)
        case "40105" | "40001":
            return Pause(Reason.UNAUTHORIZED)
        case "40002":
            return Rejected(Reason.REFUSED)
        case code if code.startswith("5") and len(code) == 5:
            return Retry(Reason.SERVER_ERROR)
    return unreadable()


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    body: JsonObject = {
        "custom_audience_name": name.name,
        "advertiser_id": settings.advertiser_id,
        "action": "create",
    }
    response = yield tell("segment/audience/", body, settings)
    outcome = judged(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    return word(json_of(response), "data", "audience_id") or unreadable()


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    columns = ("EMAIL_SHA256", "PHONE_SHA256", SCHEMA[settings.device])
    used = [at for at in range(len(columns)) if any(each.cells[at] for each in upload.members)]

    def cell(text: str) -> JsonObject:
        return {"id": text, "audience_ids": [upload.list]} if text else {}

    body: JsonObject = {
        "advertiser_ids": [settings.advertiser_id],
        "action": "add" if upload.add else "delete",
        "id_schema": [columns[at] for at in used],
        "batch_data": [[cell(each.cells[at]) for at in used] for each in upload.members],
    }
    return judged((yield tell("segment/mapping/", body, settings)), attempt.now_s)


DESTINATION = Destination(
    name="tiktok_audiences",
    settings=Settings,
    limits=Limits(requests_per_s=5, in_flight_max=2, body_bytes_max=1_000_000),
    calls=("identify",),
    enrich=("phone", "mobile_ad_id"),
    lists=ListVendor(member=member, change=change, make=make),
)
