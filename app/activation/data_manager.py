"""Google's Data Manager API: lists of people for Google Ads and for Display & Video 360, by one way.

An accepted upload counts as delivered, and the API works on it for up to a day. Half an hour after it, and then ever
more rarely, it is asked what became of it: it tells counts and reasons, and names no member. An upload that failed as a
whole goes out once more. A list holds contact information.

Sources: developers.google.com/data-manager limits, create-audience, upload-data, release notes (2026-07-30),
diagnostics, requestStatus.retrieve (read 2026-11-22).
Found in one source: the path in a field violation. Not verified: the value of dataSourceType. The guide calls an upload
that came to nothing FAILURE, the reference FAILED; both are read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar
from urllib.parse import quote

from app.activation import service_account
from app.activation.destination import Attempt, Conversation, Limits, Secret, get, post
from app.activation.hashing import hashed_email, hashed_name, hashed_phone
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Report, Reported, Upload
from app.activation.outcome import (
    Delivered,
    Outcome,
    Partial,
    Pause,
    Reason,
    Rejected,
    Response,
    Retry,
    by_status,
    unreadable,
)  # fmt: skip
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, json_or_none, objects, word
from app.activation.service_account import TOKEN_URL
from app.activation.service_account import check as check_key
from app.activation.settings import Rule
from app.activation.token import TokenFlow, refresh_token

HOST = "https://datamanager.googleapis.com/v1"
SCOPE = "https://www.googleapis.com/auth/datamanager"
MEMBERS_MAX = 10_000
SIX_HOURS_S = 6 * 3_600.0
MINUTE_S, DAY_S = 60.0, 3_600.0
"""A day's quota ends at midnight in California: asked again every hour."""
DURATION_S = 540 * 86_400
HALF_HOUR_S = 1_800.0
REPORTS_S = tuple(HALF_HOUR_S * times for times in (1, 1, 2, 4, 8, 8, 8, 8, 8, 8))
"""28 hours; the vendor says that it may take 24."""
CODE = re.compile(r"[A-Z_]{1,100}")
VIOLATION = re.compile(r"audience_?[mM]embers(?:\.audience_members)?\[(\d+)\]")
VENDOR, ACCOUNT_SETTINGS = "google_data_manager", ("project",)
"""The limits are a cloud project's, whatever product the lists are for."""
LIMITS = Limits(requests_per_s=4, in_flight_max=4, body_bytes_max=16_000_000, reply_bytes_max=4_000_000)
ENRICH = ("phone", "first_name", "last_name", "country", "postcode")
Consent = Literal["CONSENT_GRANTED", "CONSENT_DENIED"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DataManagerSettings(ListSettings):
    client_id: Annotated[str | None, Rule("Of the OAuth client.")] = None
    client_secret: Annotated[Secret | None, Rule("Of the OAuth client.")] = None
    refresh_token: Annotated[Secret | None, Rule(f"Given for the scope {SCOPE}.")] = None
    service_account_key: Annotated[
        Secret | None, Rule("A service account's key file, its text, instead of the three above.", check=check_key)
    ] = None
    login_customer_id: Annotated[str | None, Rule("The manager account, with or without hyphens.")] = None
    consent_ad_user_data: Annotated[Consent | None, Rule("Sent only when it is given here.")] = None
    consent_ad_personalization: Annotated[Consent | None, Rule("Sent only when it is given here.")] = None

    @property
    def project(self) -> str:
        """Whose limits it has; an OAuth client belongs to one cloud project, and stands for it."""
        if self.service_account_key is not None:
            return service_account.read(self.service_account_key).project
        return self.client_id or ""


S = TypeVar("S", bound=DataManagerSettings)


@dataclass(frozen=True, slots=True)
class Account:
    """Whose lists they are."""

    type: str
    id: str


def check_account(text: str) -> str | None:
    """A number, perhaps with hyphens."""
    return None if re.fullmatch(r"\d[\d-]*", text) else "expected digits, hyphens between them"


def token(settings: DataManagerSettings) -> TokenFlow:
    """A service account's own, or a user's."""
    if settings.service_account_key is not None:
        return service_account.token(settings.service_account_key, SCOPE)
    secret, given = settings.client_secret, settings.refresh_token
    assert secret is not None and given is not None, "they have been checked"  # noqa: PT018 - for the type checker
    return refresh_token(TOKEN_URL, settings.client_id or "", secret, given)


def check(settings: DataManagerSettings) -> Mapping[str, str]:
    """Setting → what is wrong with it beside the others."""
    client = (settings.client_id, settings.client_secret, settings.refresh_token)
    whole = all(one is not None for one in client)
    if settings.service_account_key is None:
        return {} if whole else {"refresh_token": "expected client_id, client_secret and refresh_token, or "
                                 "service_account_key"}  # fmt: skip
    return {} if client == (None, None, None) else {"service_account_key": "expected it alone, without an OAuth client"}


def member(payload: Payload, settings: DataManagerSettings) -> Member | None:
    """Known by e-mail address, else by phone; name, country and postcode go along where all are known."""
    traits = {name: str(value) for name, value in payload.traits.items() if value is not None}
    email = hashed_email(payload.ids.get("email", ""), "google")
    phone = hashed_phone(traits.get("phone", ""), "google")
    first, last = hashed_name(traits.get("first_name", "")), hashed_name(traits.get("last_name", ""))
    country, postcode = traits.get("country", "").strip().upper(), traits.get("postcode", "").strip()
    address = (first, last, country, postcode)
    whole = tuple(part or "" for part in address) if all(address) else ("", "", "", "")
    who = email or phone
    return Member(who, (email or "", phone or "", *whole)) if who else None


def judged(response: Response, count: int, now_s: float) -> Outcome:
    """The body's word counts, not the status. One bad member fails a request, and is named."""
    reply = json_or_none(response)
    if response.status <= 299:
        job = word(reply, "requestId")
        return Delivered(job) if job else unreadable()
    match word(reply, "error", "status"):
        case "RESOURCE_EXHAUSTED":
            return Retry(Reason.THROTTLED, DAY_S if b"day" in response.body.lower() else MINUTE_S)
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return Pause(Reason.UNAUTHORIZED)
        case "UNAVAILABLE" | "INTERNAL" | "DEADLINE_EXCEEDED" | "ABORTED":
            return Retry(Reason.SERVER_ERROR)
        case "INVALID_ARGUMENT":
            bad = _violations(reply, count)
            rest = Retry(Reason.REFUSED)
            each = (Rejected(Reason.REFUSED) if at in bad else rest for at in range(count))
            return Partial(tuple(each)) if bad else Rejected(Reason.REFUSED)
    return by_status(response, now_s)


def _violations(reply: object, count: int) -> set[int]:
    fields = [
        word(violation, "field")
        for detail in objects(reply, "error", "details")
        for violation in objects(detail, "fieldViolations")
    ]
    found = (VIOLATION.search(field) for field in fields)
    return {at for one in found if one is not None and (at := int(one[1])) < count}


def _destination(upload: Upload, account: Account, settings: DataManagerSettings) -> JsonObject:
    login = digits(settings.login_customer_id or account.id)
    return {
        "operatingAccount": {"accountType": account.type, "accountId": account.id},
        "loginAccount": {
            "accountType": "GOOGLE_ADS" if settings.login_customer_id else account.type,
            "accountId": login,
        },
        "productDestinationId": upload.list,
    }


def _person(member: Member) -> JsonObject:
    email, phone, first, last, country, postcode = member.cells
    known: list[JsonObject] = []
    if email:
        known.append({"emailAddress": email})
    if phone:
        known.append({"phoneNumber": phone})
    if first:
        address = {"givenName": first, "familyName": last, "regionCode": country, "postalCode": postcode}
        known.append({"address": address})
    return {"userData": {"userIdentifiers": known}}


def digits(text: str) -> str:
    """Without the hyphens that people write into account numbers."""
    return text.replace("-", "")


def change(upload: Upload, account: Account, settings: DataManagerSettings, attempt: Attempt) -> Conversation:
    """One request; its outcome has an item for each member where the vendor names one."""
    body: JsonObject = {
        "destinations": [_destination(upload, account, settings)],
        "audienceMembers": [_person(each) for each in upload.members],
        "encoding": "HEX",
    }
    if upload.add:
        consent = {
            "adUserData": settings.consent_ad_user_data,
            "adPersonalization": settings.consent_ad_personalization,
        }
        given = {name: value for name, value in consent.items() if value is not None}
        terms = {"termsOfService": {"customerMatchTermsOfServiceStatus": "ACCEPTED"}, "validateOnly": False}
        body |= ({"consent": given} if given else {}) | terms
    response = yield post(f"{HOST}/audienceMembers:{'ingest' if upload.add else 'remove'}", body)
    return judged(response, len(upload.members), attempt.now_s)


def report(job: str, attempt: Attempt) -> Reported:
    """What became of an upload; it went to one destination, so one status tells of it."""
    response = yield get(f"{HOST}/requestStatus:retrieve?requestId={quote(job, safe='')}")
    if response.status > 299:
        return judged(response, 0, attempt.now_s)
    told = dig(json_of(response), "requestStatusPerDestination", 0)
    errors = objects(told, "errorInfo", "errorCounts")
    why = ", ".join(sorted({code for one in errors if CODE.fullmatch(code := word(one, "reason"))}))
    match word(told, "requestStatus"):
        case "SUCCESS":
            return Report()
        case "PARTIAL_SUCCESS":
            counts = [count for one in errors if (count := word(one, "recordCount")).isdecimal()]
            return Report(refused=sum(map(int, counts)), why=why)
        case "FAILED" | "FAILURE":
            return Report(nobody=True, why=why)
    return Report(done=False)


def make(name: ListName, account: Account, attempt: Attempt) -> Made:
    """A list of contacts, for as long as the vendor keeps members."""
    body = {
        "displayName": name.name,
        "description": f"Audience {name.audience}",
        "membershipDuration": f"{DURATION_S}s",
        "ingestedUserListInfo": {
            "uploadKeyTypes": ["CONTACT_ID"],
            "contactIdInfo": {"dataSourceType": "DATA_SOURCE_TYPE_FIRST_PARTY"},
        },
    }
    response = yield post(f"{HOST}/accountTypes/{account.type}/accounts/{account.id}/userLists", body)
    if response.status > 299:
        return judged(response, 0, attempt.now_s)
    reply = json_of(response)
    # A resource's name ends in its id.
    return word(reply, "id") or word(reply, "name").rpartition("/")[2] or unreadable()


def lists(account: Callable[[S], Account]) -> ListVendor[S]:
    """The vendor's lists, for whichever account the settings name."""

    def make_list(name: ListName, members: Sequence[Member], settings: S, attempt: Attempt) -> Made:
        return make(name, account(settings), attempt)

    return ListVendor(
        member=member,
        change=lambda upload, settings, attempt: change(upload, account(settings), settings, attempt),
        make=make_list,
        report=lambda job, settings, attempt: report(job, attempt),
        reports_s=REPORTS_S,
        add_max=MEMBERS_MAX,
        remove_max=MEMBERS_MAX,
        interval_s=SIX_HOURS_S,
        interval_min_s=SIX_HOURS_S,
    )
