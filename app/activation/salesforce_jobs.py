"""Salesforce's ingest jobs (Bulk API 2.0): a file of records is upserted as a job, which says whom it could not take.

Sources: developer.salesforce.com Bulk API 2.0: create, upload, close or abort a job, job info, failed record results
(2026); action-destinations for the values of cells (2026-08).
Not verified: the words of a job that fails as a whole. `InvalidBatch`, as for a column that the object does not have,
is taken for a refusal; anything else for a fault that passes.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from io import StringIO
from urllib.parse import quote

from app.activation import polling
from app.activation.destination import Conversation, get, post, send
from app.activation.fields import as_text
from app.activation.outcome import Delivered, Outcome, Reason, Rejected, Response, Retry, by_index, unreadable
from app.activation.reply import dig, json_of, json_or_none, word
from app.activation.request import Request

POLLS_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 120.0, 120.0, 300.0)
COMPLETE = "JobComplete"
ENDED = {COMPLETE, "Failed", "Aborted"}
REFUSED = "InvalidBatch"
NULL = "#N/A"
"""An empty cell leaves a field as it is."""

Judge = Callable[[Response], Outcome]


def upsert(
    records: Sequence[Mapping[str, object]], base: str, object_: str, match_field: str, judge: Judge,
    of_error: Callable[[object], Retry | Rejected],
) -> Conversation:  # fmt: skip
    """A job, to its end; one that does not get its file is aborted. Rejected only as a whole, and not for good.

    Args:
        records: Field → value; each with another value of `match_field`.
        base: The REST API's URL with its version.
        judge: Of a reply as a whole.
        of_error: What a record's error means, given as `statusCode` and `message`.
    """
    job = {
        "object": object_, "operation": "upsert", "externalIdFieldName": match_field, "contentType": "CSV",
        "lineEnding": "LF",
    }  # fmt: skip
    response = yield post(f"{base}/jobs/ingest", job)
    outcome = judge(response)
    if not isinstance(outcome, Delivered):
        return outcome
    id_ = word(json_of(response), "id")
    if not id_:
        return unreadable()
    url = f"{base}/jobs/ingest/{quote(id_, safe='')}"
    for step in (_upload(f"{url}/batches", _table(records)), _state(url, "UploadComplete")):
        outcome = judge((yield step))
        if not isinstance(outcome, Delivered):
            yield _state(url, "Aborted")
            return outcome
    ended = yield from polling.ended(
        lambda after_s: get(url, after_s=after_s),
        lambda reply: word(json_or_none(reply), "state") in ENDED,
        POLLS_S,
        judge,
    )
    if not isinstance(ended, Response):
        return ended
    told = json_of(ended)
    if word(told, "state") != COMPLETE:
        refused = word(told, "errorMessage").startswith(REFUSED)
        return Rejected(Reason.REFUSED) if refused else Retry(Reason.SERVER_ERROR)
    if not (count := dig(told, "numberRecordsFailed")):
        return Delivered()
    response = yield get(f"{url}/failedResults", headers={"Accept": "text/csv"})
    outcome = judge(response)
    if not isinstance(outcome, Delivered):
        return outcome
    if not response.complete:
        return unreadable()
    return _judged(response, [as_text(one[match_field]) for one in records], match_field, count, of_error)


def _upload(url: str, text: str) -> Request:
    return Request("PUT", url, {"Content-Type": "text/csv", "Accept": "application/json"}, text.encode())


def _state(url: str, state: str) -> Request:
    return send("PATCH", url, {"state": state})


def _table(records: Sequence[Mapping[str, object]]) -> str:
    columns = list(dict.fromkeys(field for one in records for field in one))
    rows = StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(columns)
    table.writerows([as_text(one[each]) or NULL if each in one else "" for each in columns] for one in records)
    return rows.getvalue()


def _judged(
    response: Response, keys: Sequence[str], match_field: str, count: object,
    of_error: Callable[[object], Retry | Rejected],
) -> Outcome:  # fmt: skip
    """By the rows that were not taken, where all of them are told; else it is as if all of it were refused."""
    table = csv.DictReader(StringIO(response.body.decode(errors="replace")))
    errors = {row.get(match_field): row.get("sf__Error") or "" for row in table}
    failed: dict[int, Retry | Rejected] = {}
    for at, key in enumerate(keys):
        if key in errors:
            code, _, message = errors[key].partition(":")
            failed[at] = of_error({"statusCode": code, "message": message})
    return by_index(len(keys), failed) if len(failed) == count else Rejected(Reason.REFUSED)
