"""What an event costs on its way through identity, without a broker: known people, then people who are new."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

import orjson

from app.cli.demo.command import RATE_PER_S
from app.cli.demo.shop import plan
from app.identity.rules import IdentityRules
from app.stages.assignments import Assignments
from app.stages.link import LinkStage
from app.stages.overlay import Overlay
from app.stages.records import OutRecord, Work
from app.stages.resolve import ResolveStage
from app.topics import Topics
from benchmarks.engines.memory import Memory, Record
from benchmarks.events import events

BATCH = 2_000
NOW_MS = 1_767_225_600_000
TOPICS = Topics()
DEMO_S = (60, 300)


class Lane:
    """A stage over a store that costs nothing; counts processor time."""

    def __init__(self) -> None:
        self.memory = Memory()
        self.state = Overlay(self.memory)
        self.spent_s = 0.0
        self.taken = 0
        self._offset = 0

    def records(self, sent: Sequence[OutRecord]) -> list[Record]:
        """As the next ones of its source."""
        made = [Record(self._offset + at, key, value, NOW_MS) for at, (key, value, _) in enumerate(sent)]
        self._offset += len(made)
        return made

    def take(self, stage: LinkStage | Assignments, records: Sequence[Record]) -> Work:
        started_s = time.process_time()
        work = stage.process(records)
        self.spent_s += time.process_time() - started_s
        self.taken += work.facts.records
        self.memory.write(work.writes)
        self.state.pop()
        return work


def knowing(raw: Sequence[Record]) -> ResolveStage:
    """A resolve stage to which everybody in these messages is known."""
    rules = IdentityRules()
    linker, feeder = Lane(), Lane()
    link = LinkStage(TOPICS, 1, linker.state, epoch="b" * 32)
    known = Assignments(feeder.state, rules.link.version(), 1)
    resolve = ResolveStage(TOPICS, 0, rules, known)
    for start in range(0, len(raw), BATCH):
        batch = raw[start : start + BATCH]
        work = resolve.process(batch, batch[-1].timestamp)
        _answer(linker.records(work.later.get((TOPICS.identity_links, 0), ())), linker, link, feeder, known)
    return resolve


def _answer(requests: Sequence[Record], linker: Lane, link: LinkStage, feeder: Lane, known: Assignments) -> None:
    while requests:
        work = linker.take(link, requests)
        requests = [each for each in requests if each.offset >= work.src_next]
        feeder.take(known, feeder.records(work.later[TOPICS.identity_assignments, 0]))


def identity_costs(seed: int, count: int = 40_000) -> list[str]:
    """Lines of text: microseconds of CPU for what goes straight, for a link and for an assignment."""
    rules = IdentityRules()
    linker, feeder = Lane(), Lane()
    link = LinkStage(TOPICS, 1, linker.state, epoch="b" * 32)
    known = Assignments(feeder.state, rules.link.version(), 1)
    resolve = ResolveStage(TOPICS, 0, rules, known)
    raw = [Record(at, None, _with_device(each.value), NOW_MS) for at, each in enumerate(events(seed, count))]
    straight_s, straight = 0.0, 0
    for start in (*range(0, count, BATCH), *range(0, count, BATCH)):
        # The second time nobody is new any more.
        started_s = time.process_time()
        work = resolve.process(raw[start : start + BATCH], NOW_MS)
        spent_s = time.process_time() - started_s
        requests = linker.records(work.later.get((TOPICS.identity_links, 0), ()))
        if not requests:
            straight_s, straight = straight_s + spent_s, straight + BATCH
        _answer(requests, linker, link, feeder, known)
    link_us = linker.spent_s * 1e6 / linker.taken
    return [
        f"{straight_s * 1e6 / straight:6.2f} µs  resolve a message with two identifiers that are known",
        f"{link_us:6.2f} µs  link one that has something new: {1e6 / link_us:,.0f} decisions/s",
        f"{feeder.spent_s * 1e6 / feeder.taken:6.2f} µs  take in an assignment",
        *(
            f"{slow_share(seed, seconds):6.1%}    of the demo's messages go by way of link, in {seconds:,} s of it"
            for seconds in DEMO_S
        ),
    ]


def slow_share(seed: int, seconds: int) -> float:
    """How many of the messages of the demo's stream have to be asked about: 0 to 1.

    Link answers what came in a tenth of a second before the next tenth is resolved.
    """
    rules = IdentityRules()
    linker, feeder = Lane(), Lane()
    link = LinkStage(TOPICS, 1, linker.state, epoch="b" * 32)
    known = Assignments(feeder.state, rules.link.version(), 1)
    resolve = ResolveStage(TOPICS, 0, rules, known)
    planned = plan(seed=seed, rate=RATE_PER_S, seconds=seconds).records(NOW_MS)
    sent = [Record(at, key, value, NOW_MS + ms) for at, (ms, key, value) in enumerate(planned)]
    asked = messages = 0
    for _, tenth in groupby(sent, key=lambda record: record.timestamp // 100):
        batch = list(tenth)
        work = resolve.process(batch, batch[-1].timestamp)
        requests = linker.records(work.later.get((TOPICS.identity_links, 0), ()))
        asked += len(requests)
        messages += len(batch) - sum(work.facts.invalid.values())
        _answer(requests, linker, link, feeder, known)
    return asked / messages


def _with_device(value: bytes) -> bytes:
    message = orjson.loads(value)
    return orjson.dumps({**message, "anonymousId": f"device-of-{message['userId']}"})
