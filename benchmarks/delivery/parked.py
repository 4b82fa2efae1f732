"""What payloads that wait for a retry weigh; in process, no broker."""

from __future__ import annotations

import gc
import tracemalloc

from app.activation.destinations import DESTINATIONS
from app.activation.outcome import Reason, Retry
from app.delivery.lane import NOTHING, Lane
from app.delivery.work import Fact, LaneSettings, Record
from benchmarks.delivery.worker import payload

COUNT = 100_000
_SETTINGS = {"url": "https://vendor.example/hook", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
_TOOK_S = 0.000_01
"""So that all have been tried before the first is to be tried again, after a second."""


def run() -> str:
    """One line: so many lanes, each at the limit at which it reads no more, after one try of everything."""
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    limit = LaneSettings().parked_items_max
    lanes = [_parked(limit) for _ in range(COUNT // limit)]
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    waiting = sum(lane.parked for lane in lanes)
    size = len(payload("crm", 1)[1])
    return (
        f"- {waiting:,} payloads of {size} bytes that wait for a retry, in {len(lanes)} lanes:"
        f" {(after - before) / 1024**2:,.0f} MiB, {(after - before) / waiting:,.0f} bytes each"
    )


def _parked(count: int) -> Lane:
    """A lane of which every payload has been tried once, and is to be tried again."""
    lane = Lane(DESTINATIONS["webhook"].configure(_SETTINGS), LaneSettings(), jitter=lambda: 1.0, observe=_unobserved)
    lane.assign(0, 0)
    lane.take(0, [Record(number, *payload("crm", number)) for number in range(count)])
    now_s = 0.0
    while lane.parked < count:
        batch = lane.next_batch(now_s)
        assert batch is not None, "who has too much to do is not taken for down"
        lane.settle(batch, Retry(Reason.THROTTLED), evidence=NOTHING, message="429", now_s=now_s)
        now_s += _TOOK_S
    return lane


def _unobserved(_: Fact) -> None:
    """Nobody listens."""
