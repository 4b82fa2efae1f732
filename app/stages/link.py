"""`identity.links` → decisions: whose each message is, which profiles become one, who is erased, who has to be told.

There is one partition, so there is one order, and one writer of the graph. Of each request come, in this order: for
each merge `absorb` to the winner and `merge` to the loser; the message itself, to its profile. When all of these are in
`profiles.in`, the assignments follow: only then can the next message of a partition overtake none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import orjson

from app.events.dates import instant
from app.identity import codec
from app.identity.graph import SPLITS_MAX, Graph, Resolution
from app.identity.identifiers import with_previous
from app.identity.rules import Identifier, LinkRules
from app.profiles.store import META
from app.stages import assignments, envelope, link_state, links, splitting
from app.stages.dead import dead_record
from app.stages.decided import Decided
from app.stages.link_state import GraphMeta
from app.stages.overlay import Overlay
from app.stages.records import InRecord, Work
from app.stages.regulating import Regulator
from app.topics import JSON_HEADERS, Topics, partition_of

CHANGELOG_BYTES = 320 * 1024
"""From there on a batch takes no further request: with the largest profile of all, it fits into one record batch, which
the broker has as a whole or not at all. A part of it would be a graph that never was."""

PROFILES_MAX = 200_000
"""How many profiles' partitions are remembered; hashing one again costs more than looking it up."""


RECORD_BYTES = 96
"""Of a changed profile in the changelog, and of each profile that it has taken in."""


class LinkStage:
    """Decides the requests of all partitions of `events.raw`.

    Args:
        partitions: Of `events.raw` and `profiles.in`.
        state: The graph's store, and what is on its way to it.
        epoch: The id of `identity.links`, in hexadecimal.
        generation: Of the consumer group.
    """

    def __init__(self, topics: Topics, partitions: int, state: Overlay, *, epoch: str, generation: int = 0) -> None:
        self._topics = topics
        self._partitions = partitions
        self._state = state
        self._epoch = epoch
        self._generation = generation
        self._targets: dict[str, tuple[bytes, int]] = {}
        self.reload()

    @property
    def src_next(self) -> int:
        """The offset from which `identity.links` has to be read."""
        return self._meta.src_next

    def reload(self) -> None:
        """Forget everything that is not in the state."""
        held = self._state.get(META)
        self._meta = GraphMeta.decode(held) if held is not None else GraphMeta(epoch=self._epoch)
        self._rules = link_state.rules_of(self._state)
        self._version = self._rules.version()

    def process(self, records: Sequence[InRecord]) -> Work:
        """The work of a batch, or of so many of its first records as fit into one: see the work's `src_next`."""
        meta = self._meta
        work = Work(src_next=max(records[-1].offset + 1, meta.src_next))
        parsed = [(record, _parse(record, self._partitions)) for record in records if record.offset >= meta.src_next]
        work.facts.skipped = len(records) - len(parsed)
        graph = Graph(self._rules, meta.created)
        asked = list(dict.fromkeys(each for _, body in parsed for each in _asked_of(body)))
        link_state.load(graph, self._state, asked)
        regulator = Regulator(self._topics, self._partitions, self._state, graph, asked, meta.regulated > 0)
        batch = _Batch(work, graph, regulator, Decided(self._state, work.writes))
        for record, body in parsed:
            if batch.has_split or batch.changed_bytes + regulator.changed_bytes > CHANGELOG_BYTES:
                work.src_next = record.offset
                break
            work.facts.records += 1
            match body:
                case links.Link():
                    self._link(batch, record.offset, body)
                case links.RulesChange():
                    self._change(batch, body.rules)
                case links.Split():
                    self._split(batch, record, body)
                case links.Regulation():
                    regulated = regulator.decide(work, body, record.offset)
                    if regulated is not None and regulated.profile is not None:
                        batch.changed[regulated.profile] = record.offset
                        if regulated.erased is not None:
                            batch.gained.update(dict.fromkeys(regulated.erased.ids))
                            work.facts.forgotten.append(link_state.node_key(regulated.profile))
                            work.facts.forgotten += map(link_state.index_key, regulated.erased.ids)
                case str():
                    self._refuse(work, record, body)
        if work.facts.records:
            self._settle(batch)
            self._state.push(work.writes)
        return work

    def _link(self, batch: _Batch, offset: int, asked: links.Link) -> None:
        """Decide one request, and say it to those whom it concerns."""
        graph, work, topic = batch.graph, batch.work, self._topics.profiles_in
        batch.answered[asked.partition] = max(asked.offset, batch.answered.get(asked.partition, -1))
        if batch.regulator.bars(_asked_of(asked)):
            work.facts.suppressed += 1
            return
        usable = asked.ids
        if asked.previous is not None:
            kind = "user_id" if ("user_id", asked.previous) in graph.owners else "anonymous_id"
            usable = with_previous(usable, (kind, asked.previous), graph.rules)
        said_ms = None
        if apart := graph.apart_of(usable):
            if not batch.decided.take(asked.id, usable, asked.at):
                return
            batch.changed_bytes += RECORD_BYTES
            # What was said before somebody took it back must not count again, however late it comes.
            said_ms = _said_ms(asked)
        fresh = [each for each in usable if each not in graph.owners]
        found = graph.resolve(usable, asked.at, asked.id, asked.partition, said_ms, again=asked.again)
        profile = found.profile
        key, target = self._target(profile)
        for loser in found.losers:
            loser_key, loser_target = self._target(loser)
            work.emit(topic, target, (key, envelope.absorb(asked.at, asked.id, loser), JSON_HEADERS))
            work.emit(topic, loser_target, (loser_key, envelope.merge(asked.at, asked.id, profile), JSON_HEADERS))
        for each in graph.nodes[profile].returning(each for each in fresh if each in found.holds):
            # Whom it had made was erased; else it would have an owner. Its events are this profile's again.
            back = envelope.part(asked.at, asked.id, each, profile, graph.created)
            work.emit(topic, target, (key, back, JSON_HEADERS))
        value = envelope.event(
            asked.at, asked.id, asked.type, asked.name, found.holds, bytes(memoryview(asked.message))
        )
        work.emit(topic, target, (key, value, JSON_HEADERS))
        batch.note(found, offset)
        self._tell(batch, found)
        if found.lasts and asked.previous is None and not apart:
            record = assignments.verdict(usable, self._version, profile, found.holds)
            work.emit_later(self._topics.identity_assignments, asked.partition, record)
        facts = work.facts
        facts.newest_at_ms = max(facts.newest_at_ms, asked.at)
        facts.created += found.is_new
        facts.merged += len(found.losers)
        facts.aside += len(found.holds) < len(usable)

    def _tell(self, batch: _Batch, found: Resolution) -> None:
        """Every partition that has met the profile learns what it does not know of it."""
        if not found.gained and not found.newcomers:
            return
        node, topic = batch.graph.nodes[found.profile], self._topics.identity_assignments
        known = assignments.of_profile(found.profile, node.apart)
        everything = [known(each) for each in node.ids] if found.newcomers else []
        news = [known(each) for each in found.gained] if len(node.met) > len(found.newcomers) else []
        for partition in sorted(node.met):
            records = everything if partition in found.newcomers else news
            batch.work.later.setdefault((topic, partition), []).extend(records)

    def _split(self, batch: _Batch, record: InRecord, asked: links.Split) -> None:
        """Take an identifier out of its profile, or say why not. Of an id that was answered before, nothing."""
        work, graph, at_ms = batch.work, batch.graph, record.timestamp
        key, (identifier,) = link_state.answer_key(asked.id), asked.ids
        if key in work.writes or self._state.get(key) is not None:
            return
        profile = graph.owners.get(identifier)
        answer = link_state.Answer(at_ms)
        if profile is None:
            answer.refused = "nobody is known under that identifier"
        elif batch.regulator.bars([identifier]):
            answer.profile = profile
            answer.refused = f"it is suppressed, and so is all of {profile}"
        elif len(graph.nodes[profile].ids) == 1:
            answer.profile = profile
            answer.refused = f"it is the only identifier of {profile}"
        elif len(graph.nodes[profile].parted) >= SPLITS_MAX:
            answer.profile = profile
            answer.refused = f"{SPLITS_MAX} identifiers have been taken out of {profile}; it takes no more"
        else:
            since = graph.nodes[profile].reborn()
            into = graph.split(identifier, at_ms, asked.id)
            answer.profile, answer.into = profile, into
            batch.note_split(profile, into, identifier, record.offset)
            (left_key, left), (taken_key, taken) = self._target(profile), self._target(into)
            topic, told = self._topics.profiles_in, self._topics.identity_assignments
            part = envelope.part(at_ms, asked.id, identifier, into, graph.created, since)
            work.emit(topic, left, (left_key, part, JSON_HEADERS))
            waits_for = splitting.taken_of(asked.id)
            work.emit(topic, taken, (taken_key, envelope.absorb(at_ms, asked.id, waits_for), JSON_HEADERS))
            for partition in sorted(graph.nodes[into].met):
                work.emit_later(told, partition, assignments.of_profile(into, [identifier])(identifier))
            work.facts.created += 1
        work.writes[key] = msgspec.json.encode(answer)

    def _change(self, batch: _Batch, rules: LinkRules) -> None:
        """Rules are in force from here on."""
        self._rules = batch.graph.rules = rules
        self._version = rules.version()
        value = msgspec.json.encode(rules, order="deterministic")
        batch.work.writes[link_state.RULES_KEY] = value

    def _refuse(self, work: Work, record: InRecord, message: str) -> None:
        work.facts.invalid["not_understood"] = work.facts.invalid.get("not_understood", 0) + 1
        topic = self._topics.identity_links
        letter = dead_record(record, topic, 0, reason="not_understood", message=message)
        work.emit(self._topics.events_dead, 0, letter)

    def _settle(self, batch: _Batch) -> None:
        """Say to whom it may concern that they are answered, and encode what the batch changed; the index is local."""
        work, graph, meta = batch.work, batch.graph, self._meta
        for partition, upto in sorted(batch.answered.items()):
            work.emit_later(self._topics.identity_assignments, partition, assignments.answered(upto))
        batch.decided.settle()
        work.changelog.extend(work.writes.items())
        for loser, winner in batch.merged.items():
            work.writes[link_state.redirect_key(loser)] = winner.encode()
        batch.regulator.settle(work)
        for profile, w in batch.changed.items():
            node = graph.nodes.get(profile)
            key = link_state.node_key(profile)
            data = codec.encode(node, w) if node is not None else None
            work.writes[key] = data
            work.changelog.append((key, data))
        for each in batch.gained:
            owner = graph.owners.get(each)
            work.writes[link_state.index_key(each)] = owner.encode() if owner is not None else None
        meta.src_next = work.src_next
        meta.epoch = self._epoch
        meta.generation = self._generation
        meta.created = graph.created
        meta.regulated += batch.regulator.count
        encoded = meta.encode()
        work.writes[META] = encoded
        work.changelog.append((META, encoded))

    def _target(self, profile: str) -> tuple[bytes, int]:
        known = self._targets.get(profile)
        if known is None:
            if len(self._targets) >= PROFILES_MAX:
                self._targets.clear()
            key = profile.encode()
            known = self._targets[profile] = key, partition_of(key, self._partitions)
        return known


class _Batch:
    """One run over one batch."""

    __slots__ = (
        "answered",
        "changed",
        "changed_bytes",
        "decided",
        "gained",
        "graph",
        "has_split",
        "merged",
        "regulator",
        "sizes",
        "work",
    )

    def __init__(self, work: Work, graph: Graph, regulator: Regulator, decided: Decided) -> None:
        self.work = work
        self.graph = graph
        self.regulator = regulator
        self.decided = decided
        self.answered: dict[int, int] = {}
        """Partition of `events.raw` → the highest offset that was answered."""
        self.changed: dict[str, int] = {}
        """Profile, living or merged → the offset of the last request that changed it."""
        self.changed_bytes = 0
        """About what they take up in the changelog."""
        self.sizes: dict[str, int] = {}
        self.gained: dict[Identifier, None] = {}
        self.merged: dict[str, str] = {}
        """Profile → the one that it is part of."""
        self.has_split = False
        """Then it takes no further request. What became a profile of its own may become part of the other again, and
        must not come there before the `part` that it came of: that one would wait for it, and it for what is parted."""

    def note(self, found: Resolution, offset: int) -> None:
        """What one request changed in the graph."""
        if not found.gained and not found.newcomers:
            return
        for profile in (found.profile, *found.losers):
            self._changed(profile, offset)
        self.gained.update(dict.fromkeys(found.gained))
        self.merged.update(dict.fromkeys(found.losers, found.profile))

    def note_split(self, profile: str, into: str, identifier: Identifier, offset: int) -> None:
        """What a split changed in the graph."""
        for each in (profile, into):
            self._changed(each, offset)
        self.gained[identifier] = None
        self.has_split = True

    def _changed(self, profile: str, offset: int) -> None:
        self.changed[profile] = offset
        node = self.graph.nodes.get(profile)
        size = RECORD_BYTES
        if node is not None:
            journal = len(node.absorbed) + 2 * len(node.parted) + len(node.apart)
            size += node.size_bytes + RECORD_BYTES * journal + 3 * len(node.met)
        self.changed_bytes += size - self.sizes.get(profile, 0)
        self.sizes[profile] = size


def _parse(record: InRecord, partitions: int) -> links.Body | str:
    """What a record says, or why it says nothing."""
    try:
        body = links.decode(record.value)
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    if type(body) is links.Link and body.partition >= partitions:
        return f"there are {partitions} partitions, and none with the number {body.partition}"
    return body


def _asked_of(body: links.Body | str) -> Iterable[Identifier]:
    """Every identifier that a request may be about."""
    if type(body) is links.Split:
        return body.ids
    if type(body) is links.Regulation:
        return (body.subject,)
    if type(body) is not links.Link:
        return ()
    if body.previous is None:
        return body.ids
    return (*body.ids, ("user_id", body.previous), ("anonymous_id", body.previous))


def _said_ms(asked: links.Link) -> int:
    """When a message was said: its own instant, never later than its arrival."""
    message = orjson.loads(memoryview(asked.message))
    claimed = instant(message.get("timestamp")) if type(message) is dict else None
    return asked.at if claimed is None else min(claimed, asked.at)
