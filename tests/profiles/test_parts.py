"""Long lists in parts: what comes back is what went in, and a small change is a small write."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from app.profiles import codec, parts
from app.profiles.codec import CorruptProfile
from app.profiles.state import Profile

SEED = int(os.environ.get("SEED", "7"))
EPOCH = 1


def reader(held: Mapping[bytes, bytes]) -> parts.Read:
    return lambda names: [held.get(name) for name in names]


def long_profile(times: Sequence[int]) -> Profile:
    profile = Profile()
    profile.cells = {
        "times": list(times),
        "sum": [Decimal(17), [at + 10 for at in times], [Decimal(at) / 8 for at in times], []],
        "facts": [[at, [True, f"sku {at % 7}"], [1]] for at in times],
        "texts": {f"word {at}": at % 5 + 1 for at in times},
        "few": [1, 2, 3],
    }
    return profile


def ascending(random: Random, count: int) -> list[int]:
    return sorted(random.randrange(1_767_225_600_000, 1_767_830_400_000) for _ in range(count))


def test_what_is_split_is_joined_again() -> None:
    profile = long_profile(ascending(Random(SEED), 5_000))
    data, held = codec.encode_in_parts(profile, EPOCH)
    again = codec.decode(data, reader(held))
    assert codec.encode(again, EPOCH) == codec.encode(profile, EPOCH)
    assert again.parts == held.keys()
    assert list(again.cells["texts"]) == list(profile.cells["texts"]), "in their order"
    assert len(data) < len(codec.encode(profile, EPOCH)) / 20


@pytest.mark.parametrize(
    "change",
    [
        lambda times: times.append(times[-1] + 5),
        lambda times: times.insert(60_000, times[60_000]),
        lambda times: times.pop(0),
    ],
    ids=["newest", "late", "oldest goes"],
)
def test_one_event_of_a_hundred_thousand_writes_some_kilobytes(change: Any) -> None:
    times = ascending(Random(SEED), 100_000)
    _, before = codec.encode_in_parts(long_profile(times), EPOCH)
    change(times)
    data, after = codec.encode_in_parts(long_profile(times), EPOCH)
    new = after.keys() - before.keys()
    whole = sum(map(len, after.values()))
    assert len(new) <= 8, "a run or two of each of the four long lists"
    assert sum(len(after[name]) for name in new) < whole / 50
    assert len(data) < whole / 50


def test_the_parts_of_a_list_do_not_depend_on_how_it_came_about() -> None:
    random = Random(SEED)
    times = ascending(random, 3_000)
    fresh = codec.encode_in_parts(long_profile(times), EPOCH)
    data, held = codec.encode_in_parts(long_profile(sorted([*times, *ascending(random, 50)])), EPOCH)
    grown = codec.decode(data, reader(held))
    wanted = long_profile(times)
    grown.cells = {**grown.cells, "times": wanted.cells["times"], "sum": wanted.cells["sum"]}
    grown.cells["facts"] = [fact for fact in grown.cells["facts"] if fact[0] in set(times)]
    grown.cells["texts"] = {word: n for word, n in grown.cells["texts"].items() if int(word[5:]) in set(times)}
    assert codec.encode_in_parts(grown, EPOCH) == fresh


def test_entries_that_are_all_alike_are_cut_all_the_same() -> None:
    found: dict[bytes, bytes] = {}
    named = parts.split([5] * 10_000, found)
    assert len(named.data) // parts.NAME_BYTES >= 10_000 // parts.RUN_ENTRIES_MAX
    assert all(len(data) <= 2 * parts.RUN_ENTRIES_MAX + 5 for data in found.values())


def test_a_missing_part_is_damage() -> None:
    data, held = codec.encode_in_parts(long_profile(ascending(Random(SEED), 2_000)), EPOCH)
    del held[next(iter(held))]
    with pytest.raises(CorruptProfile, match=r"part .* is missing"):
        codec.decode(data, reader(held))


def test_who_reads_no_parts_still_sees_the_rest() -> None:
    profile = long_profile(ascending(Random(SEED), 2_000))
    profile.emitted = {"buyers": True}
    data, _ = codec.encode_in_parts(profile, EPOCH)
    assert codec.decode(data).emitted == {"buyers": True}
    assert codec.plan_of(data) == 0
