"""Vendors that take some items of a request and not others, each in its own words: every payload is delivered or dead,
exactly those are dead which the vendor refuses for good, and no person's older state lands after a newer one."""

from __future__ import annotations

import asyncio
import os
import random
from base64 import b64decode
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from app.activation.destination import Request
from app.activation.outcome import Failure, Reason, Response
from app.delivery.breaker import BreakerSettings
from app.delivery.work import LaneSettings, Record
from tests.contract.destination_fixtures import configured
from tests.contract.destination_fixtures import record as record_of
from tests.delivery.jumping import LoopClock, run_jumping
from tests.delivery.rig import Rig, running

SETTINGS = LaneSettings(breaker=BreakerSettings(in_a_row=10**9, requests_min=10**9), brake_share_max=1.0)
PEOPLE, CHANGES = 40, 400
Told = tuple[str, int]
"""(person's number, value): what one item tells."""
Verdict = str
"""ok, refused, later."""


@dataclass(frozen=True)
class Dialect:
    """How one vendor is told of items, and how it answers about them."""

    items: Callable[[Any], list[tuple[str, object]]]
    """The body → (id or address, value) of each item, in order."""
    answer: Callable[[Any, list[Verdict]], tuple[int, object]]
    """(body, verdicts) → status and body."""
    says_later: bool = False
    all_or_nothing: bool = False
    """A request with a refused item changes nothing."""
    settings: dict[str, Any] | None = None


def at(verdicts: list[Verdict], what: Verdict = "refused") -> list[int]:
    return [index for index, verdict in enumerate(verdicts) if verdict == what]


def of_marketo(verdict: Verdict) -> dict[str, Any]:
    code = {"refused": "1004", "later": "1029"}.get(verdict)
    return {"status": "skipped", "reasons": [{"code": code}]} if code else {"status": "updated"}


def of_salesforce(verdict: Verdict) -> dict[str, Any]:
    code = {"refused": "INVALID_FIELD", "later": "UNABLE_TO_LOCK_ROW"}.get(verdict)
    return {"success": code is None, "errors": [{"statusCode": code}] if code else []}


def of_kinesis(verdict: Verdict) -> dict[str, Any]:
    code = {"refused": "ValidationException", "later": "ProvisionedThroughputExceededException"}.get(verdict)
    return {"ErrorCode": code} if code else {"SequenceNumber": "1"}


def kinesis_items(body: Any) -> list[tuple[str, object]]:
    calls = [orjson.loads(b64decode(one["Data"])) for one in body["Records"]]
    return [(call["userId"], call["traits"]["orders"]) for call in calls]


DIALECTS = {
    "braze": Dialect(
        lambda body: [(one["external_id"], one["orders"]) for one in body["attributes"]],
        lambda body, said: (
            201,
            {"message": "success", "errors": [{"input_array": "attributes", "index": index} for index in at(said)]},
        ),
    ),
    "customerio": Dialect(
        lambda body: [(one["identifiers"]["id"], one["attributes"]["orders"]) for one in body["batch"]],
        lambda body, said: (207 if at(said) else 200, {"errors": [{"batch_index": index} for index in at(said)]}),
    ),
    "hubspot": Dialect(
        lambda body: [(one["id"], one["properties"]["orders"]) for one in body["inputs"]],
        lambda body, said: (
            207 if at(said) else 200,
            {
                "results": [{}] * said.count("ok"),
                "errors": [
                    {"context": {"objectWriteTraceId": [body["inputs"][index]["objectWriteTraceId"]]}}
                    for index in at(said)
                ],
            },
        ),
    ),
    "iterable": Dialect(
        lambda body: [(one["userId"], one["dataFields"]["orders"]) for one in body["users"]],
        lambda body, said: (
            200,
            {"failedUpdates": {"invalidUserIds": [body["users"][index]["userId"] for index in at(said)]}},
        ),
        settings={"bulk": True},
    ),
    "marketo": Dialect(
        lambda body: [(one["email"], one["orders"]) for one in body["input"]],
        lambda body, said: (200, {"success": True, "result": [of_marketo(one) for one in said]}),
        says_later=True,
    ),
    "salesforce": Dialect(
        lambda body: [(one["UserId__c"], one["orders__c"]) for one in body["records"]],
        lambda body, said: (200, [of_salesforce(one) for one in said]),
        says_later=True,
    ),
    "kinesis": Dialect(
        kinesis_items,
        lambda body, said: (
            200,
            {"FailedRecordCount": len(said) - said.count("ok"), "Records": [of_kinesis(one) for one in said]},
        ),
        says_later=True,
    ),
    "responsys": Dialect(
        lambda body: [(row[0], row[1]) for row in body["recordData"]["records"]],
        lambda body, said: (
            200,
            {"recordData": {"records": [["MERGEFAILED: no" if one == "refused" else "1"] for one in said]}},
        ),
    ),
    "amplitude": Dialect(
        lambda body: [(one["user_id"], one["user_properties"]["$set"]["orders"]) for one in body["events"]],
        lambda body, said: (
            (400, {"events_with_invalid_fields": {"time": at(said)}}) if at(said) else (200, {"code": 200})
        ),
        all_or_nothing=True,
    ),
    "sfmc": Dialect(
        lambda body: [(one["keys"]["ContactKey"], one["values"]["orders"]) for one in body],
        lambda body, said: (400, {"errorcode": 1, "additionalErrors": [{}]}) if at(said) else (200, {}),
        all_or_nothing=True,
    ),
    "http": Dialect(
        lambda body: [(one["who"], one["what"]) for one in body],
        lambda body, said: (200, {"bad": [{"index": index} for index in at(said)]}),
        settings={"batch": 20, "url": "https://api.example.com/canary-path", "errors_path": "bad",
                  "body": {"who": "{user_id}", "what": "{value}"}},
    ),
}  # fmt: skip


class Vendor:
    """Takes items by its dialect; troubled at random, by a seed."""

    def __init__(self, dialect: Dialect, seed: int) -> None:
        self.dialect = dialect
        self.chance = random.Random(seed)
        self.bad = {number for number in range(CHANGES) if self.chance.random() < 0.1}
        self.applied: dict[str, list[int]] = defaultdict(list)
        self.requests = 0

    def verdict(self, value: int) -> Verdict:
        if value in self.bad:
            return "refused"
        return "later" if self.dialect.says_later and self.chance.random() < 0.2 else "ok"

    async def deliver(self, request: Request, timeout_s: float) -> Response | Failure:
        self.requests += 1
        await asyncio.sleep(self.chance.random())
        if b"grant_type" in request.body or request.method == "GET" or b"auth_type" in request.body:
            return Response(200, {}, b'{"access_token": "t", "authToken": "t"}')
        trouble = self.chance.random()
        if trouble < 0.05:
            return Response(self.chance.choice([429, 503]), {"retry-after": "2"})
        body = orjson.loads(request.body)
        told: list[Told] = [
            (who.strip("up-").partition("@")[0], int(str(what))) for who, what in self.dialect.items(body)
        ]
        verdicts = [self.verdict(value) for _, value in told]
        if not (self.dialect.all_or_nothing and "refused" in verdicts):
            for (who, value), verdict in zip(told, verdicts, strict=True):
                if verdict == "ok":
                    self.applied[who].append(value)
        if trouble < 0.1:
            return Failure(Reason.TIMEOUT, "no answer")  # though all of it was taken
        status, answer = self.dialect.answer(body, verdicts)
        return Response(status, {}, orjson.dumps(answer))


def change(number: int, person: int) -> Record:
    ids = {"user_id": f"u-{person}", "email": f"p{person}@example.com"}
    short = {"profile": f"prf_{person}", "kind": "computed", "key": "orders", "value": number, "ids": ids}
    short["id"] = f"00000000-0000-5000-8000-{number:012d}"
    return Record(number, b"", orjson.dumps(record_of(short) | {"sequence": number}))


@pytest.mark.parametrize("name", DIALECTS)
def test_each_item_comes_to_what_the_vendor_said_of_it(name):
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"{name}: SEED={seed}")
    dialect = DIALECTS[name]

    async def main() -> None:
        vendor = Vendor(dialect, seed)
        chance = random.Random(seed + 1)
        people = [chance.randrange(PEOPLE) for _ in range(CHANGES)]
        target = configured(name, {"settings": dialect.settings or {}})
        made = Rig(target, vendor.deliver, clock=LoopClock(), settings=SETTINGS, seed=seed)
        made.sender.assign(0, 0)
        async with running(made):
            await made.sender.take(0, [change(number, person) for number, person in enumerate(people)])
            await made.settled(0, CHANGES, timeout_s=4 * 3600)
        dead = {int(value["id"].rpartition("-")[2]) for _, _, value, _ in made.dead}
        assert dead == vendor.bad
        assert made.count("delivered") == CHANGES - len(dead)
        for person in range(PEOPLE):
            wanted = [number for number, whose in enumerate(people) if whose == person and number not in vendor.bad]
            assert vendor.applied[str(person)] == sorted(vendor.applied[str(person)]), "order"
            assert sorted(set(vendor.applied[str(person)])) == wanted
        print(f"{vendor.requests} requests for {CHANGES} changes, {len(dead)} dead")

    run_jumping(main())
