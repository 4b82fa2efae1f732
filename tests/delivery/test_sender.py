"""The loop around the lane, on a loop whose time jumps: hours of waiting take no time."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from app.activation.destination import Request
from app.activation.outcome import Failure, Reason, Response
from app.delivery.breaker import BreakerSettings
from app.delivery.work import LaneSettings, Record
from tests.delivery.jumping import LoopClock, run_jumping
from tests.delivery.records import record, webhook
from tests.delivery.rig import Rig, running, unreachable

SETTINGS = LaneSettings(breaker=BreakerSettings(in_a_row=10**9, requests_min=10**9))


class Vendor:
    """Answers by turns; afterwards, 200."""

    def __init__(self, *answers: Response | Failure, delay_s: float = 0.0) -> None:
        self.answers = list(answers)
        self.delay_s = delay_s
        self.seen: list[tuple[float, str]] = []
        self.at_once = 0
        self.at_once_max = 0

    async def deliver(self, request: Request, timeout_s: float) -> Response | Failure:
        self.seen.append((asyncio.get_running_loop().time(), str(request.headers["webhook-id"])))
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await asyncio.sleep(self.delay_s)
        self.at_once -= 1
        return self.answers.pop(0) if self.answers else Response(200)


def rig(vendor: Vendor, settings: LaneSettings = SETTINGS, **limits: int) -> Rig:
    made = Rig(webhook(**limits), vendor.deliver, clock=LoopClock(), settings=settings)
    made.sender.assign(0, 0)
    return made


def test_an_outage_of_hours_loses_nothing_and_ends_in_order():
    async def main() -> Vendor:
        vendor = Vendor(*[Response(503)] * 20)
        made = rig(vendor)
        async with running(made):
            await made.sender.take(0, [record(0, "a"), record(1, "a"), record(2, "a")])
            await made.settled(0, 3, timeout_s=3 * 3600)
        assert made.dead == []
        assert made.failpoints == ["after_http_2xx"] * 3
        return vendor

    vendor = run_jumping(main())
    assert [id_ for _, id_ in vendor.seen] == ["a-0"] * 21 + ["a-1", "a-2"]


def test_an_outage_without_end_ends_in_a_dead_letter():
    async def main() -> None:
        vendor = Vendor(*[Failure(Reason.TIMEOUT, "no answer within 15 s")] * 1000)
        made = rig(vendor)
        async with running(made):
            await made.sender.take(0, [record(0, "a")])
            await made.settled(0, 1, timeout_s=5 * 3600)
            ((topic, key, value, headers),) = made.dead
            assert (topic, key, value["id"]) == ("destinations.crm.dead", b"a", "a-0")
            assert value["error"]["reason"] == "expired"
            assert value["error"]["status"] is None
            assert value["error"]["attempts"] == len(vendor.seen) > 3
            assert headers["dead-offset"] == b"0"
            assert headers["message-id"] == b"a-0"

    run_jumping(main())


def test_an_offset_counts_as_settled_only_after_the_dead_letters_ack():
    async def main() -> None:
        acked = asyncio.Event()

        async def ack() -> None:
            await acked.wait()

        made = rig(Vendor(Response(422)))
        made.ack = ack
        async with running(made):
            await made.sender.take(0, [record(0, "a"), record(1, "a")])
            await asyncio.sleep(100)
            assert made.sender.committable(0) == 0
            acked.set()
            await made.settled(0, 2)

    run_jumping(main())


def test_a_dead_letter_that_cannot_be_written_ends_the_sender_with_the_offset_unsettled():
    async def main() -> None:
        async def no_broker() -> None:
            raise ConnectionError("no broker")

        made = rig(Vendor(Response(422)))
        made.ack = no_broker
        task = asyncio.ensure_future(made.sender.run())
        await made.sender.take(0, [record(0, "a")])
        with pytest.raises(ExceptionGroup):
            await task
        assert made.sender.committable(0) == 0

    run_jumping(main())


def test_unreadable_records_are_buried_before_the_batch_is_taken():
    async def main() -> None:
        made = Rig(webhook(), unreachable, clock=LoopClock(), settings=SETTINGS)
        made.sender.assign(0, 5)
        await made.sender.take(0, [Record(5, b"k", b"\xff"), Record(6, None, None)])
        assert made.sender.committable(0) == 7
        assert [(value["original"], headers["dead-offset"]) for _, _, value, headers in made.dead] == [
            ("/w==", b"5"),
            (None, b"6"),
        ]

    run_jumping(main())


def test_a_large_batch_is_taken_in_parts_between_which_others_run():
    async def main() -> None:
        made = Rig(webhook(), unreachable, clock=LoopClock(), settings=SETTINGS)
        made.sender.assign(0, 0)
        seen: list[int] = []

        async def others() -> None:
            while True:
                seen.append(made.lane.pending)
                await asyncio.sleep(0)

        task = asyncio.ensure_future(others())
        await made.sender.take(0, [record(offset, f"p{offset}") for offset in range(350)])
        task.cancel()
        assert made.lane.pending == 350
        assert set(seen) - {0} == {100, 200, 300}

    run_jumping(main())


def test_what_is_left_of_a_batch_is_dropped_when_its_partition_is_revoked():
    async def main() -> None:
        made = Rig(webhook(), unreachable, clock=LoopClock(), settings=SETTINGS)
        made.sender.assign(0, 0)
        taking = asyncio.ensure_future(made.sender.take(0, [record(offset, f"p{offset}") for offset in range(350)]))
        await asyncio.sleep(0)
        made.sender.revoke(0)
        made.sender.assign(0, 50)
        await taking
        assert made.lane.pending == 0

    run_jumping(main())


def test_a_full_lane_makes_its_own_topic_wait_and_revocation_sets_it_free():
    async def main() -> None:
        vendor = Vendor(Response(410))
        made = rig(vendor, LaneSettings(queue_items_max=2), in_flight_max=1)
        async with running(made):
            await made.sender.take(0, [record(0, "a"), record(1, "b"), record(2, "c"), record(3, "d")])
            await made.until(lambda: made.states() == ["disabled"])
            waiting = asyncio.ensure_future(made.sender.take(0, [record(4, "e")]))
            await asyncio.sleep(100)
            assert not waiting.done()
            made.sender.resume()
            await waiting
            await made.settled(0, 5)
            vendor.answers = [Response(410)]
            await made.sender.take(0, [record(offset, f"p{offset}") for offset in range(5, 10)])
            await made.until(lambda: made.states()[-1] == "disabled")
            waiting = asyncio.ensure_future(made.sender.take(0, [record(10, "e")]))
            await asyncio.sleep(100)
            made.sender.revoke(0)
            made.sender.assign(0, 5)
            await waiting  # what it brought belongs to the assignment that is gone
            assert made.lane.pending == 0

    run_jumping(main())


def test_a_paused_lane_probes_on_its_own_and_goes_on_when_one_gets_through():
    async def main() -> Vendor:
        vendor = Vendor(*[Response(403)] * 4)
        made = rig(vendor)
        async with running(made):
            await made.sender.take(0, [record(0, "a")])
            await made.settled(0, 1, timeout_s=3600)
        assert made.states() == ["paused", "running"]
        return vendor

    times = [at_s for at_s, _ in run_jumping(main()).seen]
    assert [round(later - before) for before, later in pairwise(times)] == [10, 20, 40, 80]


def test_no_more_than_the_limit_are_in_flight_and_they_are_in_flight_together():
    async def main() -> Vendor:
        vendor = Vendor(delay_s=1.0)
        made = rig(vendor, in_flight_max=7)
        async with running(made):
            await made.sender.take(0, [record(offset, f"p{offset}") for offset in range(70)])
            began_s = asyncio.get_running_loop().time()
            await made.settled(0, 70)
            assert asyncio.get_running_loop().time() - began_s == pytest.approx(10, abs=0.5)
        return vendor

    assert run_jumping(main()).at_once_max == 7


def test_nothing_is_sent_while_the_worker_may_have_lost_its_partitions():
    async def main() -> None:
        vendor = Vendor()
        made = rig(vendor)
        made.may_send = False
        async with running(made):
            await made.sender.take(0, [record(0, "a")])
            await asyncio.sleep(60)
            assert vendor.seen == []
            made.may_send = True
            await made.settled(0, 1)

    run_jumping(main())


def test_a_payload_above_the_vendors_bytes_is_dead_without_a_request():
    async def main() -> None:
        made = Rig(webhook(body_bytes_max=100), unreachable, clock=LoopClock(), settings=SETTINGS)
        made.sender.assign(0, 0)
        async with running(made):
            await made.sender.take(0, [record(0, "a", filler="x" * 100)])
            await made.settled(0, 1)
        assert made.dead[0][2]["error"]["reason"] == "too_large"
        assert made.dead[0][2]["error"]["request"] is None

    run_jumping(main())


def test_stopping_waits_for_what_is_in_flight_and_begins_nothing():
    async def main() -> None:
        vendor = Vendor(delay_s=5.0)
        made = rig(vendor, in_flight_max=2)
        async with running(made):
            await made.sender.take(0, [record(offset, f"p{offset}") for offset in range(9)])
            await asyncio.sleep(1)
        assert len(vendor.seen) == 2
        assert made.sender.committable(0) == 2

    run_jumping(main())


def test_draining_lets_what_is_under_way_end_and_begins_nothing_until_it_goes_on():
    async def main() -> None:
        vendor = Vendor(Response(422), delay_s=2.0)
        made = rig(vendor, in_flight_max=2)
        written = asyncio.Event()

        async def ack() -> None:
            await asyncio.sleep(1.0)
            written.set()

        made.ack = ack
        async with running(made):
            await made.sender.take(0, [record(offset, f"p{offset}") for offset in range(6)])
            await asyncio.sleep(1.0)
            began_s = asyncio.get_running_loop().time()
            await made.sender.drain()
            assert asyncio.get_running_loop().time() - began_s == pytest.approx(2.0, abs=0.1)
            assert written.is_set(), "a dead letter was still on its way"
            assert (made.lane.under_way, made.lane.pending, len(vendor.seen)) == (0, 4, 2)
            await made.sender.drain()  # nothing is under way: at once
            await asyncio.sleep(10.0)
            assert len(vendor.seen) == 2
            made.sender.go_on()
            await made.settled(0, 6)

    run_jumping(main())
