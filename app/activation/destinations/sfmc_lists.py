"""Salesforce Marketing Cloud: audiences as boolean columns of a data extension, written many rows at a time.

Needs: an installed package's client id and secret, its subdomain, and a data extension by external key, with a primary
key column that holds the user id (or the e-mail address: `match`) and a boolean column for each audience, called as the
audience or as the connection's mapping says. Who leaves becomes false there; no row is taken away. The vendor does it
as a job; its end is waited for, and its results name the rows that failed.

Sources: developer.salesforce.com marketing-cloud data extensions, asynchronous (2026), rate limiting (2026).
How many bytes a request may have was found in one source only (5 MB).
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import quote

from app.activation import polling
from app.activation.checks import check_label
from app.activation.destination import Attempt, Conversation, Destination, Limits, Request, Secret, get, post, send
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
from app.activation.token import TokenFlow, always

ROWS_MAX = 10_000
COMPLETE = "Complete"
ENDED = {COMPLETE, "Error"}
BLOCKED, BLOCKED_S = "50200", 60.0
DEADLOCK = "Rerun the transaction"
POLLS_S = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 120.0, 120.0, 300.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    subdomain: Annotated[str, Rule("The part before .rest.marketingcloudapis.com.", check=check_label)]
    client_id: Annotated[str, Rule("Of the installed package.")]
    client_secret: Annotated[Secret, Rule("Of the installed package.")]
    data_extension: Annotated[str, Rule("The data extension's external key.")]
    account_id: Annotated[str | None, Rule("The business unit's MID.")] = None
    primary_key: Annotated[str, Rule("The data extension's primary key column.")] = "ContactKey"
    match: Annotated[Literal["user_id", "email"], Rule("What that column holds.")] = "user_id"


def token(settings: Settings) -> TokenFlow:
    login = {
        "grant_type": "client_credentials",
        "client_id": settings.client_id,
        "client_secret": settings.client_secret.reveal(),
    }
    account = {"account_id": settings.account_id} if settings.account_id else {}
    url = f"https://{settings.subdomain}.auth.marketingcloudapis.com/v2/token"
    return TokenFlow(always(post(url, login | account)))


def member(payload: Payload, settings: Settings) -> Member | None:
    value = payload.ids.get(settings.match)
    return Member(value, (value,)) if value else None


def judged(response: Response, now_s: float) -> Outcome:
    outcome = by_status(response, now_s)
    if isinstance(outcome, Retry) and outcome.after_s is None:
        code = word(json_or_none(response), "errorcode")
        return Retry(outcome.reason, BLOCKED_S) if code == BLOCKED else outcome
    return outcome


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    """Nothing is made: a list is a column that has to be there."""
    yield from ()
    return name.name


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    base = f"https://{settings.subdomain}.rest.marketingcloudapis.com/data/v1/async"
    rows = [{settings.primary_key: each.cells[0], upload.list: upload.add} for each in upload.members]
    url = f"{base}/dataextensions/key:{quote(settings.data_extension, safe='')}/rows"
    response = yield send("PUT", url, {"items": rows})
    outcome = judged(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    id_ = word(json_of(response), "requestId")
    if not id_:
        return unreadable()
    ended = yield from polling.ended(
        lambda after_s: get(f"{base}/{id_}/status", after_s=after_s),
        lambda reply: word(json_or_none(reply), "status", "requestStatus") in ENDED,
        POLLS_S,
        lambda reply: judged(reply, attempt.now_s),
    )
    if not isinstance(ended, Response):
        return ended
    told = dig(json_of(ended), "status")
    if word(told, "requestStatus") != COMPLETE:
        return Rejected(Reason.REFUSED)
    if word(told, "resultStatus") == "OK":
        return Delivered()
    return (yield from results(f"{base}/{id_}/results", upload))


def results(url: str, upload: Upload) -> Generator[Request, Response, Outcome]:
    """Which rows failed; in the order of the request."""
    response = yield get(url)
    rows = objects(json_of(response), "items")
    if len(rows) != len(upload.members):
        return unreadable()
    failed: dict[int, Retry | Rejected] = {}
    for at, row in enumerate(rows):
        if word(row, "status") != "OK":
            passing = DEADLOCK in word(row, "message")
            failed[at] = Retry(Reason.SERVER_ERROR) if passing else Rejected(Reason.REFUSED)
    return by_index(len(rows), failed)


DESTINATION = Destination(
    name="sfmc_lists",
    vendor="sfmc",
    account=("subdomain",),
    settings=Settings,
    limits=Limits(requests_per_s=20, in_flight_max=2, body_bytes_max=5_000_000, reply_bytes_max=8_000_000),
    calls=("identify",),
    token=token,
    lists=ListVendor(member=member, change=change, make=make, add_max=ROWS_MAX, remove_max=ROWS_MAX),
)
