"""Whom regulations have erased, so that senders drop what of them has not been sent yet before they come to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from app.clock import Clock
from app.errors import HeadwaterError
from app.kafka.admin import Admin
from app.kafka.consumer import BulkRead, BulkReader, RawRecord
from app.observability import logs
from app.stages import regulations

log = logs.get("erasures")

POLL_S = 1.0
KEPT_MS = 30 * 86_400_000
"""Payloads of before are taken for gone: Kafka keeps them for a week, if it is not told otherwise."""


class Erasures:
    """Follows the topic `regulations`.

    Args:
        changed: Called when there are more.
    """

    def __init__(self, topic: str, admin: Admin, reader: BulkReader, clock: Clock, changed: Callable[[], None]) -> None:
        self.profiles: set[str] = set()
        """Ids of erased profiles. They are never given again."""
        self._topic = topic
        self._admin = admin
        self._reader = reader
        self._clock = clock
        self._changed = changed
        self._next: int | None = None

    async def run(self) -> None:
        """Follow until cancelled; `catch_up` comes first."""
        while True:
            await asyncio.sleep(POLL_S)
            try:
                await self.catch_up()
            except HeadwaterError as error:
                log.warning("erasures cannot be followed for now", topic=self._topic, error=str(error))

    async def catch_up(self) -> None:
        """Return once all that is there has been read.

        Raises:
            HeadwaterError: The broker does not answer.
        """
        if self._topic not in await self._admin.describe([self._topic]):
            return  # nobody has been erased in a deployment that is older than this
        place = (self._topic, 0)
        if self._next is None:
            self._next = (await self._admin.beginning_offsets([place]))[place]
        end = (await self._admin.end_offsets([place]))[place]
        known = len(self.profiles)
        if self._next < end:
            async for records in self._reader.read(BulkRead(self._topic, 0, self._next, end)):
                for record in records:
                    self._take(record)
            self._next = end
        if len(self.profiles) > known:
            self._changed()

    def _take(self, record: RawRecord) -> None:
        try:
            part = regulations.decode(record.value or b"")
        except ValueError:
            return
        if isinstance(part, regulations.Decided) and part.at >= self._clock.now_ms() - KEPT_MS:
            self.profiles.update(part.profiles)
