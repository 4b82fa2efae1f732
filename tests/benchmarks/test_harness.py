"""The harness's own parts without a broker; one smoke test with a broker and one peer."""

import json
import sys
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import pytest

from app.embedded.broker import EmbeddedBroker
from benchmarks import count
from benchmarks.bench import Bench, Failed, Status, order, rounds, succeeded
from benchmarks.count import Counted, Source
from benchmarks.engines import FAUST, HEADWATER_ENGINE, KAFKA_STREAMS, QUIX, engines
from benchmarks.events import ORDER, Truth, events, profiles
from benchmarks.figures import middle, percentile, ratio
from benchmarks.latency import join, read_log
from benchmarks.machine import locked
from benchmarks.peers.job import Progress
from benchmarks.process import ProcessFailed, measured, parse
from benchmarks.report import README, MarkersMissing, begin, end, replace_section, table
from benchmarks.toolchain import JARS_LOCK, QUIX_REQUIREMENTS
from benchmarks.verify import faults, read_order

SEED = 7
SECTIONS = ("count", "shop", "growth", "latency", "restore", "profile", "identity", "delivery")


# ─ events and truth ─


def test_a_seed_gives_the_same_events_and_another_seed_others() -> None:
    first, again, other = (list(events(seed, 200)) for seed in (SEED, SEED, SEED + 1))
    assert first == again
    assert first != other


def test_a_longer_stream_begins_with_the_shorter_one() -> None:
    assert list(islice(events(SEED, 1_000), 100)) == list(events(SEED, 100))


def test_a_live_clock_changes_nothing_but_the_timestamp() -> None:
    def clock(_: int) -> datetime:
        return datetime(2030, 5, 6, tzinfo=UTC)

    for live, scheduled in zip(events(SEED, 50, clock=clock), events(SEED, 50), strict=True):
        was, now = json.loads(scheduled.value), json.loads(live.value)
        assert now.pop("timestamp") == "2030-05-06T00:00:00.000Z" != was.pop("timestamp")
        assert now == was


def test_events_are_messages_of_segments_spec_of_about_600_bytes() -> None:
    stream = list(events(SEED, 2_000))
    sizes = [len(event.value) for event in stream]
    assert 550 < sum(sizes) / len(sizes) < 650
    for event in stream:
        message = json.loads(event.value)
        assert message.keys() == {"type", "messageId", "userId", "event", "properties", "context", "timestamp"}
        assert (message["userId"], message["event"]) == (event.user, event.name)
    assert len({json.loads(event.value)["messageId"] for event in stream}) == len(stream)


def test_the_truth_counts_each_users_orders() -> None:
    truth = Truth()
    expected: dict[str, int] = {}
    for event in events(SEED, 3_000):
        truth.add(event.user, event.name)
        if json.loads(event.value)["event"] == "Order Completed":
            expected[event.user] = expected.get(event.user, 0) + 1
    assert truth.events == 3_000
    assert dict(truth.orders) == expected
    assert truth.outputs == sum(expected.values()) > 200


def test_profiles_hold_an_order_count_and_repeat() -> None:
    assert list(profiles(SEED, 20)) == list(profiles(SEED, 20))
    assert all(counts[ORDER] >= 1 for _, counts in profiles(SEED, 20))


# ─ answers ─


def identify(user: str, orders: int) -> bytes:
    return json.dumps({"userId": user, "type": "identify", "traits": {"orders": orders}}).encode()


async def stream_of(values: Iterable[bytes]) -> AsyncIterator[bytes]:
    for value in values:
        yield value


def truth_of(**orders: int) -> Truth:
    truth = Truth()
    for user, number in orders.items():
        for _ in range(number):
            truth.add(user, ORDER)
    return truth


def test_an_output_is_read_bare_or_as_a_deliverys_payload() -> None:
    bare = json.loads(identify("ann", 3))
    assert read_order(json.dumps(bare).encode()) == ("ann", 3)
    assert read_order(json.dumps({"id": "m1", "destination": "d", "payload": bare}).encode()) == ("ann", 3)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ([("ann", 1), ("bob", 1), ("ann", 2)], ""),
        ([("ann", 1), ("bob", 1)], "2 records instead of 3, 1 users with a wrong last count"),
        ([("ann", 1), ("ann", 1), ("bob", 1), ("ann", 2)], "4 records instead of 3, 1 counts out of turn"),
        ([("ann", 1), ("bob", 1), ("ann", 3)], "1 users with a wrong last count, 1 counts out of turn"),
        ([], "0 records instead of 3, 2 users with a wrong last count"),
    ],
)
async def test_wrong_answers_are_named(said: list[tuple[str, int]], fault: str) -> None:
    values = stream_of([identify(user, orders) for user, orders in said])
    assert await faults(values, truth_of(ann=2, bob=1)) == fault


async def test_answers_after_a_restore_go_on_from_the_restored_count() -> None:
    truth, before = truth_of(ann=1), {"ann": 8}
    assert await faults(stream_of([identify("ann", 9)]), truth, before) == ""
    assert await faults(stream_of([identify("ann", 1)]), truth, before) != ""


# ─ figures and tables ─


def test_percentiles_are_of_the_nearest_rank() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0.01, 0.5, 0.99, 1.0)] == [1.0, 50.0, 99.0, 100.0]
    assert percentile([4.0], 0.5) == 4.0
    with pytest.raises(ValueError):
        percentile([], 0.5)
    with pytest.raises(ValueError):
        percentile(values, 0)


def test_a_figure_is_the_median_with_its_range() -> None:
    assert middle([30_500.0, 10_000.0, 20_250.0]) == "20,250 (10,000–30,500)"
    assert middle([1.25], digits=1) == "1.2"
    assert ratio(130, 100) == "1.30 ×"


def test_a_section_is_replaced_and_nothing_else() -> None:
    text = f"head\n{begin('count')}\nold\n{end('count')}\nbetween\n{begin('latency')}\nkept\n{end('latency')}\ntail\n"
    once = replace_section(text, "count", "new | table")
    assert once == text.replace("\nold\n", "\n\nnew | table\n\n")
    assert replace_section(once, "count", "new | table") == once


@pytest.mark.parametrize(
    "text",
    ["", begin("count"), f"{end('count')}{begin('count')}", f"{begin('count')}{begin('count')}{end('count')}"],
)
def test_missing_or_mixed_up_markers_are_refused(text: str) -> None:
    with pytest.raises(MarkersMissing, match="count: begin"):
        replace_section(text, "count", "new")


def test_the_readme_has_a_place_for_every_section() -> None:
    text = README.read_text("utf-8")
    for section in SECTIONS:
        assert "a figure" in replace_section(text, section, "a figure")


def test_a_table_has_its_figures_on_the_right() -> None:
    assert table(["a", "b", "c"], [["x", "1", "y"]]) == "| a | b | c |\n| --- | ---: | --- |\n| x | 1 | y |"


def test_the_count_table_marks_wrong_and_failed_engines() -> None:
    source = Source("t", 10, Truth(events=110))
    good, wrong = Counted(300.0, 2.0, 1024**2, ""), Counted(100.0, 4.0, 1024**2, "1 counts out of turn")
    outcomes = {"headwater": [good, good], "quix": [wrong, good], "faust": [Failed("hung")]}
    chosen = [HEADWATER_ENGINE, QUIX, FAUST]
    lines = count.report(chosen, outcomes, dict.fromkeys(chosen, source)).splitlines()
    assert "| 300 (300–300) | 1.50 × |" in lines[2]
    assert lines[2].endswith("| right |")
    assert lines[3].endswith("| **wrong**: 1 counts out of turn |")
    assert lines[4].endswith("| **failed**: hung |")
    assert {line.count("|") for line in lines} == {lines[0].count("|")}


def test_versions_come_from_the_lock_files() -> None:
    assert locked(JARS_LOCK, "kafka-streams") == "4.1.1"
    assert locked(QUIX_REQUIREMENTS, "quixstreams").startswith("3.")
    assert locked(JARS_LOCK, "no-such-jar") == "unknown"


# ─ rounds ─


def bench(tmp_path: Path, *, brokers: str = "", number: int = 3) -> Bench:
    return Bench(brokers, f"test-{tmp_path.name}", tmp_path, SEED, number, [], {}, Status(live=False))


def test_each_second_round_runs_backwards() -> None:
    names = [[engine.name for engine in order([FAUST, QUIX, KAFKA_STREAMS], number)] for number in range(3)]
    assert names[0] == names[2] == list(reversed(names[1]))


async def test_a_failed_round_voids_only_its_own_figure(tmp_path: Path) -> None:
    async def measure(engine: object, name: str) -> str:
        if engine is QUIX and name.endswith("-1"):
            raise ProcessFailed("Quix", "did not end", tmp_path / "none.log")
        return name

    outcomes = await rounds(bench(tmp_path), "job", [FAUST, QUIX], measure)
    assert len(set(succeeded(outcomes["faust"]))) == 3
    assert outcomes["quix"][1] == Failed("did not end")
    assert len(succeeded(outcomes["quix"])) == 2


def test_steps_of_many_events_say_what_steps_of_one_say(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(events=50_000, warm=100)
    assert [progress.step(records) for records in (99, 15_000, 10_000, 24_901, 5)] == [False, False, False, True, False]
    said = [parse(line, 0.0) for line in capsys.readouterr().out.encode().splitlines()]
    assert [(mark.event, mark.records) for mark in said if mark is not None] == [
        ("warm", 15_099),
        ("progress", 25_099),
        ("done", 50_000),
        ("progress", 50_000),
    ]


def test_every_engine_is_listed_and_the_variants_only_count() -> None:
    jobs = {engine.name: engine.jobs for engine in engines()}
    assert list(jobs) == ["headwater", "headwater-2", "kafka-streams", "kafka-streams-2", "quix", "faust"]
    assert jobs["headwater-2"] == jobs["kafka-streams-2"] == ("count",)


# ─ processes ─


def test_lines_that_are_no_marks_are_ignored() -> None:
    mark = parse(b'{"event": "done", "records": 5, "t": 1.5}\n', 0.25)
    assert mark is not None
    assert (mark.event, mark.records, mark.t_s, mark.cpu_s) == ("done", 5, 1.5, 0.25)
    for line in (b"", b"hello", b"7", b"[]", b'{"event": "done"}', b'{"event": "x", "t": "soon"}'):
        assert parse(line, 0.0) is None


async def test_a_process_is_followed_to_its_end(tmp_path: Path) -> None:
    script = """
import json, time
block = bytearray(64 * 1024 * 1024)
print("noise")
print(json.dumps({"event": "done", "records": 3, "t": time.monotonic()}), flush=True)
input()
"""
    command = [sys.executable, "-c", f"import sys; sys.stdin = open('{tmp_path}/gate')\n{script}"]
    (tmp_path / "gate").write_text("go\n")
    async with measured("script", command, tmp_path / "log") as running:
        done = await running.wait_for("done", 30)
        await running.finish(30)
    assert done.records == 3
    assert done.t_s > running.spawned_at_s


async def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such store')"]
    async with measured("script", command, tmp_path / "log") as running:
        with pytest.raises(ProcessFailed, match=r"ended without saying 'done'\s+no such store"):
            await running.wait_for("done", 30)
        with pytest.raises(ProcessFailed, match="exit code 1"):
            await running.finish(30)


async def test_a_process_that_hangs_is_ended(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import signal; signal.pause()"]
    async with measured("script", command, tmp_path / "log") as running:
        with pytest.raises(ProcessFailed, match="did not end in 0 s"):
            await running.finish(0.01)
    with pytest.raises(ProcessFailed, match="exit code"):
        await running.finish(1)


# ─ latencies ─


def test_latencies_join_what_was_sent_and_what_arrived(tmp_path: Path) -> None:
    (tmp_path / "sent").write_text("ann 1 10.0\nann 2 16.0\nbob 1 17.0\ncid 1 18.0\n")
    (tmp_path / "arrived").write_text("ann 1 10.9\nann 2 16.25\nbob 1 17.5\nbob 1 17.9\n")
    ms, lost = join(read_log(tmp_path / "sent"), read_log(tmp_path / "arrived"), settling_s=5.0)
    assert ms == [250.0, 500.0]
    assert lost == 1


# ─ with a broker ─


@pytest.mark.broker
async def test_our_engine_does_the_count_job(broker: EmbeddedBroker, tmp_path: Path) -> None:
    words = HEADWATER_ENGINE.command(tmp_path)
    small = Bench(
        broker.bootstrap,
        f"bench-{tmp_path.name}",
        tmp_path,
        SEED,
        1,
        [HEADWATER_ENGINE],
        {"headwater": words},
        Status(live=False),
    )
    source = await count.make_source(small, "events", events_after_warm=1_500, warm=500)
    counted = await count.measure(small, HEADWATER_ENGINE, source, f"{small.prefix}-headwater-0")
    assert counted.faults == ""
    assert counted.events_per_s > 0
    assert counted.rss_bytes_max > 20 * 1024**2
