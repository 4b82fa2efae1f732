"""New connections are told at their vendors' pace: never more waits than a lane can see past to what is live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random, randrange
from typing import Any, cast

import orjson
import pytest

from app.activation.outcome import Delivered, Reason, Retry
from app.definitions.model import Subscription
from app.delivery.work import LaneSettings
from app.delivery.work import Record as Payload
from app.kafka.admin import AdminError, Place
from app.kafka.producer import Producer
from app.profiles.codec import CorruptProfile
from app.stages import envelope
from app.stages.resyncing import AHEAD_MAX, Resyncer
from app.stream import resyncs
from app.stream.firing import Serving
from app.stream.resyncs import LOOK_S, Resyncs
from app.topics import Topics, delivery_group
from app.transport.fence import Fence
from tests.delivery.test_lane import NEVER_BREAKS, Driver
from tests.stages.test_compute import AT_MS, CATALOG, TOPICS, Bench, event

AHEAD = 20
PEOPLE = [f"p{number:03}" for number in range(200)]
MAIL = Subscription("orders", "trait", "mail")
ADS = Subscription("active", "audience", "ads", lists=True)
TYPES = (("mail", "webhook"), ("ads", "klaviyo_lists"), ("feed", "kafka"))


class World:
    """One partition of users, the topic of the destination `mail`, and its lane; the broker is `self`."""

    def __init__(self, *connected: Subscription) -> None:
        self.bench = Bench()
        for person in PEOPLE:
            self.order(person, 1)
        self.topic: list[bytes] = []
        self.others: list[str] = []
        """Topics of payloads to others."""
        self.lane = Driver(LaneSettings(breaker=NEVER_BREAKS, backlog_items_max=2 * AHEAD))
        self.taken = 0
        self.now_s = 100.0
        self.asked = 0
        self.reachable = True
        self.stuck: list[int] = []
        self.requests = 0
        """Records that asked for a portion."""
        self.pump = self.new_pump()
        catalog = replace(CATALOG, subscriptions=connected, destination_types=TYPES)
        self.put(self.bench.feed((None, envelope.catalog(catalog))).outputs)

    def new_pump(self) -> Resyncs:
        serving = Serving(cast(Any, self.bench.store), cast(Any, self.bench), 1, has_accounts=False)
        return Resyncs(
            TOPICS.profiles_in, TOPICS, 1, self, cast(Producer, self), Fence(lambda: 0.0, 10.0),
            serving=lambda: {0: serving}, now_s=lambda: self.now_s, stuck=self.stuck.append,
        )  # fmt: skip

    def order(self, person: str, number: int) -> Mapping[tuple[str, int], Sequence[Any]]:
        said = event(AT_MS, f"m:{person}:{number}", userId=person)
        key = person.encode()
        return self.bench.feed((key, said.replace(b'["user_id","u"]', b'["user_id","%b"]' % key))).outputs

    def put(self, outputs: Mapping[tuple[str, int], Sequence[Any]]) -> None:
        for (topic, _), records in outputs.items():
            if topic == TOPICS.destination("mail"):
                self.topic += [value for _, value, _ in records]
            elif topic != TOPICS.changes:
                self.others += [topic] * len(records)

    # the broker

    async def positions(self, group: str, places: Sequence[Place]) -> Mapping[Place, tuple[int | None, str]]:
        assert (group, list(places)) == (delivery_group(Topics()), [(TOPICS.destination("mail"), 0)])
        self.asked += 1
        if not self.reachable:
            raise AdminError("planted")
        return dict.fromkeys(places, (self.lane.committable, self.lane.lane.note(0)))

    async def beginning_offsets(self, places: Sequence[Place]) -> Mapping[Place, int]:
        return dict.fromkeys(places, 0)

    async def end_offsets(self, places: Sequence[Place]) -> Mapping[Place, int]:
        return dict.fromkeys(places, len(self.topic))

    async def append(
        self, topic: str, partition: int, records: Sequence[tuple[bytes | None, bytes]], headers: Any
    ) -> tuple[int, int]:
        assert (topic, partition, len(records)) == (TOPICS.profiles_in, 0, 1)
        self.requests += 1
        offset = self.bench.next
        self.put(self.bench.feed(*records).outputs)
        return offset, offset

    # the two sides

    async def tick(self) -> None:
        self.now_s += LOOK_S
        await self.pump.tick()

    def turn(self, *, failing: str = "") -> tuple[str, str, object] | None:
        """The lane reads what it has room for, and sends one payload: gives (profile, origin, value)."""
        while self.lane.lane.has_room and self.taken < len(self.topic):
            self.lane.take(Payload(self.taken, b"", self.topic[self.taken]))
            self.taken += 1
        self.lane.now_s += 1.0
        batch = self.lane.next()
        if batch is None:
            return None
        (payload,) = batch.payloads
        self.lane.settle(batch, Retry(Reason.SERVER_ERROR) if payload.profile == failing else Delivered())
        return payload.profile, payload.origin, payload.fields["orders"]

    @property
    def under_way(self) -> bool:
        return bool(self.bench.stage._held.meta.resyncs)


@pytest.fixture
def ahead(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    found: int = getattr(request, "param", AHEAD)
    monkeypatch.setattr(resyncs, "AHEAD_MAX", found)
    return found


async def turns_of_a_live_change(world: World, lot: Random) -> int:
    """How many payloads go before a live change that comes in the midst of a long resync."""
    for _ in range(lot.randrange(40, 80)):
        await world.tick()
        world.turn()
    person = PEOPLE[-1]  # of whom the resync has yet to tell
    world.put(world.order(person, 2))
    for passed in range(len(PEOPLE)):
        if world.turn() == (person, "live", 2):
            return passed
    raise AssertionError("it never went")


async def test_a_live_change_goes_at_once_however_long_the_resync_before_it_is(ahead: int) -> None:
    seed = randrange(10**6)
    print(f"seed {seed}")
    assert await turns_of_a_live_change(World(MAIL), Random(seed)) == 0


@pytest.mark.parametrize("ahead", [10**6], indirect=True)
async def test_without_a_bound_it_would_wait_until_the_lane_can_see_it(ahead: int) -> None:
    assert await turns_of_a_live_change(World(MAIL), Random(1)) > AHEAD


async def test_everybody_is_told_in_order_and_no_more_wait_than_may(ahead: int) -> None:
    seed = randrange(10**6)
    print(f"seed {seed}")
    lot, world = Random(seed), World(MAIL)
    told: list[tuple[str, str, object]] = []
    last = dict.fromkeys(PEOPLE, 1)
    for _ in range(5_000):
        match lot.choices(("tick", "turn", "live", "takes over"), (4, 8, 1, 0.2))[0]:
            case "tick":
                await world.tick()
                made = [orjson.loads(value)["origin"] for value in world.topic]
                assert made.count("resync") - [origin for _, origin, _ in told].count("resync") <= AHEAD
            case "turn":
                told += [sent] if (sent := world.turn()) else []
            case "live" if world.under_way:
                person = lot.choice(PEOPLE)
                last[person] += 1
                world.put(world.order(person, last[person]))
            case "takes over":
                world.bench.stage = world.bench.new_stage()
                world.pump = world.new_pump()
    assert not world.under_way
    assert world.lane.committable == len(world.topic) == len(told)
    assert {person for person, origin, _ in told if origin == "resync"} == set(PEOPLE)
    for person in PEOPLE:
        values = [value for profile, _, value in told if profile == person]
        assert values == sorted(cast(Any, values))
        assert values[-1] == last[person]


async def test_who_is_tried_again_for_hours_does_not_hold_up_the_others(ahead: int) -> None:
    world, told = World(MAIL), set()
    for _ in range(3 * len(PEOPLE)):
        await world.tick()
        told.add((world.turn(failing=PEOPLE[0]) or ("", "", 0))[0])
    assert not world.under_way
    assert told >= set(PEOPLE)
    assert world.lane.committable == 0


async def test_a_vendor_that_takes_nothing_stops_its_own_resync_and_no_other(ahead: int) -> None:
    world = World(MAIL, ADS, replace(MAIL, destination="feed"))
    for _ in range(50):
        await world.tick()
    assert len(world.topic) == AHEAD
    assert sorted(set(world.others)) == [TOPICS.destination("ads"), TOPICS.destination("feed")]
    assert len(world.others) == 2 * len(PEOPLE)
    assert [id_.partition("/")[2] for id_ in world.bench.stage._held.meta.resyncs] == ["mail"]
    world.reachable = False
    for _ in range(AHEAD):
        world.turn()
    await world.tick()
    assert len(world.topic) == AHEAD, "nobody knows how far the vendor is"
    world.reachable = True
    await world.tick()
    assert len(world.topic) == 2 * AHEAD


async def test_a_destination_without_room_is_asked_about_once_in_a_while(ahead: int) -> None:
    world = World(MAIL)
    await world.tick()
    assert (len(world.topic), world.asked) == (AHEAD, 1)
    for _ in range(5):
        await world.pump.tick()
    assert world.asked == 2
    await world.tick()
    assert world.asked == 3


@pytest.mark.parametrize("dead", [1, resyncs.ASKED_MAX - 1])
async def test_a_portion_whose_record_is_dead_lettered_is_asked_for_again(
    ahead: int, monkeypatch: pytest.MonkeyPatch, dead: int
) -> None:
    world = World(MAIL)
    poisoned(monkeypatch, dead)
    for _ in range(dead + 1):
        await world.tick()
    assert len(world.topic) == AHEAD
    assert world.requests == dead + 1
    assert set(world.stuck) == {0}


async def test_a_resync_whose_records_are_dead_lettered_again_and_again_is_said_to_stand_still(
    ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(MAIL)
    poisoned(monkeypatch, 10**6)
    for _ in range(20):
        await world.tick()
    assert (world.topic, world.requests, world.stuck[-1]) == ([], resyncs.ASKED_MAX, 1)
    monkeypatch.undo()
    monkeypatch.setattr(resyncs, "AHEAD_MAX", ahead)
    await world.tick()
    assert world.topic == [], "it is not asked for ever"
    world.pump = world.new_pump()
    await world.tick()
    assert len(world.topic) == AHEAD, "whoever takes over tries anew"
    await world.tick()
    assert world.stuck[-1] == 0


def poisoned(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """The stage raises for the next so many records that ask for a portion."""
    whole, left = Resyncer.portion, [times]

    def raises(self: Resyncer, body: envelope.Resync, offset: int) -> None:
        if left[0]:
            left[0] -= 1
            raise ValueError("planted")
        whole(self, body, offset)

    monkeypatch.setattr(Resyncer, "portion", raises)


def test_what_may_wait_is_less_than_a_lane_sees_past() -> None:
    assert LaneSettings().backlog_items_max > 2 * AHEAD_MAX


async def test_a_damaged_store_is_said_to_be_and_the_other_partitions_go_on(ahead: int) -> None:
    world, told = World(MAIL), list[Exception]()

    class Damaged:
        """A store and its lane."""

        def get(self, key: bytes) -> bytes:
            raise CorruptProfile("planted")

        def damaged(self, error: Exception) -> None:
            told.append(error)

    broken = Serving(cast(Any, Damaged()), cast(Any, Damaged()), 1, has_accounts=False)
    whole = world.pump._serving()[0]
    world.pump._serving = lambda: {1: broken, 0: whole}
    await world.tick()
    assert len(told) == 1
    assert len(world.topic) == AHEAD
