"""Salesforce: what is made of a job that is refused as a whole, when it was about more than a call takes."""

from __future__ import annotations

import orjson

from app.activation.destination import Attempt
from app.activation.outcome import Delivered, Outcome, Partial, Pause, Reason, Rejected, Response
from tests.contract.destination_fixtures import configured, payload

MISSING = {"success": False, "errors": [{"statusCode": "INVALID_FIELD", "message": "No such column"}]}


def said(value: object, status: int = 200) -> Response:
    return Response(status, {}, orjson.dumps(value))


def outcome(count: int, calls: list[Response]) -> tuple[list[int], Outcome]:
    """How many records each call was about, and what came of so many payloads."""
    payloads = [payload({"id": f"m{at}", "kind": "entered", "ids": {"user_id": f"u-{at}"}}) for at in range(count)]
    talk = configured("salesforce", {"settings": {"bulk_from": 2}}).converse(payloads, Attempt(0))
    refused = said({"state": "Failed", "errorMessage": "InvalidBatch : Field name not found : vip__c"})
    replies = [said({"id": "750"}), Response(201, {}, b""), said({}), refused, *calls]
    sizes, request = [], next(talk)
    try:
        for reply in replies:
            if "/composite/" in str(request.url):
                sizes.append(len(orjson.loads(request.body)["records"]))
            request = talk.send(reply)
    except StopIteration as end:
        return sizes, end.value
    raise AssertionError(f"it asks for more: {request}")


def test_calls_judge_each_record_by_itself() -> None:
    good = {"success": True}
    sizes, came = outcome(401, [said([good] * 200), said([good] * 199 + [MISSING]), said([MISSING])])
    assert sizes == [200, 200, 1]
    assert came == Partial((Delivered(),) * 399 + (Rejected(Reason.REFUSED),) * 2)


def test_what_stops_a_destination_stops_there() -> None:
    sizes, came = outcome(401, [said([{"success": True}] * 200), said([{"errorCode": "INSUFFICIENT_ACCESS"}], 403)])
    assert sizes == [200, 200]
    assert came == Pause(Reason.UNAUTHORIZED)
