"""`profiles.in` or `accounts.in` → changes, payloads and new state: the fold of one partition's log."""

from __future__ import annotations

from collections.abc import Sequence

from app.profiles import codec
from app.stages.accounts import Accounts
from app.stages.cache import ProfileCache
from app.stages.counted import Parsed
from app.stages.envelope import (
    Absorb,
    Body,
    Brought,
    CatalogChange,
    Continue,
    Erase,
    Event,
    Fact,
    Import,
    Member,
    Merge,
    Part,
    Recollect,
    Refresh,
    Resync,
    Timer,
    decode,
)
from app.stages.erasing import Eraser, failed
from app.stages.folding import Folding, Held, Place, Poison
from app.stages.merging import Merger
from app.stages.overlay import Overlay
from app.stages.records import InRecord, Work
from app.stages.resyncing import Resyncer
from app.stages.waiting import Waiter
from app.topics import Collection, Topics


class ComputeStage:
    """Folds one partition of `profiles.in`, or of `accounts.in`; both have as many.

    Args:
        partitions: Of each of the two.
        state: The partition's store, and what is on its way to it.
        epoch: The id of the topic, in hexadecimal.
        generation: Of the consumer group.
        cache_bytes: How much of encoded profiles is kept decoded between batches.
    """

    def __init__(
        self,
        topics: Topics,
        partition: int,
        partitions: int,
        state: Overlay,
        *,
        epoch: str,
        generation: int = 0,
        cache_bytes: int = 32 << 20,
        collection: Collection = "users",
    ) -> None:
        self._state = state
        self._place = Place(topics, partition, partitions, epoch, int(epoch[:8] or "0", 16), generation, collection)
        self._held = Held(self._place, state, ProfileCache(state, cache_bytes))

    @property
    def plan_version(self) -> int:
        """Of the plan by which the next record is evaluated."""
        return self._held.plan.version

    @property
    def has_accounts(self) -> bool:
        """Whether definitions of accounts are in force."""
        return self._held.has_accounts

    @property
    def src_next(self) -> int:
        """The offset from which this partition has to be read."""
        return self._held.meta.src_next

    def reload(self) -> None:
        """Forget everything that is not in the state: a batch that was dropped must leave no trace."""
        self._held = Held(self._place, self._state, self._held.cache)

    def process(self, records: Sequence[InRecord]) -> Work:
        """The work of a batch. The state is as if it had been done; nothing has left the process.

        A record that cannot be applied at all is dead-lettered, and the batch is computed once more without it: a fault
        in one record must neither stop the partition nor leave half of itself behind.
        """
        poisoned: dict[int, str] = {}
        while True:
            try:
                work = _Batch(self._place, self._held, records, poisoned).run()
            except Poison as poison:
                poisoned[poison.offset] = poison.message
                self.reload()
            else:
                if work.changelog:
                    self._state.push(work.writes)
                return work


class _Batch:
    """One run over one batch."""

    def __init__(self, place: Place, held: Held, records: Sequence[InRecord], poisoned: dict[int, str]) -> None:
        self.held = held
        self.records = records
        self.poisoned = poisoned
        self.meta = held.meta
        self.work = Work(src_next=max(records[-1].offset + 1, self.meta.src_next))
        self.folding = Folding(place, held, self.work)
        self.parsed: list[Parsed] = []
        self.eraser = Eraser(self.folding)
        self.merger = Merger(self.folding, self.parsed, self.eraser)
        self.is_of_accounts = place.collection == "accounts"
        self.accounts = Accounts(self.folding, poisoned)
        self.resyncer = Resyncer(self.folding)

    def run(self) -> Work:
        facts = self.work.facts
        facts.records = len(self.records)
        applied_until = self.meta.src_next
        parsed = self.parsed
        for record in self.records:
            if record.offset < applied_until:
                facts.skipped += 1
                continue
            body = self._parse(record)
            if body is not None:
                parsed.append((record, body))
        if not parsed and not self.work.outputs:
            return self.work
        # Also of messages that nothing looks at, and of records applied before: under their ids another must not count.
        repeats = self.held.seen.take(
            (record.key or b"", body.id, body.at) for record, body in parsed if type(body) is Event
        )
        self.repeats = iter(repeats)
        self.profiles = self.held.cache.load(record.key for record, _ in parsed if record.key is not None)
        for record, body in parsed:
            try:
                self._apply(record, body)
            except (codec.CorruptProfile, Poison):
                raise
            except Exception as error:
                raise Poison(record.offset, f"{type(error).__name__}: {error}") from error
        self.folding.settle()
        return self.work

    def _parse(self, record: InRecord) -> Body | None:
        poison = self.poisoned.get(record.offset)
        if poison is not None:
            self.folding.dead(record, "failed", poison)
            body = decode(record.value)
            if type(body) is Erase and record.key is not None:
                self.work.emit(self.folding.place.topics.regulations, 0, failed(body, record.key.decode(), poison))
            return None
        try:
            body = decode(record.value)
            if not record.key and type(body) not in (CatalogChange, Resync):
                raise ValueError("a record without a key belongs to no profile")
        except (ValueError, RecursionError) as error:
            self.folding.dead(record, "not_understood", f"{type(error).__name__}: {error}")
            return None
        return body

    def _apply(self, record: InRecord, body: Body) -> None:
        repeat = False
        if type(body) is Event:
            repeat = next(self.repeats)
            self._newest(body.at)
        elif type(body) is CatalogChange:
            before = self.held.catalog
            self.folding.change_catalog(body.catalog)
            self.resyncer.begin(before, record.offset)
            return
        elif type(body) is Resync:
            self.resyncer.portion(body, record.offset)
            return
        key, offset = record.key, record.offset
        assert key is not None
        profile = self.profiles[key]
        if record.offset <= profile.w:
            self.work.facts.skipped += 1
            if type(body) is Import:
                self.merger.counted.take(key, body)  # kept beside the profile, and put down after it
            elif type(body) is Timer and self.is_of_accounts:
                self.accounts.forget(key, offset, body.due)  # the same
            elif type(body) is Member:
                self.accounts.again(body, _waiter(record, key, body))  # the same
            return
        if self.eraser.holds(key, profile, body):
            return
        merging = profile.merging
        if merging is not None:
            if type(body) is Event and self.merger.comes_back(key, profile, merging, offset, body):
                repeat = False
            if self.merger.holds(key, profile, merging, record, body, repeat):
                return
        match body:
            case Event():
                self.folding.event(key, profile, offset, body, repeat or self.merger.counted.is_repeat(key, body))
            case Timer() if self.is_of_accounts:
                self.accounts.timer(key, profile, offset, body.due)
            case Timer():
                self.folding.timer(key, profile, offset, body.due)
            case Refresh() if self.is_of_accounts:
                self.accounts.refresh(key, profile, offset, body.at)
            case Refresh():
                self.folding.refresh(key, profile, offset, body.at)
            case Absorb():
                self.merger.absorb(key, profile, offset, body.loser)
            case Merge():
                self.merger.hand_over(key, profile, offset, body)
            case Import():
                self.merger.take_in(key, profile, offset, record.value or b"", body)
            case Part():
                self.merger.part(key, profile, offset, body)
            case Erase():
                self.eraser.erase(key, profile, offset, body)
            case Fact():
                self.folding.fact(key, profile, offset, body)
            case Recollect():
                self.folding.recollect(key, profile, offset, body)
            case Member():
                self._newest(body.at)
                self.accounts.member(profile, body, _waiter(record, key, body))
            case Brought():
                self.accounts.brought(key, body)
            case Continue():
                self.accounts.proceed(key, profile, offset, body)

    def _newest(self, at_ms: int) -> None:
        if at_ms > self.meta.clock_ms:
            self.meta.clock_ms = self.work.facts.newest_at_ms = at_ms


def _waiter(record: InRecord, account: bytes, body: Member) -> Waiter:
    return Waiter(max(body.at, 1), record.offset, account, record.value or b"")
