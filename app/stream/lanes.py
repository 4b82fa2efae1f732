"""All lanes of a worker: they come with an assignment and go with it, and say what may be committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from app.observability import logs
from app.stream.lane import Lane
from app.transport.batches import TP, Batch

log = logs.get("lanes")


class Lanes:
    """The lanes by partition.

    Args:
        make: A new lane for a partition, and the group's generation.
    """

    def __init__(self, make: Callable[[TP, int], Lane]) -> None:
        self._make = make
        self._lanes: dict[TP, Lane] = {}
        self._leaving: dict[TP, asyncio.Task[None]] = {}

    def get(self, tp: TP) -> Lane | None:
        """The lane of a partition, if it is this worker's."""
        return self._lanes.get(tp)

    def all(self) -> Mapping[TP, Lane]:
        """Every lane."""
        return self._lanes

    def offer(self, batch: Batch) -> None:
        """Hand a batch to its lane. One that comes after its partition has gone is read again by the new owner."""
        lane = self._lanes.get(batch.tp)
        if lane is not None:
            lane.offer(batch.records)

    # Progress, as the transport asks it

    def committable(self) -> Mapping[TP, int]:
        return {tp: lane.done_next for tp, lane in self._lanes.items() if lane.done_next is not None}

    async def checkpoint(self, revoked: Iterable[TP]) -> None:
        lanes = [lane for tp in revoked if (lane := self._lanes.get(tp)) is not None]
        await asyncio.gather(*(lane.checkpoint() for lane in lanes))

    def assigned(self, partitions: Iterable[TP], generation: int) -> None:
        """Kept lanes go on; lost ones close and new ones open in the background: heartbeats wait for this call."""
        wanted = set(partitions)
        for tp in [tp for tp in self._lanes if tp not in wanted]:
            lane = self._lanes.pop(tp)
            self._leaving[tp] = asyncio.create_task(self._close(tp, lane))
        for tp in sorted(wanted):
            kept = self._lanes.get(tp)
            if kept is None:
                self._lanes[tp] = self._make(tp, generation)
            else:
                kept.resume()

    async def gone(self, tp: TP) -> None:
        """Return once an earlier lane of the partition has let go of its store."""
        task = self._leaving.get(tp)
        if task is not None:
            await asyncio.wait({task})

    async def close(self) -> None:
        """Stop every lane and let go of every store."""
        lanes, self._lanes = self._lanes, {}
        await asyncio.gather(*(lane.checkpoint() for lane in lanes.values()))
        await asyncio.gather(*(lane.close() for lane in lanes.values()), *self._leaving.values())

    async def _close(self, tp: TP, lane: Lane) -> None:
        try:
            await lane.close()
        except Exception as error:
            log.error("a partition could not be given up cleanly", partition=tp.partition, error=repr(error))
        finally:
            self._leaving.pop(tp, None)
