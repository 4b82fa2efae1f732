"""The shop job: its events, its definitions, the fold by hand held against the oracle; one run with a broker."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path

import orjson
import pytest

from app.definitions.model import Catalog
from app.definitions.parser import parse
from app.embedded.broker import EmbeddedBroker
from app.stages import envelope
from app.stages.compute import ComputeStage
from app.stages.overlay import Overlay
from app.topics import Topics
from benchmarks.bench import Bench, Status
from benchmarks.engines import engines, shop_engines
from benchmarks.engines.hops import Hops
from benchmarks.engines.memory import Memory, Record
from benchmarks.engines.stages import EPOCH
from benchmarks.peers import shop_profile
from benchmarks.process import parse as parse_mark
from benchmarks.shop import growth, job
from benchmarks.shop.answers import Answers, Truth, faults, fold, oracle_faults, same
from benchmarks.shop.definitions import DEFINITIONS
from benchmarks.shop.events import OPEN_FOR, OPENED_AT, events
from tests.oracle import language

SEED = 7
NEVER_LEFT = {"buys_while_browsing"}
"""Audiences of those who once did something: who is in stays in."""


def truth_of(count: int, *, sample: int = 0) -> Truth:
    truth = Truth(sample, sampled_events_max=24)
    for event in events(SEED, count):
        truth.add(event)
    return truth


# ─ events ─


def test_a_seed_gives_the_same_visits_and_another_seed_others() -> None:
    first, again, other = (list(events(seed, 500)) for seed in (SEED, SEED, SEED + 1))
    assert first == again
    assert first != other


def test_times_rise_through_the_days_that_the_shop_is_open() -> None:
    stream = list(events(SEED, 5_000))
    at_ms = [event.at_ms for event in stream]
    assert at_ms == sorted(at_ms)
    opened_ms = OPENED_AT.timestamp() * 1_000
    open_ms = OPEN_FOR.total_seconds() * 1_000
    assert opened_ms < at_ms[0]
    assert 0.7 * open_ms < at_ms[-1] - opened_ms < 1.3 * open_ms


def test_messages_say_their_time_and_weigh_half_a_kilobyte() -> None:
    stream = list(events(SEED, 3_000))
    assert 450 < sum(len(event.value) for event in stream) / len(stream) < 650
    messages = [json.loads(event.value) for event in stream]
    assert {message["type"] for message in messages} == {"track", "page", "screen", "identify"}
    assert len({message["messageId"] for message in messages}) == len(stream)
    assert messages[0]["timestamp"].startswith("2025-11-03T")
    assert all(message["userId"] == event.user for message, event in zip(messages, stream, strict=True))


# ─ definitions ─


def constructs() -> set[str]:
    """What the definitions use, by the names that the oracle's syntax tree has for it."""
    found: set[str] = set()
    keys = {each.key for each in DEFINITIONS}
    for definition in DEFINITIONS:
        body = language.define(definition.key, definition.kind, definition.scope, definition.query).body
        for node in language.walk(body):
            found.add(type(node).__name__)
            match node:
                case language.Comparison(_, comparator) | language.DateComparison(_, comparator):
                    found.add(comparator)
                case language.Reducer(name, path, as_type):
                    found |= {name, f"{name} as {as_type}", "$ in a reducer" if "$" in (path or "") else name}
                case language.Property(path, of_parent):
                    found |= {"$" if "$" in path else "path", "parent" if of_parent else "own"}
                case language.Within(_, of_parent):
                    found.add("within parent" if of_parent else "within now")
                case language.Chain():
                    found.add(f"{deep(node)} deep")
                case language.TraitRef(key):
                    kinds = {each.key: each.kind for each in DEFINITIONS}
                    found.add(f"trait of {kinds[key]}" if key in keys else "custom trait")
                case language.Constant(value, is_date):
                    found.add("date" if is_date else type(value).__name__)
    return found


def deep(chain: language.Chain) -> int:
    """How many chains are in one another."""
    inside = [node for node in language.walk(chain) if isinstance(node, language.Chain) and node is not chain]
    return 1 + max(map(deep, inside), default=0)


def test_twenty_audiences_and_ten_traits_in_both_parsers() -> None:
    kinds = [definition.kind for definition in DEFINITIONS]
    assert kinds == ["audience"] * 20 + ["trait"] * 10
    for definition in DEFINITIONS:
        parse(definition)
        language.define(definition.key, definition.kind, definition.scope, definition.query)


def test_the_definitions_use_every_construct_of_the_language_for_users() -> None:
    wanted = {"And", "Or", "Not", "Where", "Within", "Between", "ExpiresAfter", "Sources", "ContextField"}
    wanted |= {*language.COMPARATORS, *language.DATE_COMPARATORS, *language.REDUCERS, "unique_count"}
    wanted |= {f"{name} as {as_type}" for name, types in language.REDUCER_TYPES.items() for as_type in types}
    wanted |= {"$", "$ in a reducer", "parent", "within parent", "within now", "2 deep", "3 deep"}
    wanted |= {"trait of audience", "trait of trait", "custom trait", "date", "str", "int", "float", "bool"}
    assert wanted - constructs() == set()
    written = " ".join(definition.query for definition in DEFINITIONS)
    for sign in (" = ", " == ", " != ", " > ", " >= ", "literal(", r"\.", "exclude:"):
        assert sign in written


# ─ the hand-written fold ─


def test_the_fold_by_hand_agrees_with_the_oracle() -> None:
    truth = truth_of(900, sample=25)
    sample = truth.take_sample()
    assert len(sample) == 25
    assert all(events[-1].at_ms == truth.last_at_ms[user] for user, events in sample.items())
    assert oracle_faults(truth.answers, sample) == ""


def test_each_definition_changes_and_each_audience_is_left() -> None:
    states: dict[str, shop_profile.State] = defaultdict(shop_profile.new_state)
    said: dict[str, set[str]] = defaultdict(set)
    for event in events(SEED, 9_000):
        for key, value in shop_profile.step(states[event.user], orjson.loads(event.value), event.at_ms):
            said[key].add(json.dumps(value))
    assert said.keys() == {definition.key for definition in DEFINITIONS}
    for definition in DEFINITIONS:
        if definition.kind == "audience":
            both_ways = {"true"} if definition.key in NEVER_LEFT else {"true", "false"}
            assert said[definition.key] == both_ways, definition.key
        else:
            assert len(said[definition.key]) > 2, definition.key


def test_a_state_is_the_same_after_it_was_stored() -> None:
    kept: dict[str, shop_profile.State] = defaultdict(shop_profile.new_state)
    stored: dict[str, bytes] = defaultdict(lambda: orjson.dumps(shop_profile.new_state()))
    for event in events(SEED, 1_500):
        message = orjson.loads(event.value)
        state = orjson.loads(stored[event.user])
        assert shop_profile.step(state, message, event.at_ms) == shop_profile.step(
            kept[event.user], message, event.at_ms
        )
        stored[event.user] = orjson.dumps(state)
    assert all(orjson.loads(stored[user]) == state for user, state in kept.items())


# ─ what engines say ─


async def stream_of(values: Iterable[bytes]) -> AsyncIterator[bytes]:
    for value in values:
        yield value


def cloud_event(user: str, key: str, value: object, at: str) -> bytes:
    identifiers = [{"type": "email", "value": "x@y.example"}, {"type": "user_id", "value": user}]
    return orjson.dumps({"profile": "p", "identifiers": identifiers, "key": key, "value": value, "at": at})


async def test_answers_are_the_last_values_of_either_form() -> None:
    values = [
        orjson.dumps({"user": "ann", "key": "orders", "value": 1}),
        orjson.dumps({"user": "ann", "key": "vip", "value": True}),
        orjson.dumps({"user": "ann", "key": "orders", "value": 2}),
        orjson.dumps({"user": "ann", "key": "vip", "value": False}),
        cloud_event("bob", "vip", True, "2025-11-03T00:00:01.000Z"),
        cloud_event("bob", "revenue", 7.5, "2025-11-03T00:00:02.000Z"),
    ]
    found, records = await fold(stream_of(values), {"bob": 1_762_128_002_000})
    assert found == {("ann", "orders"): 2, ("bob", "vip"): True, ("bob", "revenue"): 7.5}
    assert records == 6


async def test_what_time_alone_does_after_the_last_event_is_left_out() -> None:
    values = [
        cloud_event("bob", "vip", True, "2025-11-03T00:00:01.000Z"),
        cloud_event("bob", "vip", False, "2025-11-03T00:00:02.001Z"),
    ]
    found, _ = await fold(stream_of(values), {"bob": 1_762_128_002_000})
    assert found == {("bob", "vip"): True}


def test_answers_that_differ_are_named() -> None:
    truth: Answers = {("ann", "orders"): 2, ("ann", "vip"): True}
    assert faults({("ann", "orders"): 2.0, ("ann", "vip"): True}, truth) == ""
    assert faults({("ann", "orders"): 2}, truth) == "1 of 2 answers differ (ann vip: None, not True)"
    assert faults({**truth, ("bob", "vip"): True}, truth) == "1 of 2 answers differ (bob vip: True, not None)"
    assert not same(True, 1)
    assert same(1, 1.0)


def changes_of(stream: Sequence[Record]) -> Iterator[bytes]:
    """What the compute stage says with the job's definitions in force."""
    topics, memory = Topics(), Memory()
    overlay = Overlay(memory)
    stage = ComputeStage(topics, 0, 1, overlay, epoch=EPOCH)
    every = [Record(0, None, envelope.catalog(Catalog(DEFINITIONS)), stream[0].timestamp), *stream]
    for start in range(0, len(every), 500):
        work = stage.process(every[start : start + 500])
        assert work.facts.invalid == {}
        for _, value, _ in work.outputs.get((topics.changes, 0), ()):
            assert value is not None
            yield value
        memory.write(work.writes)
        overlay.pop()


async def test_the_products_own_stages_say_the_same() -> None:
    truth = truth_of(2_500)
    found, records = await fold(stream_of(changes_of(growth.resolved(events(SEED, 2_500)))), truth.last_at_ms)
    assert faults(found, truth.answers) == ""
    assert records >= truth.changes


# ─ engines and growth ─


def test_the_same_engines_do_the_shop_job_but_for_stock_faust() -> None:
    titles = {engine.name: engine.title for engine in engines() if engine.name != "faust"}
    assert {engine.name: engine.title for engine in shop_engines()} == titles
    assert {engine.jobs for engine in shop_engines()} == {("shop",)}


@pytest.mark.parametrize("hops", [1, 2])
def test_an_engine_of_two_hops_is_warm_with_its_first_and_done_with_its_last(
    hops: int, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Hops(hops, events=100, warm=40)
    if hops == 2:
        progress.passed(30)
        progress.passed(60)
    assert [progress.done(30), progress.done(30), progress.done(40)] == [False, False, True]
    said = [parse_mark(line, 0.0) for line in capsys.readouterr().out.encode().splitlines()]
    warm_at = 90 if hops == 2 else 60
    assert [(mark.event, mark.records) for mark in said if mark is not None] == [("warm", warm_at), ("done", 100)]


def test_an_event_touches_five_definitions_however_many_there_are() -> None:
    for count in growth.COUNTS:
        made = growth.definitions(count)
        assert len(made) == len({definition.key for definition in made}) == count
        assert sum("'Event 0'" in definition.query for definition in made) == 5


def test_a_profile_grows_with_the_definitions_that_met_it() -> None:
    few = growth.cost(growth.definitions(5), growth.resolved(growth.messages(SEED, 1, 4_000)))
    many = growth.cost(growth.definitions(50), growth.resolved(growth.messages(SEED, 10, 4_000)))
    assert few.us_per_event > 0
    assert sum(many.profile_bytes) > 1.5 * sum(few.profile_bytes)


# ─ with a broker ─


@pytest.mark.broker
async def test_our_worker_does_the_shop_job(broker: EmbeddedBroker, tmp_path: Path) -> None:
    (engine,) = (each for each in shop_engines() if each.name == "headwater")
    commands = {engine.name: engine.command(tmp_path)}
    prefix = f"shop-{tmp_path.name}"
    bench = Bench(broker.bootstrap, prefix, tmp_path, SEED, 1, [engine], commands, Status(live=False))
    source, truth = await job.make_source(bench, events_after_warm=1_500, warm=500)
    counted = await job.measure(bench, engine, source, truth, f"{prefix}-0")
    assert counted.faults == ""
    assert counted.events_per_s > 0
