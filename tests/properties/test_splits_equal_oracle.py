"""A profile of two people's events, folded anew as two, against the oracle over the events of each: every kind of cell.

HEADWATER_SCENARIOS=3000 pytest tests/properties -k splits
One seed again: HEADWATER_SEED=1234 HEADWATER_SCENARIOS=1 pytest tests/properties -k splits
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import orjson
import pytest

from app.compute.apply import Application
from app.definitions.model import Catalog, Definition
from app.events.model import event_name
from app.identity.rules import Identifier
from app.profiles import codec, parts
from app.profiles.belonging import merge_cells
from app.profiles.funnels import Funnel
from app.profiles.state import Profile
from app.stages import envelope
from app.stages.merging import pack, unpack
from app.stages.refold import Refold
from tests.compute.test_funnels import QUERIES as FUNNELS
from tests.oracle.profiles import Record, TraitView, current
from tests.properties.test_merges_equal_oracle import (
    AUDIENCES,
    INSTANTS,
    SCENARIOS,
    START_MS,
    WINDOWS,
    Family,
    iso,
    run,
    self_contained,
)
from tests.scenarios import scenario
from tests.simulation import log

STAYS, GOES = 0, 1


class Pair(Family):
    """Two people whom one profile was taken for. The oracle always knew better."""

    def __init__(self, definitions: Sequence[Definition], random: Random) -> None:
        super().__init__(definitions, random, 2)
        self.both = Profile()
        self.records_in: list[tuple[log.Record, envelope.Event]] = []
        self.catalog = Catalog(tuple(definitions))

    def hear(self, record: Record) -> None:
        """A message of one of them; one that goes may name the other, too."""
        who = self.random.choice((STAYS, GOES))
        person = self.people[who]
        self.records.append(record)
        self.now_ms = record.received_at_ms
        message = dict(record.message)
        ids = [("user_id", person.user)]
        if who == GOES and self.random.random() < 0.3:
            ids.append(("user_id", self.people[STAYS].user))
        application = self.application(self.both)
        application.pass_time(self.now_ms)
        application.message(message, record.time_ms, ids, received_ms=self.now_ms, repeat=False)
        traits = TraitView({}, current(self.directory.profiles[self._subject_id(person)].traits))
        self.directory.apply(record, self._subject_id(person), len(self.records), traits, {})
        raw = msgspec.Raw(orjson.dumps(message))
        body = envelope.Event(self.now_ms, f"m:{len(self.records)}", message["type"], ids, raw, event_name(message))
        self.records_in.append((log.Record(len(self.records), b"prf", None, self.now_ms), body))
        if self.random.random() < 0.1:
            self.records_in.append(self.records_in[-1])  # passed on, or sent twice

    def split(self) -> None:
        identifier = ("user_id", self.people[GOES].user)
        held = codec.decode(codec.encode(self.both, 0))
        self._cut(identifier, held)
        fold = Refold("in", 0, {"prf"}, identifier, held, self.catalog, until=None, is_whole=self.random.random() < 0.5)
        fold.take(0, log.Record(0, None, None, START_MS), envelope.CatalogChange(self.catalog))
        for record, body in self.records_in:
            fold.take(0, record, body)
        folded = fold.done(self.now_ms)
        assert not folded.kept, "the log has all of it"
        self.seen.update(type(self.kinds[cell]).__name__ for cell in folded.taken.cells if cell in folded.left.cells)
        left, taken = (unpack([b"".join(pack(each))]) for each in (folded.left, folded.taken))
        application = self.application(self.both)
        application.pass_time(self.now_ms)
        application.replace(left)
        self._compensated(held.emitted, application)
        self.people[STAYS].profile = self.both
        application = self.application(self.people[GOES].profile)
        self.people[GOES].profile.identifiers = []
        application.pass_time(self.now_ms)
        application.absorb(taken, "split")
        self._told(held.emitted, application)
        for person in self.people:
            assert person.profile.identifiers == [("user_id", person.user)]
            self.check(person, person.profile, self.now_ms)
        self.run_on(INSTANTS)

    def _cut(self, identifier: Identifier, held: Profile) -> None:
        """Where the log no longer has all, the two together have what the profile had: nothing twice, nothing lost."""
        first = self.random.randrange(len(self.records_in))
        fold = Refold("in", 0, {"prf"}, identifier, held, self.catalog, until=None, is_whole=False)
        for record, body in self.records_in[first:]:
            fold.take(0, record, body)
        folded = fold.done(self.now_ms)
        parts = [_copied(each.cells) for each in (folded.left, folded.taken)]
        had, together = _copied(held.cells), _copied({})
        merge_cells(together, parts[0], self.kinds, self.now_ms)
        merge_cells(together, parts[1], self.kinds, self.now_ms)
        for cell_id, kind in self.kinds.items():
            found, wanted = (kind.answer(cells.get(cell_id), self.now_ms) for cells in (together, had))
            if not self.plan.cells[cell_id].reads_traits:  # it can tell of two less than of one who knew more
                assert _plain(found) == _plain(wanted), f"{kind}: {wanted} before, {found} together"
            if cell_id in folded.kept and cell_id in folded.taken.cells:
                self.seen[f"cut {type(kind).__name__}"] += 1

    def _compensated(self, before: dict[str, Any], application: Application) -> None:
        """Whoever follows the changes knows what the profile has."""
        told = dict(before)
        for change in application.changes:
            assert change.origin in ("split", "live")
            told[change.key] = change.value
        assert told == application.profile.emitted

    def _told(self, before: dict[str, Any], application: Application) -> None:
        """Who was told what the one profile had knows what is so now."""
        told = dict(before)
        for change in (*application.changes, *application.repeats):
            assert change.told is None
            told[change.key] = change.value
        emitted = application.profile.emitted
        wrong = [key for key in told if (told[key] or None) != (emitted.get(key) or None)]
        assert not wrong, [(key, told[key], emitted.get(key)) for key in wrong]


def _copied(cells: Any) -> Any:
    return msgspec.msgpack.decode(msgspec.msgpack.encode(cells))


def _plain(answer: Any) -> Any:
    """Nothing is 0, and 25 is 25.0."""
    match answer:
        case [str() | Decimal() as total, int() as count]:
            return Decimal(total), count
    return _copied(answer or None)


def by_hand(seed: int) -> Counter[str]:
    random = Random(seed)
    chosen = [("trait", query) for query in random.sample(WINDOWS, 4) + random.sample(FUNNELS, 3)]
    chosen += [("audience", query) for query in random.sample(AUDIENCES, 2)]
    pair = Pair([Definition(f"d{n}", kind, query) for n, (kind, query) in enumerate(chosen)], random)  # type: ignore[arg-type]
    at_ms = START_MS
    for number in range(random.randint(4, 24)):
        at_ms += 1_000 * random.choice((0, 0, 1, 1, 2, 5))
        timestamp = iso(at_ms - 1_000 * random.choice((0, 0, 0, 1, 2, 4, 12)))
        message: dict[str, Any] = {"timestamp": timestamp, "messageId": f"m{number}"}
        if random.random() < 0.2:
            traits = {"plan": random.choice(("gold", "free")), "until": iso(at_ms + 1_000 * random.randint(-5, 9))}
            message |= {"type": "identify", "traits": dict(random.sample(sorted(traits.items()), random.randint(1, 2)))}
        else:
            due = iso(at_ms + 1_000 * random.randint(-6, 6))
            properties = {"p": random.choice((None, 1, 2, 2, 3)), "d": due, "n": f"n{number}"}
            message |= {"type": "track", "event": random.choice("AAABBC"), "properties": properties}
        pair.hear(Record(at_ms, message))
    pair.split()
    return pair.seen


def by_chance(seed: int) -> Counter[str]:
    random = Random(seed)
    made = scenario(seed, events=22, profiles=3, definitions=10, duplicates=False, scale="seconds")
    alone = self_contained(made.definitions)
    if not alone:
        return Counter()
    pair = Pair(alone, random)
    for number, (at_ms, message) in enumerate(made.messages):
        pair.hear(Record(at_ms, {**message, "messageId": f"m{number}"}))
    pair.split()
    return pair.seen


@pytest.fixture(autouse=True)
def _short_lists_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "ENTRIES_INLINE_MAX", 2)


@pytest.mark.parametrize("block", range(3))
def test_splits_by_hand(block: int) -> None:
    seen = run(by_hand, block, "split")
    every = {"Count", "Total", "WindowCount", "Spanned", "Peaks", "Runs", "SessionFacts", Funnel.__name__}
    every |= {f"cut {each}" for each in every - {"Peaks", "SessionFacts"}}
    assert SCENARIOS < 90 or set(seen) >= every, f"never split: {every - set(seen)}"


@pytest.mark.parametrize("block", range(3))
def test_splits_by_chance(block: int) -> None:
    assert run(by_chance, block, "split") or SCENARIOS < 90
