"""What an account was: value by value, as far back as anybody asks."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from app.profiles import codec
from app.profiles.belonging import Belonging
from app.profiles.history import History, Recalled, Values, note, value_at
from app.profiles.members import Members
from app.profiles.state import Profile


def values(*changes: tuple[int, int, Any], before: Any = None, span_ms: int | None = None) -> Values:
    found: Values = []
    for at_ms, arrival, value in changes:
        note(found, before, value, (at_ms, arrival), span_ms)
        before = value
    return found


def test_a_change_is_seen_by_what_comes_behind_it() -> None:
    held = values((10, 5, "free"), (20, 0, "pro"))
    asked = [(10, 4), (10, 5), (10, 6), (19, 9), (20, 0), (20, 1), (99, 0)]
    assert [value_at(held, each, "pro") for each in asked] == [None, None, "free", "free", "free", "pro", "pro"]


def test_what_has_never_changed_was_what_it_is() -> None:
    assert value_at(None, (10, 0), "pro") == "pro"
    assert value_at([], (10, 0), None) is None


def test_the_first_change_tells_what_there_was_before() -> None:
    assert value_at(values((10, 0, "pro"), before="free"), (5, 0), "pro") == "free"


def test_of_one_instant_the_last_to_come_stays() -> None:
    """Orders of arrival of several partitions say little of one instant."""
    held = values((10, 7, "a"), (10, 3, "b"), (11, 1, "c"))
    assert [value_at(held, each, "c") for each in ((10, 2), (10, 8), (11, 1), (12, 0))] == [None, "b", "b", "c"]


@pytest.mark.parametrize("seed", range(200))
def test_nothing_is_dropped_that_an_event_of_the_window_can_ask_for(seed: int) -> None:
    random = Random(seed)
    span_ms, at_ms = random.randint(1, 30), 0
    changes = []
    for number in range(random.randint(1, 40)):
        at_ms += random.randint(0, 9)
        changes.append((at_ms, random.randint(0, 3), number))
    whole, cut = values(*changes), values(*changes, span_ms=span_ms)
    for moment in ((asked_ms, order) for asked_ms in range(at_ms - span_ms + 1, at_ms + 2) for order in range(5)):
        assert value_at(cut, moment, None) == value_at(whole, moment, None), f"seed {seed}"
    assert len([each for each in cut if each[0] <= at_ms - span_ms]) <= 1


def test_words_are_forgotten_and_truths_are_not() -> None:
    history = History(
        {"plan": [[1, 0, "pro"], [2, 0, "free"]]},
        {"note": [[1, 0, "mine"], [2, 0, ["mine"]], [3, 0, "his"]], "busy": [[1, 0, True], [2, 0, False]]},
        is_forgetting=True,
    )
    history.forget_words()
    assert history.to_list() == [
        {"plan": [[1, 0, "pro"], [2, 0, "free"]]},
        {"note": [[1, 0, None], [2, 0, None], [3, 0, "his"]], "busy": [[1, 0, True], [2, 0, False]]},
    ]


def test_it_is_in_an_accounts_bytes_and_those_from_before_are_read() -> None:
    account = Profile()
    account.members = Members(count=1)
    without = codec.encode(account, 0)
    assert codec.decode(without).history is None
    for is_forgetting in (False, True):
        account.history = History({"plan": [[1, 0, "pro"]]}, {}, is_forgetting)
        assert codec.decode(codec.encode(account, 0)).history == account.history
    data, parts = codec.encode_in_parts(account, 0)
    assert codec.decode(data, lambda names: [parts[each] for each in names]).history == account.history
    account.history = None
    assert codec.encode(account, 0) == without, "who has none takes no byte for it"
    user = Profile()
    user.belonging = Belonging(sent=1)
    assert codec.decode(codec.encode(user, 0)).history is None


def test_what_nobody_asks_any_more_goes() -> None:
    history = History({"plan": [[1, 0, "pro"]]}, {"busy": [[1, 0, True]]})
    assert history.only(Recalled({"plan": None}, {})) == History({"plan": [[1, 0, "pro"]]}, {})
    assert history.only(Recalled({"seats": 5}, {"calm": None})) is None
    assert History(is_forgetting=True).only(Recalled()) == History(is_forgetting=True), (
        "somebody is still to be forgotten"
    )
