"""What a user brings along to an account is one step of the account, also where it is too long for one record."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from app.definitions.model import Definition
from app.kafka.producer import RECORD_BYTES_MAX
from app.profiles.belonging import pack
from app.stages import envelope, reports
from app.stages.envelope import Brought, Member
from app.topics import partition_of
from tests.equality import waiting
from tests.stages.accounts_partition import KEY, TOPICS, Partition, flips, until
from tests.stages.test_accounts import MINUTE_MS, Story, of_accounts

VIEWS = of_accounts("views", "event('V').count()")
SEEN = Definition("seen", "trait", "event('V').unique(property('p'))", "ACCOUNTS")
LATELY = Definition("lately", "trait", "event('V').within(10 minutes).sum(property('n'))", "ACCOUNTS")
DEFINITIONS = (VIEWS, SEEN, LATELY)

Values = list[tuple[bytes | None, bytes]]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "PIECE_BYTES", 24)


def story(seed: int, *, drops: float = 0.0) -> Story:
    """Three users who do something, join an account one after the other, and go on; one of them belongs to two."""
    made = Story(*DEFINITIONS, drops=drops, seed=seed)
    for user in ("ann", "bob", "eve"):
        for number in range(4):
            made.track(user, properties={"p": f"{user}{number}", "n": number + 1})
        made.group(user, "acme")
        made.track(user, properties={"p": "late", "n": 100})
    made.group("eve", "zeta")
    made.wait(11 * MINUTE_MS)  # of what is brought along, too
    return made


def records(made: Story, account: bytes = KEY) -> Values:
    """All that has been said to an account, without what was said of definitions."""
    log = made.world.log.partitions[TOPICS.accounts_in, partition_of(account, 2)]
    return [(each.key, each.value or b"") for each in log if each.key == account]


def groups(values: Values) -> list[Values]:
    """Records one by one, but pieces with the record that they go with."""
    found: list[Values] = [[]]
    for key, value in values:
        found[-1].append((key, value))
        if type(envelope.decode(value)) is not Brought:
            found.append([])
    return found[:-1]


def changes(made: Story) -> dict[str, list[Any]]:
    found = {each.key: [value for name, value in made.changes(each.key) if name == "acme"] for each in DEFINITIONS}
    return {"views": found["views"], "seen": [len(each) for each in found["seen"]], "lately": found["lately"][:6]}


WANTED = {
    "views": [4, 5, 9, 10, 14, 15],
    "seen": [4, 5, 9, 13],
    "lately": [10, 110, 120, 220, 230, 330],
}


@pytest.mark.parametrize("seed", range(6))
def test_who_joins_is_one_step_however_much_is_brought_along(seed: int, small: None) -> None:
    made = story(seed, drops=0.3 if seed else 0.0)
    assert changes(made) == WANTED, "something was seen half done, or twice"
    brought = [each for each in made.records(TOPICS.accounts_in) if type(each) is Brought]
    assert len(brought) > 8, "nobody brought much along"
    assert max(len(each.data) for each in brought) == 24
    for place in made.world.places:
        assert not [key for key in place.store.data if key.startswith(b"b|")], "a piece was left behind"


def test_what_fits_into_a_record_is_in_it() -> None:
    made = story(0)
    assert changes(made) == WANTED
    assert not [each for each in made.records(TOPICS.accounts_in) if type(each) is Brought]


@pytest.mark.parametrize("seed", range(40))
def test_wherever_it_is_cut_and_said_again_the_same_comes_of_it(seed: int, small: None) -> None:
    """A user's partition that is killed says all of a batch again, after any beginning of it; timers come between."""
    random = Random(seed)
    values: Values = []
    timer: Values = []
    for group in groups(records(story(0))):
        if len(group) == 1 and type(envelope.decode(group[0][1])) is envelope.Timer:
            timer = group
        for _ in range(random.choice((0, 0, 1, 2))):
            values += group[: random.randint(0, len(group))]
            values += timer * random.randint(0, 1)
        values += group
    assert said_by(values, random) == said_by(records(story(0)), None)


def said_by(values: Values, random: Random | None) -> list[tuple[str, Any]]:
    """What an account says of these records: batches of any size, and killed now and then; or all at once."""
    partition = Partition(*DEFINITIONS)
    made = partition.records(*values)
    found: dict[bytes, tuple[str, Any]] = {}
    at = 0
    while at < len(made):
        work = partition.stage.process(made[at : at + random.randint(1, 6)] if random else made)
        said = work.outputs.get((TOPICS.changes, 0), [])
        found |= dict(zip([dict(headers)["ce_id"] for _, _, headers in said], flips(work), strict=True))
        assert not work.outputs.get((TOPICS.events_dead, 0))
        if random and random.random() < 0.4:
            partition.die(work, random)
            at = partition.stage.src_next - made[0].offset
        else:
            partition.commit(work)
            at = work.src_next - made[0].offset
    assert (partition.waits(), partition.lies_beside()) == (0, 0)
    assert not waiting(partition.changelog)
    return list(found.values())


def test_a_record_without_one_of_its_pieces_is_a_dead_letter_and_the_others_go_with_it(small: None) -> None:
    partition = Partition(*DEFINITIONS)
    joined = next(each for each in groups(records(story(0))) if len(each) > 3)
    partition.do(*joined[1:])
    assert partition.lies_beside() == len(joined) - 2
    work = partition.do(until(1 << 30))
    ((_, letter, _),) = work.outputs[TOPICS.events_dead, 0]
    assert b"one is missing" in (letter or b"")
    assert (partition.waits(), partition.lies_beside()) == (0, 0)


def test_more_than_a_record_may_have_is_taken_in_one_step() -> None:
    """Of the sizes that there are: 14 MiB that do not get smaller."""
    random = Random(14)
    cells = [{f"cell {number}": random.randbytes(1 << 20) for number in range(14)}]
    packed = pack(cells)
    assert len(packed) > RECORD_BYTES_MAX
    member = Member(1, "prf_ann", 7, cells=packed)
    found = [envelope.encode(each) for each in (*reports._cut(member), member)]
    assert max(map(len, found)) < RECORD_BYTES_MAX // 2
    partition = Partition(*DEFINITIONS)
    partition.do(*((KEY, each) for each in found[:-1]))
    assert partition.lies_beside() == len(found) - 1 == member.pieces
    work = partition.do((KEY, found[-1]), until(0))
    assert not work.outputs.get((TOPICS.events_dead, 0))
    assert (partition.waits(), partition.lies_beside()) == (0, 0)
