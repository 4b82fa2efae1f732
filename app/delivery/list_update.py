"""One run of one list: request by request, each put down before it is sent and after it is answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from app.activation.lists import run as runs
from app.activation.lists.draft import Draft
from app.activation.lists.run import Sending, Walk
from app.activation.lists.state import KeptList
from app.activation.lists.vendor import ListName, Lists
from app.activation.outcome import Delivered, Disabled, Outcome, Partial, Pause, Reason, Rejected, Retry
from app.clock import Clock
from app.delivery.breaker import BreakerSettings
from app.delivery.list_door import LOOK_EVERY_S, Door, Said
from app.delivery.list_table import ListTable
from app.delivery.retry import RetrySettings, delay_s, gives_up
from app.observability import logs

log = logs.get("lists")

NEW_LIST_RETRY = Retry(Reason.REFUSED, after_s=10.0, attempts_max=6)
"""A list that was made a moment ago and is not there: some vendors take a while."""


@dataclass(frozen=True, slots=True)
class ListLaneSettings:
    """A list lane's waits and patience."""

    first_wait_s: float = 60.0
    """From a list's first member to its first update, so that an audience that comes in goes out whole."""
    probe_every_s: float = 300.0
    """The longest wait between two probes of a paused vendor."""
    retry: RetrySettings = field(default_factory=RetrySettings)
    """When a run is given up: nothing is lost with it, the next one does what it could not."""
    breaker: BreakerSettings = field(default_factory=BreakerSettings)


@dataclass(frozen=True, slots=True)
class Counted:
    """A fact to count."""

    outcome: str
    """Of members: delivered, retry, rejected; of payloads: filtered, rejected; of runs: done, failed."""
    reason: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Means:
    """What an update works with."""

    destination: str
    lists: Lists
    door: Door
    settings: ListLaneSettings
    clock: Clock
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]
    observe: Callable[[Counted], None]


class Update:
    """`run` works until the list is as wanted, or nothing goes any more."""

    def __init__(self, means: Means, table: ListTable, list_: bytes) -> None:
        self._means = means
        self._table = table
        self._list = list_
        self._walk = Walk(means.clock.now_ms())
        self._attempts = 0
        """Failed ones in a row."""
        self._failing_s = 0.0
        """Since when."""
        self._made = False
        """Whether the list was made in this run."""

    async def run(self) -> None:
        """Raises HeadwaterError where a step could not be written; the table has to be opened anew then."""
        await self._forget()
        async with self._table.step:
            draft, kept = self._begun()
            runs.begin(draft, self._list, kept, self._means.clock.now_ms())
            await self._table.commit(draft)
        failed = await self._through()
        async with self._table.step:
            draft, kept = self._begun()
            runs.end(draft, self._list, kept, self._means.clock.now_ms(), failed=failed)
            await self._table.commit(draft)
        self._tell(kept, failed)

    def _begun(self) -> tuple[Draft, KeptList]:
        draft = self._table.draft()
        kept = draft.kept_list(self._list)
        assert kept is not None, "a list is never taken out of the table"
        return draft, kept

    async def _through(self) -> str:
        """Send until nothing is left, or nothing goes; gives why, empty for no fault."""
        while True:
            probe = await self._means.door.admitted()
            try:
                sending, kept, external = await self._next()
            except BaseException:
                self._means.door.unused(probe)
                raise
            if sending is None:
                self._means.door.unused(probe)
                return ""
            if external:
                failed = await self._send(external, sending, probe)
            else:
                failed = await self._make(kept, sending, probe)
            if failed:
                return failed

    async def _next(self) -> tuple[Sending | None, KeptList, str]:
        """Who is sent next, put down as being on their way; and the list's id at the vendor, empty for none."""
        async with self._table.step:
            draft, kept = self._begun()
            sending = runs.next_upload(draft, self._list, self._means.lists, self._walk)
            external = kept.external or self._means.lists.given.get(kept.audience, "")
            if sending is not None and external:
                # Before it leaves: whatever happens now, it is known that it may have.
                runs.set_out(draft, self._list, sending)
                await self._table.commit(draft)
        return sending, kept, external

    async def _make(self, kept: KeptList, sending: Sending, probe: bool) -> str:
        """Have the vendor make the list; gives why there is no going on, empty where there is."""
        make = self._means.lists.make
        if make is None:
            self._means.door.unused(probe)
            return "this type makes no lists: name one that is there in the setting `lists`"
        name = ListName(kept.audience, kept.name)
        members = sending.members if sending.add and self._means.lists.makes_full else ()
        said = await self._means.door.talk(lambda attempt: make(name, members, attempt), probe=probe)
        if said.value is None:
            outcome = said.ended.outcome
            return await self._wait(Rejected(Reason.REFUSED) if outcome == Delivered() else outcome, said.ended.message)
        async with self._table.step:
            draft, kept = self._begun()
            kept.external = said.value
            draft.put_list(self._list, kept)
            # Who has left meanwhile has to be taken off.
            runs.doubt(draft, self._list, members)
            await self._table.commit(draft)
        self._made, self._attempts = True, 0
        return ""

    async def _send(self, external: str, sending: Sending, probe: bool) -> str:
        """One request with its answer; gives why there is no going on, empty where there is."""
        means = self._means
        upload = sending.upload(external)
        said: Said[None] = await means.door.talk(lambda attempt: means.lists.change(upload, attempt), probe=probe)
        async with self._table.step:
            draft, kept = self._begun()
            outcome = self._read(said.ended.outcome, kept)
            wait = runs.settle(
                draft, self._list, kept, self._walk, sending, outcome,
                requests=said.requests, now_ms=means.clock.now_ms(),
            )  # fmt: skip
            braked = runs.brakes(draft, self._list, kept, self._walk)
            await self._table.commit(draft)
        self._count(sending, outcome)
        if braked:
            return f"nobody is taken: {said.ended.message}"
        if kept.forgetting:
            await self._forget()
        if wait is None:
            self._attempts = 0
            return ""
        failed = await self._wait(outcome if isinstance(outcome, Pause | Disabled) else wait, said.ended.message)
        if failed and isinstance(outcome, Partial):
            runs.pass_over(self._walk, sending)
            self._attempts = 0
            return ""
        return failed

    def _read(self, outcome: Outcome, kept: KeptList) -> Outcome:
        if outcome != Rejected(Reason.LIST_GONE):
            return outcome
        if kept.audience in self._means.lists.given:
            return Pause(Reason.LIST_GONE)  # somebody has named it, and has to name another
        return NEW_LIST_RETRY if self._made else outcome

    async def _wait(self, outcome: Outcome, message: str) -> str:
        """Wait as long as a failure asks for; gives why there is no sense in it, empty where there is."""
        means, retry = self._means, self._means.settings.retry
        now_s = means.clock.monotonic_s()
        self._failing_s = self._failing_s if self._attempts else now_s
        match outcome:
            case Pause(Reason.LIST_GONE):
                return f"the list is not there: {message}"
            case Pause() | Disabled():
                await means.sleep(LOOK_EVERY_S)  # the door is shut until a probe is answered
                return ""
            case Retry(_, after_s, attempts_max):
                self._attempts += 1
                enough = attempts_max is not None and self._attempts >= attempts_max
                if enough or gives_up(retry, attempts=self._attempts, trying_s=now_s - self._failing_s):
                    return f"given up; last: {message}"
                jitter = means.jitter()
                await means.sleep(delay_s(retry, attempts=self._attempts, after_s=after_s, jitter=jitter))
                return ""
            case _:
                return message

    async def _forget(self) -> None:
        """A list that the vendor has lost: all that was on it is to be put on a new one."""
        after: bytes | None = b""
        while after is not None:
            async with self._table.step:
                draft, kept = self._begun()
                if not kept.forgetting:
                    return
                if not after:
                    log.warning("the vendor has lost a list; it is made anew",
                                destination=self._means.destination, list=kept.name)  # fmt: skip
                after = runs.forget(draft, self._list, kept, after)
                await self._table.commit(draft)
        self._walk = Walk(self._means.clock.now_ms())

    def _count(self, sending: Sending, outcome: Outcome) -> None:
        members = len(sending.entries)
        each = outcome.items if isinstance(outcome, Partial) else (outcome,) * members
        taken = sum(isinstance(one, Delivered) for one in each)
        if taken:
            self._means.observe(Counted("delivered", count=taken))
        if isinstance(outcome, Rejected) and members > 1:
            return  # asked again, in smaller requests
        for one in each:
            if isinstance(one, Retry | Rejected):
                self._means.observe(Counted("retry" if isinstance(one, Retry) else "rejected", one.reason))

    def _tell(self, kept: KeptList, failed: str) -> None:
        last = kept.runs[-1]
        self._means.observe(Counted("failed" if failed else "done"))
        line = log.warning if failed else log.info
        line(
            "a list could not be updated" if failed else "a list is up to date",
            destination=self._means.destination, list=kept.name, added=last.added, removed=last.removed,
            refused=sum(last.refused.values()), reason=failed,
        )  # fmt: skip
