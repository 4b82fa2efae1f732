"""The oracle on a dump of `events.raw`: one profile at a time, which is exact by the simple rule, in processes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import orjson

from app.definitions.model import Definition
from app.kafka.consumer import RawRecord
from tests.equality import Changes, finals_of
from tests.scenarios import expected, expected_changes

PROCESSES = 2
SENDERS_PER_TASK = 50

Received = list[tuple[int, bytes]]
"""(received at, message) of one sender, in order."""


def senders_of(raw: Sequence[Iterable[RawRecord]], is_valid: Callable[[bytes | None], bool]) -> list[Received]:
    """What each sender sent; a sender's records are all in one partition."""
    senders: dict[str, Received] = defaultdict(list)
    for partition in raw:
        for record in partition:
            if is_valid(record.value):
                assert record.value is not None
                senders[orjson.loads(record.value)["userId"]].append((record.timestamp, record.value))
    return list(senders.values())


def wanted(
    definitions: Sequence[Definition], senders: Sequence[Received], until_ms: int
) -> tuple[Changes, dict[str, Any]]:
    """Changes and final answers of everybody."""
    changes: Changes = {}
    finals: dict[str, Any] = {}
    tasks = [senders[at : at + SENDERS_PER_TASK] for at in range(0, len(senders), SENDERS_PER_TASK)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        for some_changes, some_finals in pool.map(_some, [(tuple(definitions), task, until_ms) for task in tasks]):
            changes |= some_changes
            finals |= some_finals
    return changes, finals


def _some(task: tuple[tuple[Definition, ...], Sequence[Received], int]) -> tuple[Changes, dict[str, Any]]:
    definitions, senders, until_ms = task
    changes: Changes = {}
    finals: dict[str, Any] = {}
    for received in senders:
        timeline = expected(definitions, [(at_ms, orjson.loads(value)) for at_ms, value in received], until_ms)
        changes |= expected_changes(timeline)
        finals |= finals_of(timeline)
    return changes, finals
