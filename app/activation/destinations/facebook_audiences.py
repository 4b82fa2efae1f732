"""Facebook Custom Audiences: customer lists of an ad account.

Needs: a system user's token that may manage ads, and the account's id. Identifiers go hashed, all of a person in one
row: e-mail, phone, first and last name; user id and the mobile ad id of the trait `mobile_ad_id` as they are. Changes
show within 24 hours, and a list is of use from 100 people on. The vendor refuses to make a list tiny: `additive_only`
is for that. It counts invalid rows and names none, so rows count as delivered. An update of
more than one request is an upload session; after a crash the rest of it is another one, and the first has no end.

Sources: developers.facebook.com custom-audiences (2026-04-28), rate-limiting (2026); action-destinations (2026-08-21).
Not verified: codes 10, 32, 102 and 80004; whether a session that never ends is of any consequence.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.activation.checks import check_digits
from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, post, send
from app.activation.hashing import hashed_email, hashed_name, hashed_phone, mobile_id
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.outcome import Delivered, Outcome, Pause, Reason, Rejected, Response, Retry, by_status
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, json_or_none, word
from app.activation.settings import Rule

HOST = "https://graph.facebook.com"
COLUMNS = ("EXTERN_ID", "EMAIL", "PHONE", "FN", "LN", "MADID")
THROTTLED = {"4", "17", "32", "613", "80003", "80004"}
THROTTLED_S = 300.0
PASSING = {"1", "2", "341", "368", "5000", "21009"}
OPERATOR = {"190", "102", "10", "200", "294", "2655"}
FINAL = {"105", "2650", "1487301", "1487366", "100"}
FLAGGED, NOT_THERE = "1713230", "33"
"""Subcodes of 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    access_token: Annotated[Secret, Rule("A system user's token.")]
    ad_account_id: Annotated[str, Rule("Of the ad account, without act_.", check=check_digits)]
    app_secret: Annotated[Secret | None, Rule("The app's secret, where it demands proof of it.")] = None
    api_version: Annotated[str, Rule("Of the Graph API; the vendor retires old ones.")] = "v25.0"


def member(payload: Payload, settings: Settings) -> Member | None:
    ids, traits = payload.ids, {name: str(value) for name, value in payload.traits.items() if value is not None}
    cells = (
        ids.get("user_id"),
        hashed_email(ids.get("email", ""), "facebook"),
        hashed_phone(traits.get("phone", ""), "facebook"),
        hashed_name(traits.get("first_name", "")),
        hashed_name(traits.get("last_name", "")),
        mobile_id(traits.get("mobile_ad_id", "")),
    )
    user, email, phone, _, _, device = cells
    who = [part for part in (user, email) if part] or [part for part in (phone, device) if part][:1]
    return Member("|".join(who), tuple(cell or "" for cell in cells)) if who else None


def url(path: str, settings: Settings) -> str | Secret:
    whole = f"{HOST}/{settings.api_version}/{path}"
    if settings.app_secret is None:
        return whole
    token, key = settings.access_token.reveal().encode(), settings.app_secret.reveal().encode()
    return Secret(f"{whole}?appsecret_proof={hmac.new(key, token, 'sha256').hexdigest()}")


def judged(response: Response, now_s: float) -> Outcome:
    error = dig(json_or_none(response), "error")
    code, subcode = word(error, "code"), word(error, "error_subcode")
    if not code:
        outcome = by_status(response, now_s)
        return Retry(Reason.SERVER_ERROR) if outcome == Rejected(Reason.REFUSED) else outcome
    if code in THROTTLED:
        return Retry(Reason.THROTTLED, THROTTLED_S)
    if code in OPERATOR or (code == "100" and subcode in (FLAGGED, NOT_THERE)):
        return Pause(Reason.UNAUTHORIZED)
    if code in FINAL and dig(error, "is_transient") is not True:
        return Rejected(Reason.REFUSED)
    return Retry(Reason.SERVER_ERROR)


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    body = {
        "name": name.name,
        "description": f"Audience {name.audience}",
        "subtype": "CUSTOM",
        "customer_file_source": "BOTH_USER_AND_PARTNER_PROVIDED",
    }
    path = f"act_{settings.ad_account_id}/customaudiences"
    response = yield post(url(path, settings), body, bearer=settings.access_token)
    outcome = judged(response, attempt.now_s)
    return word(json_of(response), "id") or outcome


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    used = [at for at in range(len(COLUMNS)) if any(each.cells[at] for each in upload.members)]
    rows = [[each.cells[at] for at in used] for each in upload.members]
    body: JsonObject = {"payload": {"schema": [COLUMNS[at] for at in used], "data": rows}}
    if upload.session is not None:
        body["session"] = {
            "session_id": upload.session.id,
            "batch_seq": upload.session.number,
            "last_batch_flag": upload.session.last,
            "estimated_num_total": upload.session.total,
        }
    method = "POST" if upload.add else "DELETE"
    response = yield send(method, url(f"{upload.list}/users", settings), body, bearer=settings.access_token)
    outcome = judged(response, attempt.now_s)
    if isinstance(outcome, Delivered):
        json_of(response)  # a proxy's page is no answer
    return outcome


DESTINATION = Destination(
    name="facebook_audiences",
    settings=Settings,
    limits=Limits(requests_per_s=5, in_flight_max=2, body_bytes_max=8_000_000),
    calls=("identify",),
    enrich=("phone", "first_name", "last_name", "mobile_ad_id"),
    lists=ListVendor(member=member, change=change, make=make, sessions=True, add_max=10_000, remove_max=10_000),
)
