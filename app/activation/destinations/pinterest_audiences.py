"""Pinterest customer lists, each with an audience made of it.

Needs: an OAuth app's client id, client secret and refresh token (scopes ads:read, ads:write), and the account's id. A
list has one kind of identifier, hashed: e-mail addresses, or mobile ad ids from the trait `mobile_ad_id`. No list is
made empty, so the first members go along when it is made; if we are killed before its id is put down, it stays there,
and another is made. No answer names a member; changes show within 24 hours, and a list is of use from 100 matched
people on.

Sources: pinterest/api-description v5.23.0 (2025-12-11); developers.pinterest.com rate-limits (read 2026); one each.
Not verified: how many records a request may have, the limits of ads_write, and their headers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.checks import check_digits
from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, post, send
from app.activation.hashing import hashed, hashed_email, mobile_id
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.outcome import Delivered, Reason, Rejected, by_status, unreadable
from app.activation.payload import Payload
from app.activation.reply import json_of, word
from app.activation.request import basic, form
from app.activation.settings import Rule
from app.activation.token import TokenFlow, always

HOST = "https://api.pinterest.com/v5"
NOT_FOUND = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    client_id: Annotated[str, Rule("Of the OAuth app.")]
    client_secret: Annotated[Secret, Rule("Of the OAuth app.")]
    refresh_token: Annotated[Secret, Rule("Given to the app by the account.")]
    ad_account_id: Annotated[str, Rule("Of the ad account.", check=check_digits)]
    list_type: Annotated[Literal["EMAIL", "IDFA", "MAID"], Rule("What members are known by.")] = "EMAIL"


def token(settings: Settings) -> TokenFlow:
    values: dict[str, str | Secret] = {"grant_type": "refresh_token", "refresh_token": settings.refresh_token}
    login = basic(settings.client_id, settings.client_secret)
    return TokenFlow(always(form(f"{HOST}/oauth/token", values, headers=login)))


def member(payload: Payload, settings: Settings) -> Member | None:
    if settings.list_type == "EMAIL":
        key = hashed_email(payload.ids.get("email", ""), "pinterest")
    else:
        key = hashed(mobile_id(str(payload.traits.get("mobile_ad_id") or "")))
    return Member(key, (key,)) if key else None


def records(members: Sequence[Member]) -> str:
    return ",".join(each.cells[0] for each in members)


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    url = f"{HOST}/ad_accounts/{settings.ad_account_id}"
    body = {"name": name.name, "list_type": settings.list_type, "records": records(members)}
    response = yield post(f"{url}/customer_lists", body)
    outcome = by_status(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    id_ = word(json_of(response), "id")
    if not id_:
        return unreadable()
    audience = {"name": name.name, "audience_type": "CUSTOMER_LIST", "rule": {"customer_list_id": id_}}
    response = yield post(f"{url}/audiences", audience)
    outcome = by_status(response, attempt.now_s)
    return id_ if isinstance(outcome, Delivered | Rejected) else outcome


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    body = {"operation_type": "ADD" if upload.add else "REMOVE", "records": records(upload.members)}
    url = f"{HOST}/ad_accounts/{settings.ad_account_id}/customer_lists/{upload.list}"
    response = yield send("PATCH", url, body)
    return Rejected(Reason.LIST_GONE) if response.status == NOT_FOUND else by_status(response, attempt.now_s)


DESTINATION = Destination(
    name="pinterest_audiences",
    settings=Settings,
    limits=Limits(requests_per_s=5, in_flight_max=4),
    calls=("identify",),
    enrich=("mobile_ad_id",),
    token=token,
    lists=ListVendor(member=member, change=change, make=make, makes_full=True, add_max=10_000, remove_max=10_000),
)
