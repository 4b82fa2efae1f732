"""Oracle Responsys, many people at a time: the columns of `responsys`, written by the asynchronous API.

Needs: what `responsys` needs. A request is put into the vendor's queue, and what has become of it is asked for, until
it is known: then records are judged one by one. The queue keeps a request for an hour, and an answer for a day. A
request whose answer is gone is sent again: the same columns are written once more.

Sources: docs.oracle.com responsys-develop API, asynchronous merges, polling and their common errors (read 2026-11-23);
as in `app.activation.responsys_api`. The rate is the original product's.
Not verified: in which words a whole request is refused when it is worked on, and whether a merge whose records failed
in part is called SUCCESS; so records decide wherever there are some. Typical limits of 400 merges and 1,000 polls a
minute were found in one source only.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from app.activation import polling
from app.activation.destination import Attempt, Conversation, Destination, Limits, get
from app.activation.outcome import Delivered, Outcome, Pause, Reason, Rejected, Response, Retry, unreadable
from app.activation.payload import Payload
from app.activation.reply import dig, json_of, json_or_none, word
from app.activation.responsys_api import (
    BODY_BYTES_MAX,
    RECORDS_MAX,
    Settings,
    column,
    group,
    host,
    judged,
    key,
    merge,
    of_records,
    token,
    token_refused,
)  # fmt: skip

POLLS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 120.0, 120.0, 300.0)
DONE = {"SUCCESS", "ERROR", "UNKNOWN"}
DISABLED = "ASYNC_API_DISABLED_FOR_USER"
REFUSED = {"INVALID_PARAMETER", "RECIPIENT_LIMIT_EXCEEDED", "INVALID_REQUEST_CONTENT"}
"""Said of a whole request; sent again it would end the same."""


def converse(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    response = yield merge(payloads, settings, "asyncApi")
    outcome = taken(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    id_ = word(json_of(response), "requestId")
    if not id_:
        return unreadable()
    url = f"{host(settings)}/rest/asyncApi/v1.3/requests/{quote(id_, safe='')}"
    ended = yield from polling.ended(
        lambda after_s: get(url, after_s=after_s),
        lambda reply: word(json_or_none(reply), "status") in DONE,
        POLLS_S,
        lambda reply: taken(reply, attempt.now_s),
    )
    return of_job(json_of(ended), len(payloads)) if isinstance(ended, Response) else ended


def taken(response: Response, now_s: float) -> Outcome:
    """Of a request, or a question, as a whole."""
    disabled = word(json_or_none(response), "errorCode") == DISABLED
    return Pause(Reason.UNAUTHORIZED) if disabled else judged(response, now_s)


def of_job(told: object, count: int) -> Outcome:
    """What a merge has come to."""
    merged = dig(told, "response")
    if dig(merged, "recordData", "records") is not None:
        return of_records(merged, count)
    error = dig(told, "responseMessage") or merged  # the one where a request has expired, else the other
    if word(error, "errorCode") in REFUSED:
        return Rejected(Reason.REFUSED)
    return unreadable() if word(told, "status") == "SUCCESS" else Retry(Reason.SERVER_ERROR)


DESTINATION = Destination(
    name="responsys_batch",
    settings=Settings,
    account=("api_url", "username"),
    limits=Limits(
        requests_per_s=3, in_flight_max=3, jobs_max=10, batch_items_max=RECORDS_MAX, body_bytes_max=BODY_BYTES_MAX,
        reply_bytes_max=1_000_000,
    ),
    calls=("identify",),
    key=key,
    repeats=False,
    group=group,
    converse=converse,
    token=token,
    token_refused=token_refused,
    field_name=column,
)  # fmt: skip
