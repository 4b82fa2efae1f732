"""Exchanges of several requests, and access tokens, through a whole sender."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import orjson
import pytest

from app.activation.destination import Configured, Request, Secret
from app.activation.outcome import Failure, Reason, Response
from app.delivery.breaker import BreakerSettings
from app.delivery.limiter import Limiter
from app.delivery.work import LaneSettings, Record
from tests.contract.destination_fixtures import configured
from tests.contract.destination_fixtures import record as record_of
from tests.delivery.jumping import LoopClock, run_jumping
from tests.delivery.rig import Rig, running
from tests.delivery.test_limiter import most_in_a_second

SETTINGS = LaneSettings(breaker=BreakerSettings(in_a_row=10**9, requests_min=10**9))
OK: dict[str, Any] = {"status": 200, "body": {}}
Answer = Response | Failure


def answer(status: int, body: object = None) -> Response:
    return Response(status, {}, b"" if body is None else orjson.dumps(body))


class Vendor:
    """Answers by a function of the request; remembers when what came, with which authorization."""

    def __init__(self, reply: Callable[[Request], Answer], delay_s: float = 0.0) -> None:
        self.reply = reply
        self.delay_s = delay_s
        self.seen: list[tuple[str, str]] = []
        self.auth: list[str] = []

    async def deliver(self, request: Request, timeout_s: float) -> Answer:
        url = request.url.reveal() if isinstance(request.url, Secret) else request.url
        self.seen.append((request.method, url.partition("?")[0].rpartition("/")[2]))
        header = request.headers.get("Authorization", "")
        self.auth.append(header.reveal() if isinstance(header, Secret) else header)
        await asyncio.sleep(self.delay_s)
        return self.reply(request)


def people(count: int, **more: Any) -> list[Record]:
    shorts = [
        {"id": f"m{n}", "profile": f"prf_{n}", "kind": "entered",
         "ids": {"user_id": f"u-{n}", "email": f"p{n}@example.com"}} | more
        for n in range(count)
    ]  # fmt: skip
    return [Record(n, b"", orjson.dumps(record_of(short))) for n, short in enumerate(shorts)]


def rig(configured_: Configured, vendor: Vendor, **more: Any) -> Rig:
    made = Rig(configured_, vendor.deliver, clock=LoopClock(), settings=SETTINGS, **more)
    made.sender.assign(0, 0)
    return made


def tokens(vendor_says: Callable[[Request, str], Answer], *, lifetime_s: int = 3600, delay_s: float = 0.1) -> Vendor:
    """Gives tokens t1, t2, …; the rest is answered by a function of request and token."""
    given = 0

    def reply(request: Request) -> Answer:
        nonlocal given
        url = request.url.reveal() if isinstance(request.url, Secret) else request.url
        if url.partition("?")[0].endswith("/token"):
            given += 1
            return answer(200, {"access_token": f"t{given}", "expires_in": lifetime_s})
        header = request.headers["Authorization"]
        assert isinstance(header, Secret)
        return vendor_says(request, header.reveal().removeprefix("Bearer "))

    return Vendor(reply, delay_s=delay_s)


def accepted(request: Request) -> Response:
    body = orjson.loads(request.body)
    return answer(200, [{"success": True} for _ in body["records"]])


def test_one_token_serves_all_until_it_ends():
    async def main() -> None:
        vendor = tokens(lambda request, token: accepted(request), lifetime_s=600)
        made = rig(configured("salesforce"), vendor)
        async with running(made):
            await made.sender.take(0, people(3))
            await made.settled(0, 3)
            assert [name for _, name in vendor.seen].count("token") == 1
            await asyncio.sleep(541)
            await made.sender.take(0, [Record(3, b"", people(1)[0].value)])
            await made.settled(0, 4)
            assert [name for _, name in vendor.seen].count("token") == 2
        assert made.dead == []

    run_jumping(main())


def test_many_requests_at_once_ask_for_one_token():
    async def main() -> None:
        vendor = tokens(lambda request, token: answer(200, {"id": 1}))
        made = rig(configured("pardot"), vendor)
        async with running(made):
            await made.sender.take(0, people(20))
            await made.settled(0, 20)
        assert [name for _, name in vendor.seen].count("token") == 1
        assert vendor.auth.count("Bearer t1") == 20

    run_jumping(main())


def test_a_refused_token_is_replaced_once_and_the_request_sent_again():
    async def main() -> None:
        vendor = tokens(lambda request, token: accepted(request) if token != "t1" else answer(401))
        made = rig(configured("salesforce"), vendor)
        async with running(made):
            await made.sender.take(0, people(2))
            await made.settled(0, 2)
        assert made.states() == []
        assert vendor.auth == ["", "Bearer t1", "", "Bearer t2"]

    run_jumping(main())


def test_a_token_that_is_refused_inside_a_200_too():
    async def main() -> None:
        def says(request: Request, token: str) -> Answer:
            if token == "t1":
                return answer(200, {"success": False, "errors": [{"code": "602", "message": "expired"}]})
            return answer(200, {"success": True, "result": [{"status": "updated"}]})

        vendor = tokens(says)
        made = rig(configured("marketo"), vendor)
        async with running(made):
            await made.sender.take(0, people(1))
            await made.settled(0, 1)
        assert vendor.auth == ["", "Bearer t1", "", "Bearer t2"]

    run_jumping(main())


def test_a_vendor_that_refuses_every_token_pauses_the_destination():
    async def main() -> None:
        vendor = tokens(lambda request, token: answer(401))
        made = rig(configured("salesforce"), vendor)
        async with running(made):
            await made.sender.take(0, people(1))
            await made.until(lambda: made.states() == ["paused"])
            assert made.sender.committable(0) == 0
        assert made.dead == []
        assert len(vendor.seen) == 4

    run_jumping(main())


def test_a_refused_refresh_pauses_and_a_login_that_is_down_is_waited_for():
    async def main() -> None:
        down = (
            [answer(503)] * 3 + [Failure(Reason.CONNECTION, "broken")] + [answer(400, {"error": "invalid_grant"})] * 2
        )

        def reply(request: Request) -> Answer:
            if str(request.url).endswith("/token"):
                return down.pop(0) if down else answer(200, {"access_token": "t"})
            return accepted(request)

        made = rig(configured("salesforce"), Vendor(reply))
        async with running(made):
            await made.sender.take(0, people(1))
            await made.until(lambda: made.states() == ["paused"], timeout_s=3600)
            await made.settled(0, 1, timeout_s=3600)  # by the probes
            assert made.states() == ["paused", "running"]
        assert made.dead == []

    run_jumping(main())


def test_no_token_is_in_a_dead_letter():
    async def main() -> None:
        def says(request: Request, token: str) -> Answer:
            return answer(400, [{"errorCode": "MALFORMED", "message": f"you sent Bearer {token}-canary and {token}"}])

        def reply(request: Request) -> Answer:
            if str(request.url).endswith("/token"):
                return answer(200, {"access_token": "canary-token"})
            header = request.headers["Authorization"]
            assert isinstance(header, Secret)
            return says(request, header.reveal().removeprefix("Bearer "))

        made = rig(configured("salesforce"), Vendor(reply))
        async with running(made):
            await made.sender.take(0, people(1))
            await made.settled(0, 1)
        ((_, _, value, _),) = made.dead
        assert "canary-token" not in orjson.dumps(value).decode()
        assert "[secret]" in value["error"]["response"]["body"]

    run_jumping(main())


def test_a_look_up_and_a_write_are_two_requests_of_one_rate_and_the_answer_is_kept():
    async def main() -> None:
        turns: list[float] = []

        async def turn() -> None:
            turns.append(asyncio.get_running_loop().time())
            await asyncio.sleep(1.0)

        def reply(request: Request) -> Answer:
            if str(request.url).endswith("/search"):
                return answer(200, {"data": [{"id": "c-1"}]})
            return answer(200, {})

        vendor = Vendor(reply)
        made = rig(configured("intercom"), vendor, turn=turn)
        async with running(made):
            await made.sender.take(0, people(1))
            await made.settled(0, 1)
            await made.sender.take(0, [Record(1, b"", people(1)[0].value)])
            await made.settled(0, 2)
        assert vendor.seen == [("POST", "search"), ("PUT", "c-1"), ("PUT", "c-1")]
        assert len(turns) >= 3
        assert all(later - before >= 1.0 for before, later in pairwise(turns))

    run_jumping(main())


def test_a_job_is_asked_for_until_it_is_done_and_one_with_errors_is_split():
    async def main() -> None:
        jobs: dict[str, int] = {}

        def reply(request: Request) -> Answer:
            url = str(request.url)
            if url.endswith("/field_definitions"):
                return answer(200, {"custom_fields": [{"id": "e1_T", "name": "vip", "field_type": "Text"}]})
            if url.endswith("/contacts"):
                contacts = orjson.loads(request.body)["contacts"]
                jobs[f"j{len(jobs)}"] = sum(one["external_id"] == "u-1" for one in contacts)
                return answer(202, {"job_id": f"j{len(jobs) - 1}"})
            bad = jobs[url.rpartition("/")[2]]
            return answer(200, {"status": "errored" if bad else "completed", "results": {"errored_count": bad}})

        made = rig(configured("sendgrid"), Vendor(reply))
        async with running(made):
            await made.sender.take(0, people(3))
            await made.settled(0, 3)
        assert len(jobs) == 4  # together, then each alone
        assert made.count("delivered") == 2
        ((_, _, value, _),) = made.dead
        assert value["id"] == "m1"

    run_jumping(main())


def test_an_answer_that_says_nothing_is_tried_three_times():
    async def main() -> None:
        vendor = Vendor(lambda request: Response(200, {}, b"<html>welcome</html>"))
        made = rig(configured("braze"), vendor)
        async with running(made):
            await made.sender.take(0, people(1))
            await made.settled(0, 1)
        assert len(vendor.seen) == 3
        ((_, _, value, _),) = made.dead
        assert value["error"]["reason"] == "unreadable"

    run_jumping(main())


def test_a_payload_of_which_no_request_can_be_made_is_dead_without_one():
    async def main() -> None:
        vendor = Vendor(lambda request: answer(200, {}))
        made = rig(configured("customerio"), vendor)
        async with running(made):
            # Its event ids are made of message ids, and these are none of ours.
            await made.sender.take(0, people(2, track=True))
            await made.settled(0, 2)
        assert vendor.seen == []
        assert [value["error"]["reason"] for _, _, value, _ in made.dead] == ["unreadable"] * 2
        assert "badly formed hexadecimal UUID" in made.dead[0][2]["error"]["message"]
        assert made.dead[0][2]["error"]["request"] is None

    run_jumping(main())


@pytest.mark.parametrize(
    ("name", "missing"), [("hubspot", "hub_id"), ("sfmc", "event_definition_key"), ("marketo", "activities")]
)
def test_events_that_a_setting_is_missing_for_are_filtered(name, missing):
    async def main() -> None:
        vendor = Vendor(lambda request: answer(204))
        made = rig(configured(name, {"settings": {missing: None}}), vendor)
        async with running(made):
            await made.sender.take(0, people(2, track=True))
        assert made.sender.committable(0) == 2
        assert vendor.seen == []
        assert made.count("filtered") == 2

    run_jumping(main())


def test_an_exchange_whose_partition_has_gone_asks_no_further():
    async def main() -> None:
        made: Rig

        def reply(request: Request) -> Answer:
            made.sender.revoke(0)
            return answer(200, {"data": [{"id": "c-1"}]})

        vendor = Vendor(reply)
        made = rig(configured("intercom"), vendor)
        async with running(made):
            await made.sender.take(0, people(1))
            await asyncio.sleep(60)
        assert vendor.seen == [("POST", "search")]
        assert made.dead == []

    run_jumping(main())


def test_nothing_further_is_asked_while_the_worker_may_have_lost_its_partitions():
    async def main() -> None:
        made: Rig

        def reply(request: Request) -> Answer:
            made.may_send = False
            return answer(200, {"data": [{"id": "c-1"}]})

        vendor = Vendor(reply)
        made = rig(configured("intercom"), vendor)
        async with running(made):
            await made.sender.take(0, people(1))
            await asyncio.sleep(60)
            assert len(vendor.seen) == 1
            made.may_send = True
            await made.settled(0, 1)
        assert len(vendor.seen) == 2

    run_jumping(main())


def test_a_partition_that_goes_while_a_token_is_asked_for_sends_nothing_more():
    async def main() -> None:
        made: Rig

        def reply(request: Request) -> Answer:
            made.sender.revoke(0)
            return answer(200, {"access_token": "t1"})

        vendor = Vendor(reply)
        made = rig(configured("salesforce"), vendor)
        async with running(made):
            await made.sender.take(0, people(1))
            await asyncio.sleep(60)
        assert [name for _, name in vendor.seen] == ["token"]

    run_jumping(main())


def test_a_vendor_is_told_apart_from_the_people_who_send_too_much_to_it():
    """One user's own limit holds back that user and nobody else."""

    async def main() -> None:
        first = [True]

        def reply(request: Request) -> Answer:
            if orjson.loads(request.body)["user"]["external_id"] == "u-0" and first:
                first.clear()
                return Response(429, {"x-rate-limit-remaining": "100", "retry-after": "60"})
            return answer(200, {})

        vendor = Vendor(reply)
        made = rig(configured("zendesk"), vendor)
        async with running(made):
            began_s = asyncio.get_running_loop().time()
            await made.sender.take(0, people(5))
            await made.until(lambda: made.count("delivered") == 4)
            assert asyncio.get_running_loop().time() - began_s < 1
            await made.settled(0, 5, timeout_s=120)
            assert asyncio.get_running_loop().time() - began_s >= 60

    run_jumping(main())


def test_a_token_that_is_refused_and_cannot_be_replaced_pauses_at_once():
    async def main() -> None:
        logins = [answer(200, {"access_token": "t1"}), answer(400, {"error": "invalid_grant"})]
        vendor = Vendor(lambda request: logins.pop(0) if str(request.url).endswith("/token") else answer(401))
        made = rig(configured("salesforce"), vendor)
        async with running(made):
            await made.sender.take(0, people(1))
            await made.until(lambda: made.states() == ["paused"])
        assert [name for _, name in vendor.seen] == ["token", "UserId__c", "token"]
        assert made.dead == []

    run_jumping(main())


def test_those_who_have_waited_for_a_token_together_do_not_send_together():
    """Each had its turn of the rate before; sent at once, they would pass the rate on the vendor's clock."""

    async def main() -> list[float]:
        vendor = tokens(lambda request, token: answer(200, {"id": 1}), delay_s=2.0)
        clock = LoopClock()
        limiter = Limiter(2, clock=clock)
        limiter.set_share(range(1), 1)
        stamps: list[float] = []

        async def deliver(request: Request, timeout_s: float) -> Answer:
            stamps.append(clock.monotonic_s())
            return await vendor.deliver(request, timeout_s)

        made = Rig(configured("pardot"), deliver, clock=clock, settings=SETTINGS, turn=limiter.acquire)
        made.sender.assign(0, 0)
        async with running(made):
            await made.sender.take(0, people(12))
            await made.settled(0, 12)
        return stamps

    assert most_in_a_second(run_jumping(main())) <= 2
