"""The lane of a list destination: its payloads go into a table, and the table's lists to the vendor when they are due.

One worker has the destination at a time, since its topic has one partition. A record is acknowledged to the source when
the changelog has what it says. A list has one request on its way at a time; lists do not wait for one another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass

from app.activation.destination import Configured
from app.activation.lists import run as runs
from app.activation.lists.draft import Draft
from app.activation.lists.membership import tell, told_of
from app.activation.lists.repair import mend, read_repair
from app.activation.outcome import Reason, Response
from app.activation.payload import InvalidPayload, parse_payload
from app.clock import Clock
from app.delivery import list_reports
from app.delivery.dead_letter import Evidence, Position, dead_letter, position_headers
from app.delivery.exchange import Exchanges
from app.delivery.gate import Gate
from app.delivery.list_door import LOOK_EVERY_S, Door
from app.delivery.list_table import ListTable, TableBroken
from app.delivery.list_update import Counted, ListLaneSettings, Means, Update
from app.delivery.slots import Slots
from app.delivery.work import Record
from app.errors import HeadwaterError
from app.observability import logs
from app.topics import Topics

log = logs.get("lists")

REPORTS = b"?"
"""Before a list's id: the task that asks what became of its requests."""
REOPEN_S = 2.0
"""Before a table is opened again that could not be opened, or written."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the lane needs of the world."""

    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    """Numbers uniform in [0, 1)."""
    open_table: Callable[[], Awaitable[ListTable]]
    exchanges: Callable[[Callable[[Response], None]], Exchanges]
    """Given whom to tell of each reply."""
    publish: Callable[[str, bytes | None, bytes, Sequence[tuple[str, bytes]]], Awaitable[None]]
    """(topic, key, value, headers) of a dead letter; returns after the broker's ack."""
    observe: Callable[[Counted], None]
    failpoint: Callable[[str], None]
    account: Slots
    """Shared with those who use the same vendor account."""


class ListLane:
    """One list destination. `run` serves while the destination is this worker's, until it is cancelled.

    Args:
        intervals_s: Audience key → seconds between two updates. A list of another audience is not connected any more,
            and stays as it is.
    """

    def __init__(
        self, name: str, configured: Configured, intervals_s: Mapping[str, float], around: Surroundings,
        settings: ListLaneSettings, *, topics: Topics,
    ) -> None:  # fmt: skip
        assert configured.lists is not None, f"{name}: a destination of type {configured.type} keeps no lists"
        self.answered = 0
        """Rises with each reply and each batch put down; for the watchdog."""
        self._name = name
        self._configured = configured
        self._lists = configured.lists
        self._intervals_s = intervals_s
        self._around = around
        self._first_wait_ms = int(settings.first_wait_s * 1000)
        self._topic = topics.destination(name)
        self._dead_topic = topics.destination_dead(name)
        gate = Gate(settings.breaker, probe_every_s=settings.probe_every_s)
        door = Door(
            name, around.exchanges(self._heard), gate, around.clock, around.sleep,
            in_flight_max=configured.limits.in_flight_max, hold_s_max=settings.retry.retry_after_s_max,
            account=around.account,
        )  # fmt: skip
        self._means = Means(
            name, self._lists, door, settings, around.clock, around.sleep, around.jitter, around.observe
        )
        self._table: ListTable | None = None
        self._changed = asyncio.Event()
        self._owned = False
        self._serving: asyncio.Task[None] | None = None
        self._next_offset: int | None = None
        """What the source may commit; None before it is known from where on it is read."""

    # the source's side

    def own(self, owned: bool) -> None:
        """Whether the destination is this worker's, from now on."""
        if owned == self._owned:
            return
        self._owned = owned
        if not owned and self._serving is not None:
            self._serving.cancel()
        self._changed.set()

    async def suspend(self) -> None:
        """The destination may be another's in a moment: nothing is written or sent any more when this returns."""
        self.own(False)
        if self._serving is not None:
            await asyncio.wait([self._serving])

    @property
    def serves(self) -> bool:
        """Whether there is a table to put records into."""
        return self._table is not None

    def note(self, partition: int) -> str:
        """Nothing behind what is committed is done already."""
        return ""

    def go_on(self) -> None:
        """After `suspend`; `own` says when."""

    def assign(self, partition: int, next_offset: int, note: str = "") -> None:
        """The source is read from this offset on."""
        self._next_offset = next_offset

    def revoke(self, partition: int) -> None:
        """It is read no more, or from elsewhere; `own` says whether the lists go, too."""
        self._next_offset = None

    def committable(self, partition: int) -> int | None:
        """The source's offset below which everything is in the changelog."""
        return self._next_offset

    async def take(self, partition: int, records: Sequence[Record]) -> None:
        """Put records into the table; waits until there is one."""
        while True:
            table = await self._opened()
            try:
                async with table.step:
                    draft = table.draft()
                    dead, filtered = self._told(draft, records)
                    await table.commit(draft)
                break
            except HeadwaterError as error:
                self._lost(table, error)
        if filtered:
            self._around.observe(Counted("filtered", Reason.NO_IDENTIFIER, filtered))
        await self._bury(dead)
        self.answered += 1
        if self._next_offset is not None:
            self._next_offset = records[-1].offset + 1

    def _told(self, draft: Draft, records: Sequence[Record]) -> tuple[list[tuple[Record, str]], int]:
        """Gives the records that are no memberships, and how many of the others are about nobody."""
        now_ms = self._around.clock.now_ms()
        dead: list[tuple[Record, str]] = []
        filtered = 0
        for record in records:
            repair = read_repair(record.value)
            if repair is not None:
                mend(draft, repair, additive_only=self._lists.additive_only)
                log.info("a list is to be mended", name=self._name, list=repair.audience,
                         missing=len(repair.missing), back=len(repair.back))  # fmt: skip
                continue
            try:
                payload = parse_payload(record.value)
                member = self._lists.member(payload)
                tell(draft, told_of(payload, member), now_ms)
            except InvalidPayload as error:
                dead.append((record, str(error)))
            else:
                filtered += member is None
        return dead, filtered

    async def _bury(self, dead: Sequence[tuple[Record, str]]) -> None:
        for record, message in dead:
            value = dead_letter(
                record.value, reason=Reason.UNREADABLE, message=message, attempts=0,
                at_ms=self._around.clock.now_ms(), evidence=Evidence(), secrets=self._configured.secrets,
            )  # fmt: skip
            headers = position_headers(Position(self._topic, 0, record.offset), Reason.UNREADABLE)
            await self._around.publish(self._dead_topic, record.key, value, headers)
            self._around.observe(Counted("rejected", Reason.UNREADABLE))

    # serving

    async def run(self) -> None:
        """Serve while the destination is ours. Raises only for faults of ours."""
        while True:
            await self._until(lambda: self._owned)
            self._serving = asyncio.create_task(self._serve(), name=f"lists {self._name}")
            try:
                await asyncio.wait([self._serving])
            finally:
                self._serving.cancel()
                await asyncio.wait([self._serving])
            if not self._serving.cancelled():
                self._serving.result()
            self._serving = None
            if self._owned:
                await self._around.sleep(REOPEN_S)

    async def _serve(self) -> None:
        table = await self._open()
        try:
            self._table = table
            self._changed.set()
            await self._watch_lists(table)
        except TableBroken as error:
            log.warning("the table of lists is opened anew", name=self._name, error=str(error))
        finally:
            self._table = None
            async with table.step:  # whoever is in a step ends it
                table.close()

    async def _open(self) -> ListTable:
        while True:
            try:
                table = await self._around.open_table()
            except HeadwaterError as error:
                log.error("a table of lists cannot be opened and is tried again", name=self._name, error=str(error))
                await self._around.sleep(REOPEN_S)
                continue
            try:
                async with table.step:
                    draft = table.draft()
                    for list_ in draft.lists():
                        runs.recover(draft, list_)
                    await table.commit(draft)
                return table
            except HeadwaterError as error:
                log.warning("a step was not written", name=self._name, error=str(error))
                table.close()
                await self._around.sleep(REOPEN_S)
            except BaseException:
                table.close()
                raise

    async def _opened(self) -> ListTable:
        await self._until(lambda: self._table is not None)
        assert self._table is not None, "it was there in this step of the loop"
        return self._table

    async def _until(self, met: Callable[[], bool]) -> None:
        while not met():
            self._changed.clear()
            await self._changed.wait()

    def _lost(self, table: ListTable, error: HeadwaterError) -> None:
        """Whether the step was written is not known: the table is closed, and opened again from its changelog."""
        log.warning("a step was not written; the table is opened anew", name=self._name, error=str(error))
        if table is self._table:
            self._table = None
            if self._serving is not None:
                self._serving.cancel()

    async def _watch_lists(self, table: ListTable) -> None:
        under_way: dict[bytes, asyncio.Task[None]] = {}
        try:
            while True:
                for list_ in [list_ for list_, task in under_way.items() if task.done()]:
                    under_way.pop(list_).result()
                for list_ in self._due(table):
                    if list_ not in under_way:
                        update = self._or_lost(table, Update(self._means, table, list_).run())
                        under_way[list_] = asyncio.create_task(update, name=f"list {list_.decode()}")
                for list_ in self._reports_due(table):
                    if REPORTS + list_ not in under_way:
                        asking = self._or_lost(table, list_reports.ask(self._means, table, list_))
                        under_way[REPORTS + list_] = asyncio.create_task(asking, name=f"reports {list_.decode()}")
                await self._around.sleep(LOOK_EVERY_S)
        finally:
            for task in under_way.values():
                task.cancel()
            await asyncio.gather(*under_way.values(), return_exceptions=True)

    def _due(self, table: ListTable) -> list[bytes]:
        """Lists that are to be updated now; those that are being updated are among them."""
        draft = table.draft()
        now_ms = self._around.clock.now_ms()
        found: list[bytes] = []
        for list_ in draft.lists():
            kept = draft.kept_list(list_)
            assert kept is not None, "its key has just been read"
            interval_s = self._intervals_s.get(kept.audience)
            if interval_s is None or now_ms < runs.due_ms(kept, int(interval_s * 1000), self._first_wait_ms):
                continue
            if kept.run or kept.forgetting or runs.differs(draft, list_, self._lists):
                found.append(list_)
        return found

    def _reports_due(self, table: ListTable) -> list[bytes]:
        """Lists of whose accepted requests the vendor is to be asked now."""
        if self._lists.report is None:
            return []
        return [list_ for list_ in table.draft().lists() if list_reports.due(self._means, table, list_)]

    async def _or_lost(self, table: ListTable, work: Coroutine[object, object, None]) -> None:
        try:
            await work
        except HeadwaterError as error:
            self._lost(table, error)

    def _heard(self, response: Response) -> None:
        self.answered += 1
        if 200 <= response.status <= 299:
            self._around.failpoint("after_http_2xx")
