"""One record applied to one profile: which changes come of it, when, in which order, and under which ids."""

from __future__ import annotations

from typing import Any

import pytest

from app.compute.apply import Application, arrival
from app.compute.changes import Change
from app.compute.evaluate import earliest
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Definition
from app.definitions.plan import Plan, Scene
from app.identity.identifiers import Identifiers
from app.identity.rules import IdentityRules
from app.profiles.merge import merge
from app.profiles.state import Profile

HOUR_MS = 3_600_000
START_MS = 1_767_225_600_000
Step = tuple[str, Any, int]
"""Definition, value, ms since the start."""


def plan_of(*definitions: Definition) -> Plan:
    ready, errors = compile_ready(definitions)
    assert not errors, errors
    return compile_plan(ready)


def audience(key: str, query: str, **fields: Any) -> Definition:
    return Definition(key=key, kind="audience", query=query, **fields)


def trait(key: str, query: str) -> Definition:
    return Definition(key=key, kind="trait", query=query)


class Person:
    """A profile and its log."""

    def __init__(self, *definitions: Definition) -> None:
        self.profile = Profile()
        self.offset = 0
        self.use(*definitions)

    def use(self, *definitions: Definition) -> None:
        self.plan = plan_of(*definitions)

    def _application(self) -> Application:
        self.offset += 1
        return Application(self.plan, self.profile, "prf_1", "e1", ("profiles.in", 0, self.offset))

    def message(self, after_ms: int, *, at_ms: int | None = None, repeat: bool = False, **fields: Any) -> list[Change]:
        message = {"type": "track", "event": "Order", "userId": "u", **fields}
        application = self._application()
        application.pass_time(START_MS + after_ms)
        application.message(
            message, START_MS + (after_ms if at_ms is None else at_ms), Identifiers(IdentityRules()).of(message),
            received_ms=START_MS + after_ms, repeat=repeat,
        )  # fmt: skip
        return application.changes

    def refresh(self, after_ms: int) -> list[Change]:
        application = self._application()
        application.pass_time(START_MS + after_ms)
        application.refresh()
        return application.changes

    def time(self, after_ms: int) -> list[Change]:
        application = self._application()
        application.pass_time(START_MS + after_ms)
        return application.changes


def steps(changes: list[Change]) -> list[Step]:
    return [(change.key, change.value, change.at_ms - START_MS) for change in changes]


ACTIVE = audience("active", "event('Order').within(1 hour).count() >= 1")
ORDERS = trait("orders", "event('Order').count()")


def test_exit_fires_when_a_window_empties_without_an_event() -> None:
    person = Person(ACTIVE)
    assert steps(person.message(0)) == [("active", True, 0)]
    assert person.profile.armed_due == START_MS + HOUR_MS
    assert person.time(HOUR_MS - 1) == []
    assert steps(person.time(HOUR_MS)) == [("active", False, HOUR_MS)]
    assert person.profile.armed_due == 0
    assert person.profile.cells == {}, "nothing is kept of a window that is empty"


def test_time_does_nothing_where_a_count_passes_no_number_that_it_is_compared_with() -> None:
    person = Person(audience("regular", "event('Order').within(1 hour).count() >= 3"))
    for after_ms in (0, 1, 2, 3, 4):
        changes = person.message(after_ms)
        assert steps(changes) == ([("regular", True, 2)] if after_ms == 2 else [])
        # Armed when the third became one of three; those after it only put that off.
        assert person.profile.armed_due == (START_MS + HOUR_MS if after_ms >= 2 else 0)
    assert person.time(HOUR_MS) == []
    assert person.profile.armed_due == START_MS + HOUR_MS + 2
    assert steps(person.time(2 * HOUR_MS)) == [("regular", False, HOUR_MS + 2)]


def test_an_edit_that_compares_a_count_with_another_number_is_told_when_that_is_passed() -> None:
    person = Person(audience("some", "event('Order').within(1 hour).count() >= 1"))
    for after_ms in (0, 10, 20):
        person.message(after_ms)
    assert person.time(HOUR_MS) == []
    assert person.profile.armed_due == START_MS + HOUR_MS + 20, "nothing to do before all orders are gone"
    person.use(
        audience("some", "event('Order').within(1 hour).count() >= 1"),
        audience("few", "event('Order').within(1 hour).count() < 2"),
    )
    assert person.plan.cells.keys() == person.profile.cells.keys()
    assert person.refresh(HOUR_MS + 1) == []
    assert steps(person.time(2 * HOUR_MS)) == [("few", True, HOUR_MS + 10), ("some", False, HOUR_MS + 20)]


def test_a_change_has_the_custom_traits_of_its_moment() -> None:
    person = Person(ACTIVE, audience("pro", "trait('plan') = 'pro'"))
    person.message(0, type="identify", traits={"plan": "free"})
    person.message(1)
    left, entered = person.message(2 * HOUR_MS, type="identify", traits={"plan": "pro", "seats": 3})
    assert steps([left, entered]) == [("active", False, HOUR_MS + 1), ("pro", True, 2 * HOUR_MS)]
    assert (left.custom_trait("plan"), left.custom_trait("seats")) == ("free", None)
    assert (entered.custom_trait("plan"), entered.custom_trait("seats")) == ("pro", 3)


def test_a_comparison_with_the_present_follows_what_it_reads_from_step_to_step() -> None:
    person = Person(
        trait("due", "event('Order').within(2 hours).last(property('due'))"),
        audience("near", "trait('due').within_next(1 hour)"),
    )
    person.message(0, properties={"due": "2026-01-01T05:00:00Z"})
    person.message(1, properties={"due": "2026-01-01T03:00:00Z"}, at_ms=-1)
    # At two hours the order is gone, and with it the date that would come near at four.
    assert steps(person.time(10 * HOUR_MS)) == [("due", None, 2 * HOUR_MS)]
    person.message(11 * HOUR_MS, properties={"due": "2026-01-01T12:30:00Z"})
    assert steps(person.time(20 * HOUR_MS)) == [
        ("near", True, 11 * HOUR_MS + HOUR_MS // 2),
        ("near", False, 12 * HOUR_MS + HOUR_MS // 2),
        ("due", None, 13 * HOUR_MS),
    ]


def test_flips_between_two_records_are_steps_of_their_own_in_order() -> None:
    person = Person(
        audience("soon", "event('Order').within(1 hour).count() >= 1"),
        audience("later", "event('Order').within(2 hours).count() >= 1"),
    )
    person.message(0)
    changes = person.message(5 * HOUR_MS)
    assert steps(changes) == [
        ("soon", False, HOUR_MS),
        ("later", False, 2 * HOUR_MS),
        ("soon", True, 5 * HOUR_MS),
        ("later", True, 5 * HOUR_MS),
    ]
    assert [change.sequence for change in changes] == [3, 4, 5, 6]


def test_a_late_timer_fires_at_the_instant_it_was_due() -> None:
    person = Person(ACTIVE)
    person.message(0)
    assert steps(person.time(50 * HOUR_MS)) == [("active", False, HOUR_MS)]


def test_time_never_goes_back() -> None:
    person = Person(ACTIVE)
    person.message(0)
    person.time(HOUR_MS)
    assert steps(person.message(10, at_ms=10)) == [("active", True, HOUR_MS)]
    assert person.profile.clock == START_MS + HOUR_MS


def test_an_event_from_long_ago_counts_where_it_happened() -> None:
    person = Person(ACTIVE, ORDERS)
    assert steps(person.message(3 * HOUR_MS, at_ms=0)) == [("orders", 1, 3 * HOUR_MS)]


@pytest.mark.parametrize(
    "query",
    [
        "event('Order').within(1 hour).count()",
        "event('Order').within(1 hour).avg(property('total'))",
        "event('Order').within(1 hour).max(property('total'))",
        "event('Order').within(1 hour).expires_after(1 day).count()",
        "event('Order').where(property('paid').before_last(1 day)).within(1 hour).count()",
        "event('Order').where(event('Cancelled').count() = 0).within(1 hour).count()",
    ],
)
def test_an_event_that_left_its_window_when_time_began_does_not_count_for_ever(query: str) -> None:
    person = Person(trait("t", query))
    assert person.message(0, at_ms=-START_MS - HOUR_MS, properties={"total": 1, "paid": "1960-01-01"}) == []


def test_definitions_that_refer_to_others_follow_in_the_same_step() -> None:
    person = Person(
        audience("vip_and_active", "trait('vip') = true AND trait('active') = true"),
        audience("vip", "trait('orders') >= 2"),
        ORDERS,
        ACTIVE,
    )
    person.message(0)
    changes = person.message(1)
    assert [(change.key, change.at_ms - START_MS) for change in changes] == [
        ("orders", 1),
        ("vip", 1),
        ("vip_and_active", 1),
    ]
    assert {change.key for change in person.time(HOUR_MS + 1)} == {"active", "vip_and_active"}


def test_a_repeat_counts_no_more_but_brings_its_identifiers() -> None:
    person = Person(ORDERS)
    person.message(0)
    assert person.message(1, repeat=True, context={"traits": {"email": "e"}}) == []
    assert person.profile.identifiers == [("user_id", "u"), ("email", "e")]


def test_the_last_writer_of_a_trait_is_the_newest_by_its_own_time() -> None:
    person = Person(audience("gold", "trait('plan') = 'gold'"))
    newest = person.message(10, at_ms=9, type="identify", event=None, traits={"plan": "gold"})
    assert steps(newest) == [("gold", True, 10)]
    assert person.message(11, at_ms=5, type="identify", event=None, traits={"plan": "free"}) == []
    equal = person.message(12, at_ms=9, type="identify", event=None, traits={"plan": "free"})
    assert steps(equal) == [("gold", False, 12)]


def test_of_two_writers_at_one_time_the_later_to_arrive_wins_whenever_it_is_applied() -> None:
    person = Person(audience("gold", "trait('plan') = 'gold'"))
    person.message(12, at_ms=9, type="identify", event=None, traits={"plan": "gold"})
    assert person.message(11, at_ms=9, type="identify", event=None, traits={"plan": "free"}) == []
    assert person.profile.traits["plan"][0] == "gold"


def test_arrivals_compare_in_every_partition_and_can_be_stored() -> None:
    assert arrival(START_MS, 7) < arrival(START_MS, 8) < arrival(START_MS + 1, 0) < arrival(START_MS + 1, 1 << 20 | 1)
    assert arrival(253_402_300_799_999, (1 << 63) - 1) < 1 << 63


def test_of_two_events_at_one_time_the_first_to_arrive_is_first_although_its_offset_is_higher() -> None:
    person, other = (Person(trait("first", "event('Order').first(property('n'))")) for _ in range(2))
    person.offset = 1_000
    person.message(10, at_ms=5, properties={"n": "one"})
    other.message(20, at_ms=5, properties={"n": "two"})
    merge(person.profile, other.profile, {id_: cell.kind for id_, cell in person.plan.cells.items()}, START_MS + 20)
    assert person.plan.definitions[0].value(Scene(person.profile, START_MS + 20)) == "one"


@pytest.mark.parametrize("include", [False, True])
def test_anonymous_profiles_enter_only_where_they_may(include: bool) -> None:
    person = Person(audience("active", ACTIVE.query, include_anonymous_users=include), ORDERS)
    anonymous = person.message(0, userId=None, anonymousId="a")
    assert {change.key for change in anonymous} == ({"active", "orders"} if include else {"orders"})
    known = person.message(1, userId=None, anonymousId="a", context={"traits": {"email": "ann@example.org"}})
    assert ("active", True, 1) in steps(known) or include


def test_a_new_plan_is_evaluated_as_a_whole_at_the_next_record() -> None:
    person = Person(ACTIVE)
    person.message(0)
    person.use(ACTIVE, audience("idle", "NOT trait('active') = true"), audience("busy", "trait('active') = true"))
    assert steps(person.message(1, event="Other")) == [("busy", True, 1)]


def test_cells_of_definitions_that_are_gone_are_dropped_in_time() -> None:
    person = Person(ACTIVE, ORDERS)
    person.message(0)
    assert len(person.profile.cells) == 2
    person.use(ACTIVE)
    person.time(HOUR_MS)
    assert person.profile.cells == {}


def test_a_count_of_nothing_stays_absent_and_a_sum_too() -> None:
    person = Person(ORDERS, trait("spent", "event('Order').sum(property('total'))"))
    assert person.message(0, event="Other") == []
    assert person.profile.emitted == {}
    assert steps(person.message(1, properties={"total": "1.10"})) == [("orders", 1, 1), ("spent", 1.1, 1)]


def test_ids_are_of_the_position_and_the_same_at_a_replay() -> None:
    first, replay = (Person(ACTIVE, ORDERS) for _ in range(2))
    one = [change.id for person in (first,) for change in (*person.message(0), *person.time(HOUR_MS))]
    again = [change.id for person in (replay,) for change in (*person.message(0), *person.time(HOUR_MS))]
    assert one == again
    assert len(set(one)) == len(one) == 3
    other = Person(ACTIVE, ORDERS)
    other.offset = 10
    assert not {change.id for change in other.message(0)} & set(one)


@pytest.mark.parametrize(("one", "other", "first"), [(0, 0, 0), (0, 5, 5), (5, 0, 5), (5, 7, 5), (7, 5, 5)])
def test_earliest_takes_0_for_never(one: int, other: int, first: int) -> None:
    assert earliest(one, other) == first


def test_a_date_that_comes_into_its_window_is_compared_at_that_instant() -> None:
    # Time alone can turn the comparison and its chain: the chain first, else its turn would be taken for done.
    late = audience("late", "event('Order').between(1 second, 15 seconds).last(property('by')).before_last(15 seconds)")
    person = Person(late)
    changes = person.message(0, properties={"by": "2025-12-31T23:59:40Z"})
    assert steps([*changes, *person.time(60_000)]) == [("late", True, 1_000), ("late", False, 15_000)]
