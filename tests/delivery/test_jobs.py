"""Vendors that take a request and work on it: jobs that fail, that never end, that leave out items, and questions about
them that are turned away. Every payload is delivered or dead, and no person's older state lands after a newer one."""

from __future__ import annotations

import asyncio
import csv
import os
import random
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from io import StringIO
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson
import pytest

from app.activation.destination import Request
from app.activation.outcome import Failure, Reason, Response
from app.activation.settings import Secret
from app.delivery.breaker import BreakerSettings
from app.delivery.work import LaneSettings
from tests.contract.destination_fixtures import configured
from tests.delivery.jumping import LoopClock, run_jumping
from tests.delivery.rig import Rig, running
from tests.delivery.test_partial_failures import CHANGES, PEOPLE, change

SETTINGS = LaneSettings(breaker=BreakerSettings(in_a_row=10**9, requests_min=10**9), brake_share_max=1.0)
FATES = ["done", "fails", "never"]
"""A job that never ends is done, and nobody is told."""
AFTER_S = 90.0
"""What a vendor wants that has turned a question away."""


@dataclass(slots=True)
class Job:
    """What a vendor works on."""

    fate: str
    until_s: float
    values: list[int]
    not_before_s: float = 0.0


class Vendor(ABC):
    """A vendor's words are its class's; what happens is drawn by a seed."""

    single: ClassVar[str] = ""
    """The path of requests about one person, where there are some: those are no jobs."""
    settings: ClassVar[dict[str, Any]] = {}

    def __init__(self, seed: int, people: list[int]) -> None:
        """`people`: whose each value is."""
        self.people = people
        self.chance = random.Random(seed)
        self.bad = {number for number in range(CHANGES) if self.chance.random() < 0.05}
        self.applied: dict[str, list[int]] = defaultdict(list)
        self.jobs: list[Job] = []
        self.fates = self.chance.sample(FATES, len(FATES))
        """Of the first jobs: each is seen, whatever the seed."""
        self.told: Counter[str] = Counter()
        self.too_soon: list[float] = []
        """How long before the time that it wanted it was asked again."""

    # a vendor's words

    @abstractmethod
    def items(self, body: Any) -> list[tuple[str, object]]:
        """(id or address, value) of each."""

    @abstractmethod
    def accepted(self, id_: str) -> Response: ...

    @abstractmethod
    def asked(self, path: str) -> str:
        """The job that a question is about."""

    @abstractmethod
    def working(self) -> object: ...

    @abstractmethod
    def failed(self) -> object: ...

    @abstractmethod
    def done(self, path: str, values: list[int]) -> object: ...

    # what all of them do

    async def deliver(self, request: Request, timeout_s: float) -> Response | Failure:
        await asyncio.sleep(self.chance.random())
        url = request.url.reveal() if isinstance(request.url, Secret) else request.url
        path = urlsplit(url).path
        if b"auth_type" in request.body:
            return json_of({"authToken": "t"})
        if request.method == "GET":
            return self._answer(path)
        told = [(who.strip("up-").partition("@")[0], int(str(what))) for who, what in self.items(request.body)]
        if path == self.single:
            ((who, value),) = told
            self._apply(who, value)
            return Response(422 if value in self.bad else 200, {}, b"{}")
        fate = self.fates.pop() if self.fates else self.chance.choices(FATES, (8, 1, 1))[0]
        for who, value in told if fate != "fails" else told[: self.chance.randrange(len(told))]:
            self._apply(who, value)
        self.told[fate] += 1
        now_s = asyncio.get_running_loop().time()
        self.jobs.append(Job(fate, now_s + self.chance.expovariate(1 / 20), [value for _, value in told]))
        if self.chance.random() < 0.05:
            return Failure(Reason.TIMEOUT, "no answer")  # though it has it
        return self.accepted(str(len(self.jobs) - 1))

    def _apply(self, who: str, value: int) -> None:
        if value not in self.bad:
            self.applied[who].append(value)

    def _answer(self, path: str) -> Response:
        job, now_s = self.jobs[int(self.asked(path))], asyncio.get_running_loop().time()
        if now_s < job.not_before_s:
            self.too_soon.append(job.not_before_s - now_s)
        if self.chance.random() < 0.2 or not self.told["throttled"]:
            self.told["throttled"] += 1
            job.not_before_s = now_s + AFTER_S
            return Response(429, {"retry-after": str(int(AFTER_S))})
        if job.fate == "never" or now_s < job.until_s:
            return json_of(self.working())
        told = self.failed() if job.fate == "fails" else self.done(path, job.values)
        return told if isinstance(told, Response) else json_of(told)


class Klaviyo(Vendor):
    single = "/api/profile-import"
    settings: ClassVar = {"bulk": True}

    def items(self, body: Any) -> list[tuple[str, object]]:
        told = orjson.loads(body)["data"]["attributes"]
        people = [one["attributes"] for one in told["profiles"]["data"]] if "profiles" in told else [told]
        return [(one["external_id"], one["properties"]["orders"]) for one in people]

    def accepted(self, id_: str) -> Response:
        return json_of({"data": {"id": id_}}, 202)

    def asked(self, path: str) -> str:
        return path.split("/")[3]

    def working(self) -> object:
        return {"data": {"attributes": {"status": "processing"}}}

    def failed(self) -> object:
        return {"data": {"attributes": {"status": "cancelled"}}}

    def done(self, path: str, values: list[int]) -> object:
        bad = [value for value in values if value in self.bad]
        if not path.endswith("import-errors"):
            return {"data": {"attributes": {"status": "complete", "failed_count": len(bad)}}}
        named = [{"external_id": f"u-{self.people[value]}"} for value in bad]
        return {"data": [{"attributes": {"original_payload": one}} for one in named]}


class Zendesk(Vendor):
    single = "/api/v2/users/create_or_update.json"
    settings: ClassVar = {"bulk": True}

    def items(self, body: Any) -> list[tuple[str, object]]:
        told = orjson.loads(body)
        people = told["users"] if "users" in told else [told["user"]]
        return [(one["external_id"], one["user_fields"]["orders"]) for one in people]

    def accepted(self, id_: str) -> Response:
        return json_of({"job_status": {"id": id_, "status": "queued"}})

    def asked(self, path: str) -> str:
        return path.rpartition("/")[2].removesuffix(".json")

    def working(self) -> object:
        return {"job_status": {"status": "working"}}

    def failed(self) -> object:
        return {"job_status": {"status": "killed"}}

    def done(self, path: str, values: list[int]) -> object:
        results = [{"status": "Failed"} if value in self.bad else {"status": "Updated"} for value in values]
        return {"job_status": {"status": "completed", "results": results}}


class Responsys(Vendor):
    def items(self, body: Any) -> list[tuple[str, object]]:
        return [(row[0], row[1]) for row in orjson.loads(body)["recordData"]["records"]]

    def accepted(self, id_: str) -> Response:
        return json_of({"requestId": id_, "status": "REQUEST_ACCEPTED"}, 202)

    def asked(self, path: str) -> str:
        return path.rpartition("/")[2]

    def working(self) -> object:
        return {"response": {"errorCode": "PROCESSING_REQUEST"}, "status": "IN_PROGRESS"}

    def failed(self) -> object:
        return {"responseMessage": {"errorCode": "ASYNC_REQUEST_EXPIRED"}, "status": "ERROR"}

    def done(self, path: str, values: list[int]) -> object:
        records = [["MERGEFAILED: no"] if value in self.bad else ["1"] for value in values]
        return {"response": {"recordData": {"records": records}}, "status": "SUCCESS"}


class Salesforce(Vendor):
    """A job is opened, given its file, and closed; then it begins."""

    settings: ClassVar = {"bulk_from": 1}

    def __init__(self, seed: int, people: list[int]) -> None:
        super().__init__(seed, people)
        self.files: list[bytes] = []

    async def deliver(self, request: Request, timeout_s: float) -> Response | Failure:
        path = urlsplit(str(request.url)).path
        if path.endswith("/token"):
            return json_of({"access_token": "t"})
        if path.endswith("/jobs/ingest"):
            self.files.append(b"")
            return json_of({"id": str(len(self.files) - 1)})
        if request.method == "PUT":
            self.files[int(path.split("/")[-2])] = request.body
            return Response(201)
        if request.method == "PATCH":
            request = replace(request, body=self.files[int(path.rpartition("/")[2])])
        return await super().deliver(request, timeout_s)

    def items(self, body: Any) -> list[tuple[str, object]]:
        return [(row["UserId__c"], row["orders__c"]) for row in csv.DictReader(StringIO(body.decode()))]

    def accepted(self, id_: str) -> Response:
        return json_of({"state": "UploadComplete"})

    def asked(self, path: str) -> str:
        file = self.files[int(path.removesuffix("/failedResults").rpartition("/")[2])]
        values = [int(str(value)) for _, value in self.items(file)]
        return str(max(at for at, job in enumerate(self.jobs) if job.values == values))

    def working(self) -> object:
        return {"state": "InProgress"}

    def failed(self) -> object:
        return {"state": "Failed", "errorMessage": "InternalServerError : later"}

    def done(self, path: str, values: list[int]) -> object:
        bad = [value for value in values if value in self.bad]
        if not path.endswith("/failedResults"):
            return {"state": "JobComplete", "numberRecordsFailed": len(bad)}
        rows = [f"u-{self.people[value]},INVALID_FIELD:no --" for value in bad]
        return Response(200, {}, "\n".join(["UserId__c,sf__Error", *rows]).encode())


def json_of(value: object, status: int = 200) -> Response:
    return Response(status, {}, orjson.dumps(value))


WORKS_S = 60.0


class Slow(Responsys):
    """Each job takes a minute; nothing goes wrong."""

    def __init__(self) -> None:
        super().__init__(1, [])
        self.bad, self.fates, self.begun_s = set[int](), [], list[float]()
        self.at_once = self.at_once_max = 0

    async def deliver(self, request: Request, timeout_s: float) -> Response | Failure:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        await asyncio.sleep(1.0)
        self.at_once -= 1
        now_s = asyncio.get_running_loop().time()
        if b"auth_type" in request.body:
            return json_of({"authToken": "t"})
        if request.method == "GET":
            job = self.jobs[int(self.asked(str(request.url)))]
            return json_of(self.working() if now_s < job.until_s else self.done("", job.values))
        self.begun_s.append(now_s)
        self.jobs.append(Job("done", now_s + WORKS_S, [int(str(value)) for _, value in self.items(request.body)]))
        return self.accepted(str(len(self.jobs) - 1))


def test_while_a_job_is_waited_for_others_are_begun_and_no_more_requests_are_under_way() -> None:
    async def main() -> None:
        vendor = Slow()
        made = Rig(configured("responsys_batch"), vendor.deliver, clock=LoopClock(), settings=SETTINGS)
        count = 10 * 200
        made.sender.assign(0, 0)
        async with running(made):
            await made.sender.take(0, [change(number, number) for number in range(count)])
            await made.settled(0, count, timeout_s=3_600)
        assert 10 <= len(vendor.begun_s) <= 13
        assert vendor.begun_s[-1] - vendor.begun_s[0] < WORKS_S
        assert vendor.at_once_max == 3

    run_jumping(main())


@pytest.mark.parametrize(
    ("name", "kind"),
    [("klaviyo", Klaviyo), ("zendesk", Zendesk), ("responsys_batch", Responsys), ("salesforce", Salesforce)],
)
def test_each_item_comes_to_what_became_of_its_job(name: str, kind: type[Vendor]) -> None:
    seed = int(os.environ.get("SEED", random.randrange(2**32)))
    print(f"{name}: SEED={seed}")
    chance = random.Random(seed + 1)
    people = [chance.randrange(PEOPLE) for _ in range(CHANGES)]

    async def main() -> None:
        vendor = kind(seed, people)
        made = Rig(
            configured(name, {"settings": kind.settings}), vendor.deliver,
            clock=LoopClock(), settings=SETTINGS, seed=seed,
        )  # fmt: skip
        made.sender.assign(0, 0)
        async with running(made):
            await made.sender.take(0, [change(number, person) for number, person in enumerate(people)])
            await made.settled(0, CHANGES, timeout_s=72 * 3600)
        dead = {int(value["id"].rpartition("-")[2]) for _, _, value, _ in made.dead}
        print(f"{len(vendor.jobs)} jobs, {dict(vendor.told)}, {len(dead)} dead")
        assert dead == vendor.bad
        for person in range(PEOPLE):
            wanted = [number for number, whose in enumerate(people) if whose == person and number not in vendor.bad]
            assert vendor.applied[str(person)] == sorted(vendor.applied[str(person)]), "order"
            assert sorted(set(vendor.applied[str(person)])) == wanted
        assert vendor.too_soon == []
        assert vendor.told.keys() == {*FATES, "throttled"}

    run_jumping(main())
