"""One partition of `accounts.in` with one account, batch by batch, and what is left of it where it is killed."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson

from app.definitions.model import Catalog, Definition
from app.profiles.store import BROUGHT, WAITING
from app.stages import envelope, restoring
from app.stages.compute import ComputeStage
from app.stages.envelope import Member
from app.stages.overlay import Overlay
from app.stages.records import Work
from app.topics import Topics
from tests.simulation.log import Record
from tests.simulation.store import SimStore

TOPICS = Topics()
T0 = 1_767_225_600_000
KEY = b"acme"


class Partition:
    """One partition of `accounts.in`, batch by batch."""

    def __init__(self, *definitions: Definition) -> None:
        self.store = SimStore()
        self.changelog: list[tuple[bytes, bytes | None]] = []
        self.offset = 0
        self.condition = ""
        self.start()
        self.do((None, envelope.catalog(Catalog(definitions))))
        held = self.stage._held.plan.by_condition
        self.condition = next(iter(held), "")

    def start(self) -> None:
        self.overlay = Overlay(self.store)
        self.stage = ComputeStage(TOPICS, 0, 1, self.overlay, epoch="00ff00ff", collection="accounts")

    def records(self, *values: tuple[bytes | None, bytes]) -> list[Record]:
        made = [Record(self.offset + at, key, value, T0) for at, (key, value) in enumerate(values)]
        self.offset += len(values)
        return made

    def do(self, *values: tuple[bytes | None, bytes]) -> Work:
        return self.commit(self.stage.process(self.records(*values)))

    def commit(self, work: Work) -> Work:
        self.changelog += work.changelog
        if work.changelog:
            self.store.write(work.writes, len(self.changelog) - 1)
            self.overlay.pop()
        return work

    def user(self, at_ms: int, user: str, version: int, *, holds: bool, **fields: Any) -> tuple[bytes, bytes]:
        body = Member(T0 + at_ms, user, version, conditions={self.condition: holds}, **fields)
        return KEY, envelope.encode(body)

    def waits(self) -> int:
        return len(list(self.store.keys(WAITING)))

    def lies_beside(self) -> int:
        """How many pieces of what users bring along there are."""
        return len(list(self.store.keys(BROUGHT)))

    def die(self, work: Work, random: Random) -> None:
        """It is killed while the changelog of a batch is written, and the disk is lost."""
        self.changelog += work.changelog[: random.randint(0, len(work.changelog))]
        self.store = SimStore()
        restoring.apply(self.store, self.changelog, len(self.changelog) - 1)
        self.start()


def until(at_ms: int) -> tuple[bytes, bytes]:
    return KEY, envelope.timer(T0 + at_ms)


def flips(work: Work) -> list[tuple[str, bool]]:
    """(at, value)."""
    bodies = [orjson.loads(value or b"") for _, value, _ in work.outputs.get((TOPICS.changes, 0), [])]
    return [(body["at"][17:23], body["value"]) for body in bodies]
