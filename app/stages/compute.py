"""`profiles.in` → changes, payloads and new state: the fold of one partition's log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import orjson

from app.activation.router import Router
from app.compute.apply import Application
from app.compute.changes import Change
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Catalog
from app.definitions.plan import Plan
from app.events.dates import instant
from app.events.model import Message
from app.profiles import codec
from app.profiles.seen import DAY_MS
from app.profiles.state import Profile
from app.profiles.store import META, PROFILE, part_key, timer_key
from app.stages.cache import ProfileCache
from app.stages.dead import dead_record
from app.stages.envelope import Body, CatalogChange, Event, Refresh, Timer, decode
from app.stages.meta import CATALOG_KEY, Meta
from app.stages.overlay import Overlay
from app.stages.records import InRecord, Work
from app.stages.seen import SeenWindow
from app.topics import Topics

Parsed = tuple[InRecord, Body]


class ComputeStage:
    """Folds one partition of `profiles.in`.

    Args:
        state: The partition's store, and what is on its way to it.
        epoch: The id of `profiles.in`, in hexadecimal.
        generation: Of the consumer group.
        cache_bytes: How much of encoded profiles is kept decoded between batches.
    """

    def __init__(
        self,
        topics: Topics,
        partition: int,
        state: Overlay,
        *,
        epoch: str,
        generation: int = 0,
        cache_bytes: int = 32 << 20,
    ) -> None:
        self._state = state
        self._place = _Place(topics, partition, epoch, int(epoch[:8] or "0", 16), generation)
        self._held = _Held(self._place, state, ProfileCache(state, cache_bytes))

    @property
    def plan_version(self) -> int:
        """Of the plan by which the next record is evaluated."""
        return self._held.plan.version

    @property
    def src_next(self) -> int:
        """The offset from which this partition has to be read."""
        return self._held.meta.src_next

    def reload(self) -> None:
        """Forget everything that is not in the state: a batch that was dropped must leave no trace."""
        self._held = _Held(self._place, self._state, self._held.cache)

    def process(self, records: Sequence[InRecord]) -> Work:
        """The work of a batch. The state is as if it had been done; nothing has left the process.

        A record that cannot be applied at all is dead-lettered, and the batch is computed once more without it: a fault
        in one record must neither stop the partition nor leave half of itself behind.
        """
        poisoned: dict[int, str] = {}
        while True:
            try:
                work = _Batch(self._place, self._held, records, poisoned).run()
            except _Poison as poison:
                poisoned[poison.offset] = poison.message
                self.reload()
            else:
                if work.changelog:
                    self._state.push(work.writes)
                return work


@dataclass(frozen=True, slots=True)
class _Place:
    """Which partition it is, and what holds for all of its life."""

    topics: Topics
    partition: int
    epoch: str
    epoch_bits: int
    """The first 32 bits of the epoch, for each profile."""
    generation: int


class _Held:
    """What is kept from batch to batch. All of it follows from the state, so it can be thrown away at any time."""

    __slots__ = ("_topics", "cache", "meta", "plan", "router", "seen")

    def __init__(self, place: _Place, state: Overlay, cache: ProfileCache) -> None:
        """The cache is emptied."""
        self._topics = place.topics
        held = state.get(META)
        self.meta = Meta.decode(held) if held is not None else Meta(epoch=place.epoch)
        cache.clear()
        self.cache = cache
        self.seen = SeenWindow(state, self.meta)
        catalog = state.get(CATALOG_KEY)
        self.use(msgspec.json.decode(catalog, type=Catalog) if catalog is not None else Catalog())

    def use(self, catalog: Catalog) -> None:
        """These definitions and connections are in force from the next record on."""
        ready, _ = compile_ready(catalog.definitions)
        self.plan: Plan = compile_plan(ready)
        self.router = Router(catalog, self._topics)


class _Poison(Exception):
    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


class _Batch:
    """One run over one batch."""

    def __init__(self, place: _Place, held: _Held, records: Sequence[InRecord], poisoned: dict[int, str]) -> None:
        self.place = place
        self.held = held
        self.records = records
        self.poisoned = poisoned
        self.meta = held.meta
        self.work = Work(src_next=max(records[-1].offset + 1, self.meta.src_next))
        self.dirty: dict[bytes, Profile] = {}
        self.topic = place.topics.profiles_in

    def run(self) -> Work:
        facts = self.work.facts
        facts.records = len(self.records)
        applied_until = self.meta.src_next
        parsed: list[Parsed] = []
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
            except codec.CorruptProfile:
                raise
            except Exception as error:
                raise _Poison(record.offset, f"{type(error).__name__}: {error}") from error
        self._settle()
        return self.work

    def _parse(self, record: InRecord) -> Body | None:
        poison = self.poisoned.get(record.offset)
        if poison is not None:
            self._dead(record, "failed", poison)
            return None
        try:
            body = decode(record.value)
            if not record.key and type(body) is not CatalogChange:
                raise ValueError("a record without a key belongs to no profile")
        except (ValueError, RecursionError) as error:
            self._dead(record, "not_understood", f"{type(error).__name__}: {error}")
            return None
        return body

    def _dead(self, record: InRecord, reason: str, message: str) -> None:
        facts = self.work.facts
        facts.invalid[reason] = facts.invalid.get(reason, 0) + 1
        letter = dead_record(record, self.topic, self.place.partition, reason=reason, message=message)
        self.work.emit(self.place.topics.events_dead, self.place.partition, letter)

    def _apply(self, record: InRecord, body: Body) -> None:
        if type(body) is Event:
            repeat = next(self.repeats)
            if body.at > self.meta.clock_ms:
                self.meta.clock_ms = self.work.facts.newest_at_ms = body.at
        elif type(body) is CatalogChange:
            self.held.use(body.catalog)
            self.work.writes[CATALOG_KEY] = msgspec.json.encode(body.catalog)
            return
        key = record.key
        assert key is not None
        profile = self.profiles[key]
        if record.offset <= profile.w:
            self.work.facts.skipped += 1
            return
        match body:
            case Event():
                self._event(key, profile, record, body, repeat)
            case Timer():
                self._timer(key, profile, record, body.due)
            case Refresh():
                self._refresh(key, profile, record, body.at)

    def _event(self, key: bytes, profile: Profile, record: InRecord, event: Event, repeat: bool) -> None:
        at_ms, plan, name = event.at, self.held.plan, event.name
        if (
            profile.plan == plan.version
            and (name not in plan.cells_by_event if name is not None else event.type != "identify")
            and not (profile.armed_due and profile.armed_due <= at_ms)
            and all(each in profile.identifiers for each in event.ids)
        ):
            return  # nothing that is live looks at it
        if repeat:
            self.work.facts.repeats += 1
        message: Message = orjson.loads(memoryview(event.message))
        claimed = instant(message.get("timestamp"))
        application = self._application(key, profile, record)
        application.pass_time(at_ms)
        own_ms = claimed if claimed is not None and claimed <= at_ms else at_ms
        application.message(message, own_ms, event.ids, received_ms=at_ms, repeat=repeat)
        self._done(key, profile, record, application)

    def _timer(self, key: bytes, profile: Profile, record: InRecord, due_ms: int) -> None:
        if not profile.armed_due or profile.armed_due > due_ms:
            return  # an event has come in between, and time with it
        self.work.facts.timers += 1
        self.work.facts.due_ms.append(due_ms)
        application = self._application(key, profile, record)
        application.pass_time(due_ms)
        self._done(key, profile, record, application)

    def _refresh(self, key: bytes, profile: Profile, record: InRecord, at_ms: int) -> None:
        if profile.w < 0 or profile.plan == self.held.plan.version:
            return  # nobody, or an event has come in between and had it evaluated
        self.work.facts.refreshed += 1
        application = self._application(key, profile, record)
        application.pass_time(at_ms)
        application.refresh()
        self._done(key, profile, record, application)

    def _application(self, key: bytes, profile: Profile, record: InRecord) -> Application:
        place = self.place
        return Application(
            self.held.plan, profile, key.decode(), place.epoch, (self.topic, place.partition, record.offset)
        )

    def _done(self, key: bytes, profile: Profile, record: InRecord, application: Application) -> None:
        profile.w = record.offset
        self.dirty[key] = profile
        for change in application.changes:
            self._emit(change)

    def _emit(self, change: Change) -> None:
        router, partition, counts = self.held.router, self.place.partition, self.work.facts.changes
        verb = "computed" if change.kind == "trait" else "entered" if change.value else "exited"
        counts[verb] = counts.get(verb, 0) + 1
        for topic, key, value, headers in (*router.route(change), router.cloud_event(change)):
            self.work.emit(topic, partition, (key, value, headers))

    def _settle(self) -> None:
        """Encode what the batch changed: state, then seen ids, then the meta record; the index is local."""
        work, place, held, meta = self.work, self.place, self.held, self.meta
        writes, changelog = work.writes, work.changelog
        changelog.extend(writes.items())
        encode, bits = codec.encode, place.epoch_bits
        for key, profile in self.dirty.items():
            data = encode(profile, bits)
            held.cache.put(key, profile, len(data))
            unused: frozenset[bytes] = frozenset()
            if len(data) > codec.WHOLE_BYTES_MAX or profile.parts:
                data, unused = self._in_parts(key, profile, data)
            if profile.armed_due != profile.indexed_due:
                if profile.indexed_due:
                    writes[timer_key(profile.indexed_due, key)] = None
                if profile.armed_due:
                    writes[timer_key(profile.armed_due, key)] = b""
                profile.indexed_due = profile.armed_due
            writes[PROFILE + key] = data
            changelog.append((PROFILE + key, data))
            # Behind the profile that no longer names them: cut between the two, the log still has all that is named.
            for name in sorted(unused):
                writes[part_key(key, name)] = None
                changelog.append((part_key(key, name), None))
        held.seen.settle(meta.clock_ms // DAY_MS, writes, changelog)
        meta.src_next = work.src_next
        meta.epoch = place.epoch
        meta.generation = place.generation
        encoded = meta.encode()
        writes[META] = encoded
        changelog.append((META, encoded))

    def _in_parts(self, key: bytes, profile: Profile, whole: bytes) -> tuple[bytes, frozenset[bytes]]:
        """A large profile's bytes, once its new parts have been put before it; and the names of parts without use."""
        data, parts = whole, dict[bytes, bytes]()
        if len(whole) > codec.WHOLE_BYTES_MAX:
            data, parts = codec.encode_in_parts(profile, self.place.epoch_bits)
        for name in sorted(parts.keys() - profile.parts):
            self.work.writes[part_key(key, name)] = parts[name]
            self.work.changelog.append((part_key(key, name), parts[name]))
        unused = profile.parts - parts.keys()
        profile.parts = frozenset(parts)
        return data, unused
