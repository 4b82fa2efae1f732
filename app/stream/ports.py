"""The commit protocol's ports on Kafka and RocksDB."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from app.kafka.producer import Producer
from app.observability import failpoints
from app.stages.records import OutRecord
from app.stream.repair import Repair
from app.transport.fence import Fence


class StreamPorts:
    """The commit protocol's ports for one partition.

    Args:
        changelog: The topic; of a stage without one, nothing is ever appended.
        partition: Of the changelog.
        write: The store's write; None for a stage without state.
        repair: Called when somebody else has written to the changelog since our last record.
    """

    def __init__(
        self,
        producer: Producer,
        changelog: str,
        partition: int,
        fence: Fence,
        write: Callable[[Mapping[bytes, bytes | None], int], None] | None,
        repair: Repair | None,
        failpoint: Callable[[str], None],
        observe: Callable[[str, float], None],
    ) -> None:
        self._producer = producer
        self._changelog = changelog
        self._partition = partition
        self._fence = fence
        self._write = write
        self._repair = repair
        self._failpoint = failpoint
        self._observe = observe
        self.log_next: int | None = None
        """The changelog offset that the next record gets, if nobody else writes there."""
        self._tearing = failpoints.is_armed(failpoints.Failpoint.MID_CHANGELOG)

    def still_mine(self) -> None:
        self._fence.check(self._partition)

    async def send(self, outputs: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        started_s = monotonic()
        posted = [
            batch
            for (topic, partition), records in outputs.items()
            for batch in await self._producer.post(topic, partition, records)
        ]
        self._failpoint("mid_outputs")
        await self._producer.await_acks(posted)
        self._observe("outputs", monotonic() - started_s)

    async def append(self, changelog: Sequence[tuple[bytes, bytes | None]]) -> int:
        expected, self.log_next = self.log_next, None
        started_s = monotonic()
        first, last = await self._appended(changelog)
        self._observe("changelog", monotonic() - started_s)
        if expected is not None and first > expected and self._repair is not None:
            last = max(last, await self._repair(expected, first, {key for key, _ in changelog}))
        self.log_next = last + 1
        return last

    async def _appended(self, changelog: Sequence[tuple[bytes, bytes | None]]) -> tuple[int, int]:
        if not self._tearing:
            return await self._producer.append(self._changelog, self._partition, changelog)
        # A test wants to die with half a batch in the changelog.
        half = len(changelog) // 2 + 1
        first, last = await self._producer.append(self._changelog, self._partition, changelog[:half])
        self._failpoint("mid_changelog")
        if changelog[half:]:
            _, last = await self._producer.append(self._changelog, self._partition, changelog[half:])
        return first, last

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        assert self._write is not None, "a stage without state has no changelog"
        started_s = monotonic()
        self._write(writes, log_offset)
        self._observe("store", monotonic() - started_s)

    def committable(self, src_next: int) -> None:
        """Kept by the lane, which is what the consumer asks."""
