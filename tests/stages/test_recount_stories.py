"""People who have sent messages of one id and turn out to be one another: each id counts once, whatever happens.

HEADWATER_STORIES=1000 pytest tests/stages/test_recount_stories.py
One seed again: HEADWATER_SEED=17 HEADWATER_STORIES=4
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from app.profiles.store import SPLIT
from app.stages import envelope, merging
from app.stages.recount import Recounted
from tests.stages.splits import TOPICS, Parted, said
from tests.stages.test_merging import HOUR_MS, Story, as_one
from tests.stages.test_recounting import iso

STORIES = int(os.environ.get("HEADWATER_STORIES", "40"))
FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "0"))
DAY_MS = 24 * HOUR_MS
BLANK = {"buyer": False, "idle": False}
Told = tuple[int, str, dict[str, Any]]


class Twins(Story):
    """Some of their messages come once more under the same id, as another's: the client has learnt meanwhile who it is,
    or guesses again."""

    cluster: Parted
    recounts = 0

    def _made(self, seed: int) -> Parted:
        return Parted(3, seed, drops=0.15)

    def rest(self) -> None:
        super().rest()
        while under_way := self.cluster.under_way():
            self._carry_out(self.random.choice(under_way))
            self.cluster.run()

    def _step(self) -> None:
        super()._step()
        if self.random.random() < 0.3 and (under_way := self.cluster.under_way()):
            self._carry_out(self.random.choice(under_way))

    def _carry_out(self, asked: Any) -> None:
        made = self.cluster.carry_out(asked)
        assert isinstance(made, Recounted)
        self.recounts += 1

    def _happen(self, id_: str) -> None:
        random = self.random
        recent = [each for each in self.told if each[0] > self.at_ms - DAY_MS // 2]
        if recent and random.random() < 0.3:
            _, id_, fields = random.choice(recent)
        else:
            fields = {
                "event": random.choice(("Order", "View")), "timestamp": iso(self.at_ms),
                "properties": {"price": random.choice((5, 7.5, "12")), "sku": random.choice("abc")},
            }  # fmt: skip
        self.told.append((self.at_ms, id_, fields))
        person = random.choice(self.people)
        # A cache that has not heard of a merge sends to whoever it knew.
        self.cluster.event(random.choice((person, self.root(person))), self.at_ms, id_, **fields)
        if random.random() < 0.1:
            self.cluster.send(self.root(person), envelope.timer(self.at_ms))

    def _merge(self) -> None:
        winner, loser = self.random.sample([each for each in self.people if each not in self.winner], 2)
        self.winner[loser] = winner
        self.cluster.merge(winner, loser, self.at_ms)
        if self.random.random() < 0.3:
            self.cluster.merge(winner, loser, self.at_ms)  # the linker was killed, and says it again


def check(seed: int) -> int:
    """That the survivor is the fold over everybody's messages, each id once; gives how many recounts there were."""
    story = Twins(seed)
    cluster = story.cluster
    assert not cluster.log.all_of(TOPICS.events_dead), cluster.log.all_of(TOPICS.events_dead)[0]
    (survivor,) = {story.root(person) for person in story.people}
    until_ms = story.at_ms + 10 * DAY_MS
    cluster.send(survivor, envelope.timer(until_ms))
    cluster.run()
    held = cluster.profile(survivor)
    found, wanted = said(BLANK | held.emitted), said(BLANK | as_one(story.told, until_ms))
    assert found == wanted, f"seed {seed}: {found} and not {wanted}"
    assert held.merging is not None
    assert sorted(held.merging.absorbed) == sorted(person for person in story.people if person != survivor)
    assert (held.merging.waiting, held.merging.parked, held.merging.pieces) == ([], [], {})
    assert all(not list(store.keys(SPLIT)) for store in cluster.stores)
    return story.recounts


@pytest.mark.parametrize("block", range(4))
def test_survivor_is_the_fold_over_each_id_once(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if block == 3:
        monkeypatch.setattr(merging, "PIECE_BYTES", 60)  # so that imports come in pieces
    count = max(1, STORIES // 4)
    recounts = sum(check(seed) for seed in range(FIRST_SEED + count * block, FIRST_SEED + count * (block + 1)))
    assert recounts > count // 2
