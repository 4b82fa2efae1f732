"""The demo's stream through the engine's own stages, in memory: the summary finds everything equal."""

from pathlib import Path

import orjson
import pytest

from app import configuration
from app.cli.demo.board import Latency
from app.cli.demo.log_reader import LogRead
from app.cli.demo.receiver import Received, read_call
from app.cli.demo.sample import DESTINATION, WINDOW_MS_MAX, write_configuration
from app.cli.demo.shop import plan
from app.cli.demo.summary import Outcome, Summary, summary_of
from app.cli.demo.truth import truth_of
from app.topics import partition_of
from tests.simulation.world import TOPICS, Arrival, Faults, World

START_MS = 1_767_225_600_000
SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSBkZW1vLCBsb25nIGVub3VnaA=="
PARTITIONS = 2


def _played(folder: Path, seed: int, faults: Faults) -> Summary:
    planned = plan(seed=seed, rate=20, seconds=40)
    path = write_configuration(folder, hook_url="http://127.0.0.1:1/hooks/crm", secret=SECRET)
    loaded = configuration.open_configuration(path, {})
    records = planned.records(START_MS)
    arrivals = [
        Arrival(START_MS + at_ms, partition_of(key, PARTITIONS), value)  # type: ignore[arg-type]
        for at_ms, key, value in records
    ]
    until_ms = arrivals[-1].at_ms + WINDOW_MS_MAX + 5_000
    rules = configuration.identity_rules(loaded.settings)
    world = World(seed, configuration.catalog(loaded.settings), arrivals, until_ms, faults=faults, rules=rules)
    world.run()

    log, received = LogRead(), Received()
    for record in world.log.all_of(TOPICS.changes):
        log.take_change(record.value or b"", record.headers)
    for record in world.log.all_of(TOPICS.events_dead):
        log.take_dead(record.value or b"")
    seen = set()
    for record in world.log.all_of(TOPICS.destination(DESTINATION)):
        payload = orjson.loads(record.value or b"")
        if payload["id"] not in seen:
            seen.add(payload["id"])
            who, key, call, value = read_call(orjson.dumps(payload["payload"]))
            received.values[who, key, call].append(value)
    nothing = Latency(0, 0, 0, 0)
    truth = truth_of(planned.sent)
    broken = [each.value for each in planned.broken]
    count = len(records)
    sent = (count, count, count)
    return summary_of(Outcome(truth, broken, *sent, received, log.changes, log.dead, nothing, nothing, 0.0))


@pytest.mark.parametrize("seed", [1, 2])
def test_everything_is_equal(seed: int, tmp_path: Path) -> None:
    summary = _played(tmp_path, seed, Faults())
    assert summary.is_equal, summary.as_json()
    assert summary.figures.changes > 100
    assert summary.figures.merged > 0
    assert summary.figures.told_again > 10


def test_everything_is_equal_though_the_worker_is_killed(tmp_path: Path) -> None:
    summary = _played(tmp_path, 3, Faults(crash=0.002, wipe=0.5))
    assert summary.is_equal, summary.as_json()
