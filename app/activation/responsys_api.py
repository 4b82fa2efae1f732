"""Oracle Responsys' REST API, as far as its two destinations share it: tokens, columns, a merge of records, its answer.

People are columns of a profile list, or of a profile extension table (PET), whose people must be in the list already; a
membership is "1" or "0" there. A column is a key's upper case, its first 30 characters.

Sources: docs.oracle.com responsys-develop API, merge members and PET records (read 2026-11-22), FAQs (2026-08).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from app.activation.checks import check_url
from app.activation.destination import Request, Secret, post
from app.activation.fields import as_text, texts, upper_snake
from app.activation.hashing import email_of
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
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_or_none, word
from app.activation.request import form
from app.activation.settings import Rule
from app.activation.token import TokenFlow, always

COLUMN_CHARS_MAX = 30
RECORDS_MAX = 200
BODY_BYTES_MAX = 10_000_000
TOKEN_LIFE_S = 7200.0
LIMIT_AFTER_S = 60.0
FAILED = "MERGEFAILED"

column = partial(upper_snake, chars_max=COLUMN_CHARS_MAX)


def check_host(url: str) -> str | None:
    return check_url(Secret(url)) or ("expected no path" if urlsplit(url).path.strip("/") else None)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of both."""

    api_url: Annotated[str, Rule("The account's API host, https://….", check=check_host)]
    username: Annotated[str, Rule("A user with API rights.")]
    password: Annotated[Secret, Rule("Its password.")]
    list_name: Annotated[str, Rule("The profile list.")]
    pet_name: Annotated[str | None, Rule("The profile extension table, where one is used.")] = None
    match_column: Annotated[Literal["EMAIL_ADDRESS_", "CUSTOMER_ID_"], Rule("What people are known by.")] = (
        "EMAIL_ADDRESS_"
    )
    insert_on_no_match: Annotated[bool, Rule("Make records that are not there.")] = True
    update_on_match: Annotated[Literal["REPLACE_ALL", "NO_UPDATE"], Rule("What happens to those that are.")] = (
        "REPLACE_ALL"
    )
    default_permission_status: Annotated[Literal["OPTOUT", "OPTIN"], Rule("Of records that are made.")] = "OPTOUT"


def token(settings: Settings) -> TokenFlow:
    login: dict[str, str | Secret] = {
        "user_name": settings.username,
        "password": settings.password,
        "auth_type": "password",
    }
    request = form(f"{host(settings)}/rest/api/v1.3/auth/token", login)
    return TokenFlow(always(request), field="authToken", prefix="", lifetime_s=TOKEN_LIFE_S)


def host(settings: Settings) -> str:
    return settings.api_url.rstrip("/")


def token_refused(response: Response) -> bool:
    return response.status == 401 and word(json_or_none(response), "errorCode") in ("TOKEN_EXPIRED", "INVALID_TOKEN")


def key(payload: Payload, settings: Settings) -> str | None:
    return email_of(payload) if settings.match_column == "EMAIL_ADDRESS_" else payload.ids.get("user_id")


def columns(payload: Payload, settings: Settings) -> dict[str, str]:
    """The match column first."""
    told = texts(payload.fields, column)
    if settings.pet_name is not None:
        ours = {"true": "1", "false": "0"}
        told = {name: ours.get(value, value) for name, value in told.items()}
    return {settings.match_column: key(payload, settings) or ""} | told


def group(payload: Payload, settings: Settings) -> str:
    return ",".join(columns(payload, settings))


def merge(payloads: Sequence[Payload], settings: Settings, api: str) -> Request:
    """The request that writes the columns of several people, by this one of the vendor's interfaces."""
    rows = [columns(payload, settings) for payload in payloads]
    data = {"fieldNames": [*rows[0]], "records": [[*row.values()] for row in rows], "mapTemplateName": None}
    rule: JsonObject = {"insertOnNoMatch": settings.insert_on_no_match, "updateOnMatch": settings.update_on_match}
    url = f"{host(settings)}/rest/{api}/v1.3/lists/{quote(settings.list_name, safe='')}"
    if settings.pet_name is not None:
        url += f"/listExtensions/{quote(settings.pet_name, safe='')}"
        body = {"recordData": data} | rule | {"matchColumnName1": settings.match_column.rstrip("_")}
    else:
        words = {"htmlValue": "H", "textValue": "T", "optinValue": "I", "optoutValue": "O"}
        match = {"matchColumnName1": settings.match_column, "matchOperator": "NONE"}
        consent = {"defaultPermissionStatus": settings.default_permission_status}
        body = {"recordData": data, "mergeRule": rule | match | consent | words}
    return post(f"{url}/members", body)


def judged(response: Response, now_s: float) -> Outcome:
    """Of a request as a whole."""
    outcome = by_status(response, now_s)
    throttled = word(json_or_none(response), "errorCode") == "API_LIMIT_EXCEEDED"
    return Retry(Reason.THROTTLED, LIMIT_AFTER_S) if throttled and not isinstance(outcome, Delivered) else outcome


def of_records(merged: object, count: int) -> Outcome:
    """Of the records by themselves, from what a merge has answered."""
    records = dig(merged, "recordData", "records")
    if not isinstance(records, list) or len(records) != count:
        return unreadable()
    bad = {at for at, record in enumerate(records) if as_text(dig(record, 0)).startswith(FAILED)}
    return by_index(count, {at: Rejected(Reason.REFUSED) for at in bad})
