"""What a batch of `profiles.in` does to the profiles of its partition: fold, tell, and put down what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec
import orjson

from app.activation.router import Routed, Router
from app.compute.accounts import AccountApplication
from app.compute.apply import Application
from app.compute.changes import Change
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_accounts, compile_plan, told_to_users
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
from app.stages.envelope import Event, Fact, Recollect
from app.stages.meta import CATALOG_KEY, Meta
from app.stages.overlay import Overlay
from app.stages.records import InRecord, Work
from app.stages.reports import Heard, Moved, Reports
from app.stages.seen import SeenWindow
from app.stages.telling import Telling
from app.topics import Collection, Topics

_TOLD = frozenset({"identify", "group"})
"""The types of calls, besides events, that change a profile or an account."""


@dataclass(frozen=True, slots=True)
class Place:
    """Which partition it is, and what holds for all of its life."""

    topics: Topics
    partition: int
    partitions: int
    epoch: str
    epoch_bits: int
    """The first 32 bits of the epoch, for each profile."""
    generation: int
    collection: Collection = "users"


class Held:
    """What is kept from batch to batch. All of it follows from the state, so it can be thrown away at any time."""

    __slots__ = (
        "_collection",
        "_state",
        "_topics",
        "cache",
        "catalog",
        "has_accounts",
        "meta",
        "plan",
        "router",
        "seen",
    )

    def __init__(self, place: Place, state: Overlay, cache: ProfileCache) -> None:
        """The cache is emptied."""
        self._topics = place.topics
        self._collection = place.collection
        self._state = state
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
        self.catalog = catalog
        if self._collection == "accounts":
            self.plan: Plan = compile_accounts(ready, told_to_users(ready, catalog.subscriptions))
        else:
            self.plan = compile_plan(ready)
        self.has_accounts = any(definition.scope == "ACCOUNTS" for definition, _ in ready)
        self.router = Router(catalog, self._topics)

    def keys_of(self, prefix: bytes, start: bytes = b"") -> Iterator[bytes]:
        """The keys of the state that begin so, from one of them on, as of the batches before."""
        return self._state.keys(prefix, start)

    def value_of(self, key: bytes) -> bytes | None:
        """What the state has under a key, as of the batches before."""
        return self._state.get(key)


class Poison(Exception):
    """A record cannot be applied at all: the batch is computed once more without it."""

    def __init__(self, offset: int, message: str) -> None:
        super().__init__(message)
        self.offset = offset
        self.message = message


class Folding:
    """One batch's work on profiles.

    Attributes:
        work: What comes of the batch.
        dirty: Profiles that have changed, by key.
        armed: Those of which only the timer has.
        gone: Keys that are deleted behind the profiles that did without them: parts of who was erased, and records
            that an account has waited with.
    """

    def __init__(self, place: Place, held: Held, work: Work) -> None:
        self.place = place
        self.held = held
        self.meta = held.meta
        self.work = work
        self.dirty: dict[bytes, Profile] = {}
        self.armed: dict[bytes, Profile] = {}
        self.gone: list[bytes] = []
        self._forgotten: set[bytes] = set()
        self.topic = place.topics.source_of(place.collection)
        self.reports = Reports(place.topics, place.partitions, work)
        self.telling = Telling(place.topics, place.partition, place.partitions, work)

    def change_catalog(self, catalog: Catalog) -> None:
        """These definitions and connections are in force from here on."""
        self.held.use(catalog)
        self.work.writes[CATALOG_KEY] = msgspec.json.encode(catalog)

    def dead(self, record: InRecord, reason: str, message: str) -> None:
        """A record that cannot be applied goes to `events.dead`."""
        facts = self.work.facts
        facts.invalid[reason] = facts.invalid.get(reason, 0) + 1
        letter = dead_record(record, self.topic, self.place.partition, reason=reason, message=message)
        self.work.emit(self.place.topics.events_dead, self.place.partition, letter)

    def event(self, key: bytes, profile: Profile, offset: int, event: Event, repeat: bool) -> None:
        """An event, if anything that is live looks at it."""
        at_ms, plan, name = event.at, self.held.plan, event.name
        if (
            profile.plan == plan.version
            and (name not in plan.looked_at if name is not None else event.type not in _TOLD)
            and not (profile.armed_due and profile.armed_due <= at_ms)
            and all(each in profile.identifiers for each in event.ids)
        ):
            return  # nothing that is live looks at it
        if repeat:
            self.work.facts.repeats += 1
        message: Message = orjson.loads(memoryview(event.message))
        claimed = instant(message.get("timestamp"))
        application = self.application(key, profile, offset)
        application.pass_time(at_ms)
        own_ms = claimed if claimed is not None and claimed <= at_ms else at_ms
        application.message(message, own_ms, event.ids, received_ms=at_ms, repeat=repeat)
        self.done(key, profile, offset, application, None if repeat else Heard(event, message, own_ms))

    def timer(self, key: bytes, profile: Profile, offset: int, due_ms: int) -> None:
        """A due timer, unless time has passed for the profile since it was fired."""
        if not profile.armed_due or profile.armed_due > due_ms:
            return  # an event has come in between, and time with it
        self.work.facts.timers += 1
        self.work.facts.due_ms.append(due_ms)
        application = self.application(key, profile, offset)
        application.pass_time(due_ms)
        self.done(key, profile, offset, application)

    def refresh(self, key: bytes, profile: Profile, offset: int, at_ms: int) -> None:
        """The profile is evaluated by the definitions in force, unless it has been."""
        if profile.w < 0 or profile.plan == self.held.plan.version:
            return  # nobody, or an event has come in between and had it evaluated
        self.work.facts.refreshed += 1
        application = self.application(key, profile, offset)
        application.pass_time(at_ms)
        application.refresh()
        self.done(key, profile, offset, application)

    def fact(self, key: bytes, profile: Profile, offset: int, fact: Fact) -> None:
        """What one of a user's accounts has become; who does not belong to it any more is not told."""
        if profile.belonging is None or fact.account not in profile.belonging.accounts:
            return
        application = self.application(key, profile, offset)
        # At the user's own time: the account's is that of its other users, and events of this one may be waiting.
        application.fact(fact.account, fact.version, fact.values, fact.at)
        self.done(key, profile, offset, application)

    def recollect(self, key: bytes, profile: Profile, offset: int, asked: Recollect) -> None:
        """One of a user's accounts asks for what it brought along."""
        if self.reports.recollect(key, profile, self.held.plan, asked):
            self.changed(key, profile, offset)

    def account(self, key: bytes, account: Profile, offset: int) -> AccountApplication:
        """What applies a record to an account."""
        place = self.place
        position = (self.topic, place.partition, offset)
        return AccountApplication(self.held.plan, account, key.decode(), place.epoch, position)

    def application(self, key: bytes, profile: Profile, offset: int) -> Application:
        """What applies a record to a user; the offset makes the ids of its changes."""
        place = self.place
        return Application(self.held.plan, profile, key.decode(), place.epoch, (self.topic, place.partition, offset))

    def done(
        self,
        key: bytes,
        profile: Profile,
        offset: int,
        application: Application,
        heard: Heard | None = None,
        moved: Moved | None = None,
    ) -> None:
        """A record has been applied: what changed is told.

        Args:
            heard: The message, if it was one that counts.
            moved: What a merge or a split means to accounts, if it was one.
        """
        self.changed(key, profile, offset)
        if self.place.collection == "accounts":
            self.telling.tell(application)
        elif profile.belonging is not None or (heard is not None and heard.is_for_accounts(self.held.plan)):
            self.reports.send(application, heard, moved)
        for change in application.changes:
            self._emit(change)
        for repeat in application.repeats:
            self.send(self.held.router.route(repeat))

    def changed(self, key: bytes, profile: Profile, offset: int) -> None:
        """A record has changed the profile."""
        profile.w = max(profile.w, offset)
        self.dirty[key] = profile

    def rearmed(self, key: bytes, profile: Profile, offset: int) -> None:
        """A record has armed the profile's timer, and changed nothing else of it: it need not be encoded as a whole."""
        (self.armed if profile.w >= 0 else self.dirty)[key] = profile
        profile.w = max(profile.w, offset)

    def forget(self, key: bytes, profile: Profile) -> None:
        """Nobody is known under the key any more, not even as erased; a record behind this one makes a new profile."""
        if profile.indexed_due:
            self.work.writes[timer_key(profile.indexed_due, key)] = None
        fresh = Profile()
        for slot in Profile.__slots__:
            setattr(profile, slot, getattr(fresh, slot))
        self.dirty.pop(key, None)
        self._forgotten.add(key)

    def _emit(self, change: Change) -> None:
        router, counts = self.held.router, self.work.facts.changes
        verb = "computed" if change.kind == "trait" else "entered" if change.value else "exited"
        counts[verb] = counts.get(verb, 0) + 1
        # What an account tells its users is in `changes` once, as the account's.
        self.send(router.route(change) if change.account else (*router.route(change), router.cloud_event(change)))

    def send(self, records: Iterable[Routed]) -> None:
        """Records to those outside."""
        for topic, key, value, headers, partition in records:
            self.work.emit(topic, self.place.partition if partition is None else partition, (key, value, headers))

    def settle(self) -> None:
        """Encode what the batch changed: state, then seen ids, then the meta record; the index is local."""
        work, place, held, meta = self.work, self.place, self.held, self.meta
        writes, changelog = work.writes, work.changelog
        changelog.extend(writes.items())
        encode, bits = codec.encode, place.epoch_bits
        for key, profile in (self.armed | self.dirty).items():
            unused: frozenset[bytes] = frozenset()
            if key in self.dirty:
                data = encode(profile, bits)
                held.cache.put(key, profile, len(data))
                if len(data) > codec.WHOLE_BYTES_MAX or profile.parts:
                    data, unused = self._in_parts(key, profile, data)
            else:
                before = held.value_of(PROFILE + key)
                assert before is not None, "it is known since a batch before"
                data = codec.rearmed(before, profile, bits)
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
        for key in sorted(self._forgotten):
            held.cache.drop(key)
            if key not in self.dirty:
                writes[PROFILE + key] = None
                changelog.append((PROFILE + key, None))
        for gone in self.gone:
            writes[gone] = None
            changelog.append((gone, None))
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
