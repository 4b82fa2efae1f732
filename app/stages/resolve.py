"""`events.raw` → `profiles.in`, or `identity.links` where it is not known whose a message is.

A message takes the straight way when all of its identifiers are known to be one profile's, or when it is known which of
them do not count. Everything else is decided by `link`, which is one for all. Until it has answered, what has anything
in common with such a message goes the same way behind it: so messages of one partition that share an identifier, or a
profile, reach the profile in their order. A restart forgets who is waiting; order across it is not promised.

A message of several identifiers, of which one was ever taken out of a profile, is decided by `link` whatever is known:
read again, it could be another's by then. `link` decides it once.

A message with a suppressed identifier is dropped, and counted. It leaves no dead letter, which would keep its data.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence, Set

from app.errors import InvalidEvent, InvalidEventReason
from app.events.codec import decode
from app.events.model import event_name
from app.identity.identifiers import Identifiers
from app.identity.rules import Identifier, IdentityRules
from app.stages import envelope, links
from app.stages.assignments import Assignments, Owner
from app.stages.dead import dead_record
from app.stages.records import InRecord, OutRecord, Work
from app.topics import JSON_HEADERS, Topics

_BARRED: Owner = b"", -1
"""Whose a message is that is dropped."""

_Parsed = tuple[InRecord, int, str, str, str | None, list[Identifier], str | None]
"""Record, when it was received, id, type, name, usable identifiers, an alias's previousId."""


class ResolveStage:
    """Resolves one partition of `events.raw`.

    Args:
        known: What the partition has been told by `link`; kept up to date by whoever reads `identity.assignments`.
        read_next: Before that offset messages may have been passed on by somebody else.
    """

    def __init__(
        self, topics: Topics, partition: int, rules: IdentityRules, known: Assignments, read_next: int = 0
    ) -> None:
        self._topics = topics
        self._partition = partition
        self._identifiers = Identifiers(rules)
        self._known = known
        self._read_next = read_next
        self._pending: dict[Identifier | bytes, int] = {}
        """Identifier or profile → the offset of the last message that touches it and went to `link`."""
        self._asked: deque[int] = deque()
        """The offsets of the messages that went to `link` and are not answered."""
        self._swept = -1
        """What had been told when answers were last looked at."""

    def know(self, known: Assignments) -> None:
        """What the partition has been told is held by another object from now on."""
        self._known = known
        self._swept = -1

    @property
    def unanswered(self) -> int:
        """How many messages are with `link`."""
        self._sweep()
        return len(self._asked)

    def process(self, records: Sequence[InRecord], now_ms: int) -> Work:
        """The records that go to `profiles.in`, `events.dead`, and then to `identity.links`.

        Requests go out behind what went straight: `link` may merge a profile, and what came before must be there.

        Args:
            now_ms: The wall clock: a record that claims to have been appended later than now was appended now.
        """
        self._sweep()
        work = Work(src_next=records[-1].offset + 1)
        work.facts.records = len(records)
        parsed = [each for record in records if (each := self._parse(record, now_ms, work)) is not None]
        owners = self._owners(parsed)
        forward: dict[int, list[OutRecord]] = {}
        requests: list[OutRecord] = []
        pending = self._pending
        for one, (owner, holds) in zip(parsed, owners, strict=True):
            if owner is _BARRED:
                work.facts.suppressed += 1
                continue
            if owner is None or (pending and self._waits(one[5], owner)):
                self._mark(one, owner)
                requests.append((None, self._request(one), JSON_HEADERS))
                continue
            record, at_ms, id_, kind, name, _, _ = one
            assert record.value is not None
            value = envelope.event(at_ms, id_, kind, name, holds, record.value)
            key, target = owner
            if target in forward:
                forward[target].append((key, value, JSON_HEADERS))
            else:
                forward[target] = [(key, value, JSON_HEADERS)]
        for target in sorted(forward):
            work.outputs[self._topics.profiles_in, target] = forward[target]
        if requests:
            work.later[self._topics.identity_links, 0] = requests
        self._read_next = max(self._read_next, work.src_next)
        work.facts.linked = len(requests)
        work.facts.newest_at_ms = max((one[1] for one in parsed), default=0)
        return work

    def _request(self, one: _Parsed) -> bytes:
        record, at_ms, id_, kind, name, found, previous = one
        assert record.value is not None
        return links.link(
            self._partition, record.offset, at_ms, id_, kind, name, found, previous, record.value,
            again=record.offset < self._read_next,
        )  # fmt: skip

    def _parse(self, record: InRecord, now_ms: int, work: Work) -> _Parsed | None:
        try:
            message = decode(record.value)
            found = self._identifiers.of(message)
            kind = message["type"]
            previous = self._identifiers.previous(message) if kind == "alias" else None
            if not found and previous is None:
                raise InvalidEvent(
                    InvalidEventReason.NO_IDENTIFIER, "needs a userId, an anonymousId or another identifier that is "
                    "not a placeholder",
                )  # fmt: skip
        except InvalidEvent as error:
            work.facts.invalid[error.reason] = work.facts.invalid.get(error.reason, 0) + 1
            dead = dead_record(
                record, self._topics.events_raw, self._partition, reason=error.reason, message=error.message
            )
            work.emit(self._topics.events_dead, self._partition, dead)
            return None
        sent_id = message.get("messageId")
        # Without an id of its own a message is known by its position, so that passing it on twice counts once.
        id_ = f"m:{sent_id}" if sent_id is not None else f"o:{self._partition}:{record.offset}"
        timestamp = record.timestamp
        return record, timestamp if timestamp < now_ms else now_ms, id_, kind, event_name(message), found, previous

    def _owners(self, parsed: Sequence[_Parsed]) -> list[tuple[Owner | None, list[Identifier]]]:
        """Whose each message is as far as is known, and which of its identifiers are that profile's."""
        known, front, apart = self._known, self._known.front, self._known.apart
        owners: list[tuple[Owner | None, list[Identifier]]] = []
        unsure: list[int] = []
        for _, _, _, kind, _, found, _ in parsed:
            owner = _common(front, found) if kind != "alias" else None
            if owner is None or (apart and _may_part(apart, found)):
                unsure.append(len(owners))
            owners.append((owner, found))
        if not unsure:
            return owners
        known.load(each for at in unsure for each in _touched(parsed[at]))
        several: list[int] = []
        barred = known.suppressed(each for at in unsure for each in _touched(parsed[at]))
        for at in unsure:
            if barred and not barred.isdisjoint(_touched(parsed[at])):
                owners[at] = _BARRED, []
            elif parsed[at][3] != "alias":
                found = parsed[at][5]
                is_asked = _may_part(apart, found)
                owners[at] = _common(front, found) if not is_asked else None, found
                if owners[at][0] is None and len(found) > 1 and not is_asked:
                    several.append(at)
        if several:
            keys = known.load_verdicts(parsed[at][5] for at in several)
            for at, key in zip(several, keys, strict=True):
                if key in known.verdicts:
                    owner_, places = known.verdicts[key]
                    holds = [parsed[at][5][place] for place in places]
                    # One of a profile that has lost an identifier since, or has become part of another, is none.
                    if all(front.get(each) == owner_ for each in holds):
                        owners[at] = owner_, holds
        return owners

    def _waits(self, found: Sequence[Identifier], owner: Owner) -> bool:
        """Whether something that a message touches is with `link`."""
        pending = self._pending
        return owner[0] in pending or any(each in pending for each in found)

    def _mark(self, one: _Parsed, owner: Owner | None) -> None:
        """A message goes to `link`: what it touches is pending."""
        pending, front, offset = self._pending, self._known.front, one[0].offset
        if not self._asked or offset > self._asked[-1]:  # else it has been computed before
            self._asked.append(offset)
        if owner is not None:
            pending[owner[0]] = offset
        for each in _touched(one):
            pending[each] = offset
            named = front.get(each)
            if named is not None:
                pending[named[0]] = offset

    def _sweep(self) -> None:
        """What has been answered waits no longer; what is still to be answered may have got an owner, who waits too."""
        if not self._pending or self._known.told == self._swept:
            return
        self._swept = self._known.told
        answered, front = self._known.answered, self._known.front
        pending = {each: offset for each, offset in self._pending.items() if offset > answered}
        for each, offset in tuple(pending.items()):
            owner = front.get(each) if isinstance(each, tuple) else None
            if owner is not None:
                pending[owner[0]] = max(pending.get(owner[0], -1), offset)
        self._pending = pending
        while self._asked and self._asked[0] <= answered:
            self._asked.popleft()


def _common(front: Mapping[Identifier, Owner], found: Sequence[Identifier]) -> Owner | None:
    """The one profile that all of a message's identifiers are known to be."""
    owner = front.get(found[0])
    if len(found) > 1:
        for each in found:
            if front.get(each) != owner:
                return None
    return owner


def _may_part(apart: Set[Identifier], found: Sequence[Identifier]) -> bool:
    """Whether `link` has to say whose a message is, even if all of its identifiers are one profile's."""
    return len(found) > 1 and not apart.isdisjoint(found)


def _touched(one: _Parsed) -> Sequence[Identifier]:
    """Every identifier that a message may be about."""
    found, previous = one[5], one[6]
    return found if previous is None else (*found, ("user_id", previous), ("anonymous_id", previous))
