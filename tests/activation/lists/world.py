"""A list destination's table, its changelog and a vendor of moods; people come and go, steps are interrupted.

`play(seed)` ends with the vendor's list as it has to be, or raises. What has to be is worked out from what was told,
without any of the code under test.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.activation.lists import jobs
from app.activation.lists import run as runs
from app.activation.lists.draft import Draft, restored
from app.activation.lists.membership import Told, tell
from app.activation.lists.run import Sending, Walk
from app.activation.lists.state import KeptList
from app.activation.lists.vendor import Lists, Member, Report
from app.activation.outcome import Delivered, Outcome, Partial, Pause, Reason, Rejected, Retry
from tests.activation.lists.memory import MemoryTable

LIST = b"aud_1"
PEOPLE = tuple(f"p{number}" for number in range(6))
KEYS = tuple(f"m{number}" for number in range(9))
BAD = frozenset({"m8"})
"""Whom the vendor never takes."""
ASKED_S = (0.0,) * 1_000
"""So often that nobody gives up."""
STRANGERS = frozenset({"s1", "s2", "m3"})
"""On the vendor's list before we came; one of them is somebody we may add, too."""


class Crash(Exception):
    """The process is gone, with all that it remembers."""


@dataclass
class Person:
    """A profile, as the source has it."""

    name: str
    keys: list[str]
    inside: bool = False
    told: set[str] = field(default_factory=set)
    """Keys under which it was told to be in."""
    sequence: int = 0
    absorbed: list[str] = field(default_factory=list)
    alive: bool = True


class Source:
    """Writes the log of payloads, and knows who has to be on the list."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now_ms = 1_000
        self.log: list[Told] = []
        self.people = [Person(name, chance.sample(KEYS, chance.randrange(1, 3))) for name in PEOPLE]

    def happen(self) -> None:
        """Something happens to somebody."""
        self.now_ms += self.chance.randrange(3)
        alive = [person for person in self.people if person.alive]
        person = self.chance.choice(alive)
        what = self.chance.randrange(12)
        if what < 6:
            person.inside = not person.inside
            self._say(person, person.keys)
        elif what < 8:  # another address than before; nobody is told of that
            person.keys = self.chance.sample(KEYS, self.chance.randrange(1, 3))
        elif what < 10:
            fresh = [key for key in KEYS if key not in person.keys][: self.chance.randrange(2)]
            person.keys = [*person.keys, *fresh]
            if person.inside and fresh:
                self._say(person, fresh)
        elif what == 10 and len(alive) > 2:
            self._merge(person, self.chance.choice([one for one in alive if one is not person]))
        elif self.log and self.chance.random() < 0.5:  # its writer was stopped, and says its last words once more
            self.log += self.log[-self.chance.randrange(1, 4) :]
        else:  # and so was that of somebody who is part of another by now
            dead = {one.name for one in self.people if not one.alive}
            self.log += [told for told in self.log if told.profile in dead][-2:]

    def _merge(self, winner: Person, loser: Person) -> None:
        loser.alive, loser.told = False, set()
        winner.absorbed += [loser.name, *loser.absorbed]
        theirs = [key for key in loser.keys if key not in winner.keys]
        winner.keys = [*winner.keys, *theirs]
        inside = winner.inside or loser.inside
        if inside != winner.inside:
            winner.inside = inside
            self._say(winner, winner.keys)
        elif winner.inside or theirs:
            self._say(winner, theirs or winner.keys)

    def _say(self, person: Person, keys: Sequence[str]) -> None:
        person.sequence += 1
        person.told = person.told | set(keys) if person.inside else set()
        for key in keys:
            member = Member(key, (key,), "even" if int(key[1:]) % 2 else "")
            absorbed = tuple(person.absorbed)
            told = Told(LIST, "vip", "VIP", person.name, self.now_ms, person.sequence, person.inside, member, absorbed)
            self.log.append(told)

    @property
    def wanted(self) -> set[str]:
        return {key for person in self.people for key in person.told}


class Vendor:
    """Has lists, and answers as it likes."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.lists: dict[str, set[str]] = {}
        self.made = 0
        self.added: set[str] = set()
        """Keys that were added to the list that there is now."""
        self.unclear: set[str] = set()
        """Keys that may have been, for all that we could know."""
        self.jobs: dict[str, Report] = {}
        """What it has made of what it accepted, and will tell."""
        self.failed: Counter[str] = Counter()
        """In how many accepted requests that came to nothing a key has been."""
        self.kind = True

    def make(self) -> str:
        self.made += 1
        name = f"list-{self.made}"
        self.lists = {name: set(STRANGERS)}
        self.added, self.unclear = set(), set()
        self.jobs = {}
        return name

    def answer(self, list_: str, sending: Sending) -> tuple[Outcome, int]:
        """(outcome, requests of the exchange)."""
        keys = [member.key for member in sending.members]
        if list_ not in self.lists:
            return Rejected(Reason.LIST_GONE), 1
        if not sending.add:
            strange = {*keys} - self.added - self.unclear
            assert not strange, f"{strange} were never added from here"
        mood = "kind" if self.kind else self.chance.choice(
            ["kind", "kind", "lost", "cut", "throttled", "late", "paused", "some", "down", "job", "job"]
        )  # fmt: skip
        if mood == "throttled":
            return Retry(Reason.THROTTLED), 1
        if mood == "paused":
            return Pause(Reason.UNAUTHORIZED), self.chance.randrange(2)
        if mood == "down":
            return Retry(Reason.DNS), 1
        if mood == "cut":
            self.unclear |= {*keys}
            return Retry(Reason.TIMEOUT), 1
        if mood == "job":
            return self._accept(list_, sending, keys), 1
        if mood == "some":
            return self._some(list_, sending, keys)
        if sending.add and BAD & {*keys}:
            return Rejected(Reason.REFUSED), 1
        self._do(list_, sending.add, keys)
        if mood == "lost":
            return Retry(Reason.CONNECTION), 1
        return (Retry(Reason.THROTTLED), 2) if mood == "late" else (Delivered(), self.chance.randrange(1, 3))

    def _some(self, list_: str, sending: Sending, keys: list[str]) -> tuple[Outcome, int]:
        items: list[Delivered | Retry | Rejected] = []
        for key in keys:
            if sending.add and key in BAD:
                items.append(Rejected(Reason.REFUSED))
            elif self.chance.random() < 0.3:
                items.append(Retry(Reason.THROTTLED))
            else:
                self._do(list_, sending.add, [key])
                items.append(Delivered() if self.chance.random() < 0.7 else Retry(Reason.SERVER_ERROR))
        return Partial(tuple(items)), 1

    def _accept(self, list_: str, sending: Sending, keys: list[str]) -> Outcome:
        job = f"{list_}/{self.made}/{self.chance.randrange(10**9)}"
        self.unclear |= {*keys}  # it names nobody
        if self.chance.random() < 0.3:
            self.failed.update(keys)
            self.jobs[job] = Report(nobody=True)
        else:
            good = [key for key in keys if not (sending.add and key in BAD)]
            self._do(list_, sending.add, good)
            self.jobs[job] = Report(refused=len(keys) - len(good))
        return Delivered(job)

    def report(self, job: str) -> Report | None:
        """What became of a job; None where nothing is to be had from it."""
        if not self.kind and self.chance.random() < 0.3:
            return self.chance.choice([None, Report(done=False)])
        return self.jobs.get(job)

    def _do(self, list_: str, add: bool, keys: list[str]) -> None:
        if add:
            self.lists[list_] |= {*keys}
            self.added |= {*keys}
        else:
            self.lists[list_] -= {*keys}

    def lose_list(self) -> None:
        self.lists, self.added = {}, set()


class World:
    """The table with its changelog, and whoever works on it."""

    def __init__(self, seed: int, *, additive_only: bool = False) -> None:
        self.chance = random.Random(seed)
        self.source = Source(self.chance)
        self.vendor = Vendor(self.chance)
        self.changelog: list[tuple[bytes | None, bytes | None]] = []
        self.read = 0
        """Of the source's log, committed."""
        self.table = MemoryTable()
        self.crashes = True
        self.lists = lists(self.chance.randrange(1, 5), additive_only=additive_only)
        self.walk: Walk | None = None
        self.sending: Sending | None = None
        self.answer: tuple[Outcome, int] | None = None
        self.forgotten = b""

    def play(self, steps: int) -> None:
        self.vendor.kind = False
        for _ in range(steps):
            self.step()
        self.vendor.kind, self.crashes = True, False
        self.rest()

    def step(self) -> None:
        try:
            match self.chance.randrange(10):
                case 0 | 1 | 2:
                    self.source.happen()
                case 3 | 4:
                    self.take()
                case 5 if self.chance.random() < 0.1:
                    self.vendor.lose_list()
                case 6 if self.chance.random() < 0.3:
                    raise Crash
                case 7:
                    self.ask()
                case _:
                    self.go_on()
        except Crash:
            self.restart()

    def take(self) -> None:
        """A batch of the source's records."""
        batch = self.source.log[self.read : self.read + self.chance.randrange(1, 6)]
        draft = Draft(self.table)
        for told in batch:
            tell(draft, told, self.source.now_ms)
        self.commit(draft)
        self.read += len(batch)

    def go_on(self) -> None:
        """The next step of the update that is under way; or one begins."""
        draft = Draft(self.table)
        kept = draft.kept_list(LIST)
        if kept is None:
            return
        if kept.forgetting:
            self.forgotten = runs.forget(draft, LIST, kept, self.forgotten) or b""
            self.commit(draft)
            self.walk = self.sending = self.answer = None
        elif self.walk is None:
            if kept.run is None and not runs.differs(draft, LIST, self.lists):
                return
            runs.begin(draft, LIST, kept, self.source.now_ms)
            self.commit(draft)
            self.walk = Walk()
        elif self.sending is None:
            self.set_out(draft, kept, self.walk)
        elif self.answer is None:
            self.answer = self.vendor.answer(kept.external, self.sending)
        else:
            self.settle(draft, kept, self.walk, self.sending, self.answer)

    def ask(self) -> None:
        """About the oldest of the jobs; the time between two is counted, and not waited."""
        draft = Draft(self.table)
        kept = draft.kept_list(LIST)
        if kept is None or not kept.jobs:
            return
        job, now_ms = kept.jobs[0], self.source.now_ms
        report = self.vendor.report(job.id)
        if report is None or not report.done:
            jobs.not_yet(draft, LIST, kept, job.id, ASKED_S, now_ms)
        else:
            jobs.settle(draft, LIST, kept, job.id, report, now_ms)
        self.commit(draft)

    def set_out(self, draft: Draft, kept: KeptList, walk: Walk) -> None:
        sending = runs.next_upload(draft, LIST, self.lists, walk)
        if sending is None:
            runs.end(draft, LIST, kept, self.source.now_ms)
            self.commit(draft)
            self.walk = None
        elif not kept.external:
            kept.external = self.vendor.make()
            draft.put_list(LIST, kept)
            self.commit(draft)
        else:
            self.sending = sending  # from here on, nobody can know
            runs.set_out(draft, LIST, sending)
            self.commit(draft)

    def settle(self, draft: Draft, kept: KeptList, walk: Walk, sending: Sending, answer: tuple[Outcome, int]) -> None:
        outcome, requests = answer
        runs.settle(
            draft, LIST, kept, walk, sending, outcome, requests=requests, now_ms=self.source.now_ms
        )  # fmt: skip
        self.commit(draft)
        self.sending = self.answer = None

    def commit(self, draft: Draft) -> None:
        """Changelog, then table; a crash may leave any beginning of the first."""
        if self.crashes and self.chance.random() < 0.05:
            whole = draft.changelog
            self.changelog += whole[: self.chance.randrange(len(whole) + 1)]
            raise Crash
        self.changelog += draft.changelog
        self.table.write(draft.writes)

    # after a crash

    def restart(self) -> None:
        if self.sending is not None:
            self.vendor.unclear |= {member.key for member in self.sending.members}
        self.forgotten = b""
        self.walk = self.sending = self.answer = None
        self.table = MemoryTable()
        self.table.write(restored(self.changelog))
        draft = Draft(self.table)
        for list_ in draft.lists():
            runs.recover(draft, list_)
        self.changelog += draft.changelog
        self.table.write(draft.writes)

    def rest(self) -> None:
        """Until nothing is left to do."""
        for _ in range(1_000):
            if self.read < len(self.source.log):
                self.take()
                continue
            draft = Draft(self.table)
            kept = draft.kept_list(LIST)
            busy = kept is not None and (kept.run or kept.forgetting or runs.differs(draft, LIST, self.lists))
            if not busy and kept is not None and kept.external and kept.external not in self.vendor.lists:
                return  # it was lost when nothing was left to send; the next change finds out
            if not busy and self.walk is None and not (kept and kept.jobs):
                break
            self.ask()
            self.go_on()
        else:
            raise AssertionError("it does not come to rest")
        self.check()

    def check(self) -> None:
        there = set().union(*self.vendor.lists.values())
        wanted = self.source.wanted - BAD
        ours = there & self.vendor.added
        refused = self.refused()
        assert refused <= BAD | {key for key, times in self.vendor.failed.items() if times > 1}, "refused too early"
        assert wanted <= there | refused, f"missing: {wanted - there}"
        assert ours <= wanted | refused, f"left behind: {ours - wanted}"
        if self.vendor.lists:
            assert STRANGERS - self.vendor.added - self.vendor.unclear <= there, "somebody else's member was taken off"
        assert Draft(self.table).jobs(LIST) == [], "members of a job are kept that nobody asks about"

    def refused(self) -> set[str]:
        draft = Draft(self.table)
        entries = [draft.entry(LIST, id_) for id_ in draft.entries(LIST, b"", 100)]
        return {entry.key for entry in entries if entry is not None and entry.refused}


def lists(members_max: int, *, additive_only: bool = False) -> Lists:
    def never(*args: object) -> None:
        raise AssertionError("the world answers itself")

    return Lists(
        member=never, change=never, make=None, makes_full=False, shown=None, report=None,  # type: ignore[arg-type]
        reports_s=ASKED_S, sessions=False,
        given={}, additive_only=additive_only,
        add_max=members_max, remove_max=max(1, members_max - 1), interval_s=3_600, interval_min_s=3_600,
    )  # fmt: skip


def play(seed: int, steps: int = 120) -> None:
    World(seed).play(steps)


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        try:
            play(number)
        except AssertionError as error:
            print(f"seed {number}: {error}")
            sys.exit(1)
