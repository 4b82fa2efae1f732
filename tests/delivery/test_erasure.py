"""Of an erased profile nothing is sent but what its erasure tells, and the receipt hears what became of that."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import orjson
import pytest

from app.activation.destination import Configured, Request
from app.activation.outcome import Delivered, Failure, Outcome, Pause, Reason, Rejected, Response, Retry
from app.delivery.lane import Lane
from app.delivery.work import LaneSettings, Record, Settled
from tests.delivery.jumping import LoopClock, run_jumping
from tests.delivery.records import record, webhook
from tests.delivery.rig import Rig, running
from tests.delivery.test_lane import SETTINGS, Driver, ids

FAILS = Retry(Reason.SERVER_ERROR)


def own(offset: int, profile: str = "ann", *, delete: bool = False) -> Record:
    """What the erasure itself tells."""
    made = record(offset, profile)
    body = orjson.loads(made.value or b"") | {"origin": "erasure"}
    if delete:
        body["computation"] = {"class": "erasure", "id": "reg_1", "key": ""}
        body["payload"] = {"type": "delete", "messageId": body["id"], "userId": profile, "traits": {}}
    return Record(offset, made.key, orjson.dumps(body))


class Erasing(Driver):
    """A lane that can be told of erased profiles."""

    def __init__(self, settings: LaneSettings = SETTINGS, **limits: Any) -> None:
        super().__init__(settings, **limits)
        self.erased: set[str] = set()
        self.lane = Lane(webhook(**limits), settings, jitter=lambda: 0.5, observe=self.facts.append, erased=self.erased)
        self.lane.assign(0, 0)

    def erase(self, *profiles: str) -> None:
        self.erased.update(profiles)
        self.lane.drop_erased()

    def void(self) -> list[str]:
        return [
            fact.payload.id for fact in self.facts
            if isinstance(fact, Settled) and fact.reason is Reason.ERASED and fact.payload is not None
        ]  # fmt: skip


def test_what_waits_is_dropped_wherever_it_waits() -> None:
    lane = Erasing()
    lane.take(*(record(offset, "ann") for offset in range(3)), record(3, "bob"), record(4, "eve"))
    lane.answer(FAILS)  # ann's first is parked, two wait behind it
    lane.answer(Delivered())
    lane.answer(Delivered())
    assert lane.lane.parked == 3
    lane.take(record(5, "ann"), record(6, "eve"))
    lane.erase("ann", "eve")
    assert sorted(lane.void()) == ["ann-0", "ann-1", "ann-2", "ann-5", "eve-6"]
    assert (lane.committable, lane.lane.pending, lane.lane.parked, lane.next()) == (7, 0, 0, None)
    assert lane.lane.dropped == {"ann": 4, "eve": 1}


def test_what_comes_later_is_dropped_and_the_erasure_s_own_goes_out_in_order() -> None:
    lane = Erasing()
    lane.erase("ann")
    lane.take(record(0, "ann"), own(1), own(2, delete=True), record(3, "ann"), record(4, "bob"))
    sent: list[str] = []
    while batch := lane.next():
        sent += ids(batch)
        lane.settle(batch, Delivered())
    assert sent == ["ann-1", "ann-2", "bob-4"]
    assert lane.void() == ["ann-0", "ann-3"]
    assert lane.committable == 5


@pytest.mark.parametrize("outcome", [FAILS, Rejected(Reason.REFUSED), Pause(Reason.UNAUTHORIZED)])
def test_one_in_flight_is_neither_tried_again_nor_kept_as_a_dead_letter(outcome: Any) -> None:
    lane = Erasing()
    lane.take(record(0, "ann"), own(1))
    batch = lane.must()
    lane.erase("ann")
    assert lane.settle(batch, outcome) == []
    assert lane.void() == ["ann-0"]
    assert lane.committable == 1


def test_a_deletion_is_a_request_of_its_own() -> None:
    lane = Erasing(batch_items_max=10)
    lane.take(record(0, "ann"), own(1, "bob", delete=True), own(2, "eve", delete=True), record(3, "joe"))
    assert sorted(map(ids, [lane.must(), lane.must(), lane.must()])) == [["ann-0", "joe-3"], ["bob-1"], ["eve-2"]]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_nothing_is_lost_and_nothing_sent_that_is_void(seed: int) -> None:
    chance = random.Random(seed)
    lane = Erasing(in_flight_max=3)
    people = ["ann", "bob", "eve"]
    offset, under_way, sent_after = 0, [], []
    outcomes: tuple[Outcome, ...] = (Delivered(), FAILS, Rejected(Reason.REFUSED))
    for _ in range(300):
        lane.now_s += chance.random() * 40
        match chance.randrange(5):
            case 0 | 1:
                who = chance.choice(people)
                made = own(offset, who, delete=chance.random() < 0.3) if who in lane.erased else record(offset, who)
                lane.take(made)
                offset += 1
            case 2 if (batch := lane.next()) is not None:
                under_way.append(batch)
                sent_after += [one for one in batch.payloads if one.profile in lane.erased and one.origin == "live"]
            case 3 if under_way:
                batch = under_way.pop(chance.randrange(len(under_way)))
                lane.bury(lane.settle(batch, chance.choice(outcomes)))
            case 4 if chance.random() < 0.1:
                lane.erase(chance.choice(people))
    while under_way or lane.lane.pending:
        lane.now_s += 4_000
        if (batch := under_way.pop() if under_way else lane.next()) is not None:
            lane.settle(batch, Delivered())
    assert sent_after == []
    assert lane.committable == offset
    settled = [fact for fact in lane.facts if isinstance(fact, Settled) and fact.outcome != "retry"]
    ended = [fact.payload.id for fact in settled if fact.payload is not None]
    assert len(ended) == len(set(ended)) == offset


def receipts(made: Rig) -> list[dict[str, Any]]:
    return [value for topic, _, value, _ in made.dead if topic == "regulations"]


def told(configured: Configured, *answers: Response | Failure) -> tuple[list[dict[str, Any]], list[str], Rig]:
    """What the receipt hears of a deletion behind a payload that is dropped."""
    methods: list[str] = []

    async def main() -> Rig:
        left = list(answers)

        async def deliver(request: Request, timeout_s: float) -> Response | Failure:
            methods.append(request.method)
            return left.pop(0) if left else Response(200)

        made = Rig(configured, deliver, clock=LoopClock(), settings=SETTINGS)
        erased = {"ann"}
        made.lane._erased = erased
        made.sender.assign(0, 0)
        async with running(made):
            await made.sender.take(0, [record(0, "ann"), own(1, delete=True)])
            await made.settled(0, 2, timeout_s=10 * 3600)
        return made

    made = run_jumping(main())
    return receipts(made), methods, made


def test_the_receipt_hears_of_a_deletion_and_of_what_was_dropped() -> None:
    found, methods, _ = told(webhook())
    assert methods == ["POST"]
    assert found == [
        {"kind": "settled", "id": "reg_1", "payload": "ann-1", "profile": "ann", "destination": "crm",
         "outcome": "delivered", "dropped": 1, "reason": ""}
    ]  # fmt: skip


def test_the_receipt_hears_of_a_refusal_beside_the_dead_letter() -> None:
    found, _, made = told(webhook(), Response(422))
    assert [(each["outcome"], each["reason"]) for each in found] == [("refused", "refused")]
    assert [topic for topic, *_ in made.dead] == ["destinations.crm.dead", "regulations"]


@pytest.mark.parametrize(
    ("reason", "outcome"), [(Reason.NOT_SUPPORTED, "not_supported"), (Reason.NO_IDENTIFIER, "no_identifier")]
)
def test_who_cannot_be_asked_is_named_and_nothing_is_sent(reason: Reason, outcome: str) -> None:
    found, methods, made = told(replace(webhook(), bars_erasure=lambda payload: reason))
    assert (methods, [each["outcome"] for each in found]) == ([], [outcome])
    assert made.count("filtered") == 2
