"""Events that are kept as they came."""

from __future__ import annotations

from app.profiles import codec, parts
from app.profiles.belonging import UNTAGGED, Belonging
from app.profiles.remainder import remainder
from app.profiles.state import Profile
from app.profiles.unjudged import Events, Unjudged

EVENTS = Events(50)


def event(at_ms: int, *, since_ms: int | None = None, arrival: int = 1) -> Unjudged:
    return Unjudged(at_ms, since_ms if since_ms is not None else at_ms, arrival, 0, {"p": at_ms}, {}, None)


def test_they_are_in_order_of_their_own_times_and_go_with_the_window() -> None:
    cell = EVENTS.add(None, event(70), 100)
    cell = EVENTS.add(cell, event(60), 100)
    assert EVENTS.add(cell, event(50), 100) is None, "over when it comes"
    assert cell is not None
    assert [each[0] for each in cell] == [60, 70]
    assert EVENTS.advance(cell, 109) == cell
    assert [each[0] for each in EVENTS.advance(cell, 110) or ()] == [70]
    assert EVENTS.advance(cell, 120) is None
    assert [each[0] for each in EVENTS.add([[*event(60)]], event(115), 115) or ()] == [115]


def test_without_a_window_all_are_kept() -> None:
    cell = Events(None).add(None, event(1), 1 << 40)
    assert Events(None).advance(cell or [], 1 << 41) == [[*event(1)]]


def test_two_users_become_one() -> None:
    merged = EVENTS.merge([[*event(60)], [*event(90)]], [[*event(40)], [*event(80)]], 95)
    assert [each[0] for each in merged or ()] == [60, 80, 90]


def test_what_is_left_without_anothers_is_told_by_time_and_arrival() -> None:
    """Whoever folds the log anew may have come to another instant meanwhile."""
    has = [[*event(60)], [*event(70, arrival=1)], [*event(70, arrival=2)]]
    assert remainder(EVENTS, has, [[*event(70, since_ms=75, arrival=1)]], 100) == [has[0], has[2]]
    assert remainder(EVENTS, has, has, 100) is None


def test_many_of_them_are_kept_in_parts() -> None:
    user = Profile()
    user.belonging = Belonging()
    cell = None
    for at_ms in range(parts.ENTRIES_INLINE_MAX + 1):
        cell = Events(None).add(cell, event(at_ms), at_ms)
    user.belonging.cells = {UNTAGGED: {"~c": cell}}
    data, found = codec.encode_in_parts(user, 0)
    assert found
    assert len(data) < 1_000
    back = codec.decode(data, lambda names: [found[each] for each in names])
    assert back.belonging == user.belonging
