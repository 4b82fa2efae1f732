"""Marketo's REST API, as far as its event and its list destination share it: tokens, answers, look-ups of leads.

Sources: experienceleague.adobe.com Marketo REST API, error codes (read 2026-08-13). Code 713 was not verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import quote, urlencode

from app.activation.destination import Request, Secret, get
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
from app.activation.reply import dig, json_of, objects, word
from app.activation.request import form
from app.activation.token import TokenFlow, always

TOKEN_CODES = (b'"601"', b'"602"')
URI_TOO_LONG = 414
WAIT_S = {"606": 20.0, "607": 3600.0, "615": 1.0, "1016": 60.0}
"""Rate; the day's quota, which ends at midnight in Chicago: asked again every hour; requests at once; files
that wait to be imported."""
QUERY_CHARS_MAX = 6_000
"""A URL may have 8 KB; longer questions are asked as a form."""
BACK_OFF = {"502", "604", "608", "611", "614", "713", "1019", "1029"}


class Account(Protocol):
    """What the settings of both say."""

    @property
    def account_id(self) -> str: ...
    @property
    def client_id(self) -> str: ...
    @property
    def client_secret(self) -> Secret: ...
    @property
    def lookup_field(self) -> str: ...


def host(settings: Account) -> str:
    return f"https://{settings.account_id}.mktorest.com"


def token(settings: Account) -> TokenFlow:
    query = urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": settings.client_id,
            "client_secret": settings.client_secret.reveal(),
        }
    )
    return TokenFlow(always(get(Secret(f"{host(settings)}/identity/oauth/token?{query}"))))


def token_refused(response: Response) -> bool:
    return response.status == 401 or (
        b'"success":false' in response.body.replace(b" ", b"") and any(code in response.body for code in TOKEN_CODES)
    )


def of_code(code: str) -> Retry | Rejected:
    if code in WAIT_S:
        return Retry(Reason.THROTTLED, WAIT_S[code])
    return Retry(Reason.SERVER_ERROR) if code in BACK_OFF else Rejected(Reason.REFUSED)


def judged(response: Response, count: int, now_s: float) -> Outcome:
    """HTTP says 200 whatever happened; each item has a result, in order."""
    outcome = by_status(response, now_s)
    if response.status == URI_TOO_LONG:
        return Rejected(Reason.TOO_LARGE)
    if not isinstance(outcome, Delivered):
        return outcome
    reply = json_of(response)
    if dig(reply, "success") is not True:
        code = word(reply, "errors", 0, "code")
        return Pause(Reason.UNAUTHORIZED) if code in ("601", "602", "603") else of_code(code)
    results = objects(reply, "result")
    if len(results) != count:
        return unreadable()
    skipped = [word(one, "status") == "skipped" for one in results]
    codes = [word(one, "reasons", 0, "code") for one in results]
    if not any(skipped):
        return outcome
    return Partial(tuple(of_code(code) if bad else Delivered() for bad, code in zip(skipped, codes, strict=True)))


def look_up(emails: Sequence[str], settings: Account) -> Request:
    field, url = settings.lookup_field, f"{host(settings)}/rest/v1/leads.json"
    query = {"filterType": field, "filterValues": ",".join(emails), "fields": f"id,{field}"}
    text = urlencode(query, safe=",", quote_via=quote)
    return get(f"{url}?{text}") if len(text) <= QUERY_CHARS_MAX else form(f"{url}?_method=GET", query)
