"""Which cells a definition gets: the kind that holds the least, shared by all that remember the same."""

from __future__ import annotations

from typing import Any

import pytest

from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Definition
from app.definitions.plan import Plan
from app.profiles.aggregates import Counted, Extreme, Summed, Texts
from app.profiles.funnels import Funnel
from app.profiles.sessions import Runs, SessionFacts
from app.profiles.windows import Count, Peaks, Spanned, Total, WindowCount

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def plan_of(*queries: str) -> Plan:
    ready, errors = compile_ready([Definition(f"d{at}", "trait", query) for at, query in enumerate(queries)])
    assert not errors, errors
    return compile_plan(ready)


@pytest.mark.parametrize(
    ("chain", "kind"),
    [
        ("count()", Count()),
        ("sources(exclude: {'a'}).count()", Count()),
        ("avg(property('p'))", Total(Summed())),
        ("unique(property('p'))", Total(Texts())),
        ("first(property('p'))", Total(Extreme("moments", False))),
        ("within(1 day).count()", WindowCount(DAY_MS)),
        ("within(1 day).within(1 hour).count()", WindowCount(HOUR_MS)),
        ("between(1 day, 1 hour).count()", Spanned(Counted(), HOUR_MS, DAY_MS)),
        ("between(1 hour, 1 week).within(1 day).sum(property('p'))", Spanned(Summed(), HOUR_MS, DAY_MS)),
        ("within(1 day).max(property('p') as string)", Peaks(Extreme("texts", True), 0, DAY_MS)),
        ("where(property('d').within_last(1 day)).count()", Spanned(Counted())),
        ("where(property('d').within_last(1 day)).last(property('p'))", Peaks(Extreme("moments", True))),
        ("expires_after(1 hour).count()", Runs(Counted(), HOUR_MS)),
        ("expires_after(1 hour).within(1 day).count()", SessionFacts(Counted(), HOUR_MS, 0, DAY_MS)),
        ("where(property('d').after_next(1 day)).expires_after(1 hour).count()", SessionFacts(Counted(), HOUR_MS)),
    ],
)
def test_a_chain_gets_the_kind_that_holds_the_least(chain: str, kind: Any) -> None:
    (cell,) = plan_of(f"event('V').{chain}").cells.values()
    assert cell.kind == kind
    assert cell.timed is not isinstance(kind, Count | Total)


@pytest.mark.parametrize(
    "queries",
    [
        ("event('V').sum(property('p'))", "event('V').avg(property('p'))"),
        ("event('V').unique(property('p'))", "event('V').unique(property('p')).count()"),
        ("event('V').mode(property('p'), 1)", "event('V').mode(property('p') as array, 3)"),
        ("event('V').mode(property('p'), 2)", "event('V').unique(property('p'))"),
        ("event('V').mode(property('p.$') as array, 1)", "event('V').mode(property('p.$') as array, 3)"),
        ("event('V').min(property('p'))", "EVENT('V').MIN(property('p') as number)"),
        (
            "event('V').where(trait('a') = 1).within(1 day).count()",
            "event('V').within(24 hours).where(trait('a') == 1).count()",
        ),
    ],
)
def test_chains_that_remember_the_same_share_a_cell(queries: tuple[str, ...]) -> None:
    plan = plan_of(*queries)
    (cell,) = plan.cells
    assert plan.by_cell[cell] == tuple(range(len(queries)))


@pytest.mark.parametrize(
    ("audiences", "traits", "marks"),
    [
        (["within(1 day).count() >= 3"], [], (3,)),
        (["within(1 day).count() >= 3", "within(1 day).count() < 4"], [], (3, 4)),
        (["expires_after(1 hour).count() = 0"], [], (1,)),
        (["expires_after(1 hour).count() >= 2", "expires_after(1 hour).count() != 5"], [], (2, 5, 6)),
        (["expires_after(1 hour).count() >= 2"], ["expires_after(1 hour).count()"], None),
        (["within(1 day).count() >= trait('least')"], [], None),
        (["within(1 day).count() >= '3'"], [], None),
        (["expires_after(1 hour).sum(property('p')) >= 3"], [], None),
    ],
)
def test_a_count_that_is_only_compared_has_marks(
    audiences: list[str], traits: list[str], marks: tuple[int, ...] | None
) -> None:
    texts = [("audience", each) for each in audiences] + [("trait", each) for each in traits]
    definitions = [Definition(f"d{at}", kind, f"event('V').{text}") for at, (kind, text) in enumerate(texts)]  # type: ignore[arg-type]
    ready, errors = compile_ready(definitions)
    assert not errors, errors
    (cell,) = compile_plan(ready).cells.values()
    assert isinstance(cell.kind, WindowCount | Runs)
    assert cell.kind.marks == marks


@pytest.mark.parametrize(
    "queries",
    [
        ("event('V').mode(property('p.$'), 1)", "event('V').mode(property('p.$') as array, 1)"),
        ("event('V').min(property('p'))", "event('V').min(property('p') as string)"),
        ("event('V').first(property('p'))", "event('V').last(property('p'))"),
    ],
)
def test_chains_that_remember_something_else_do_not(queries: tuple[str, ...]) -> None:
    assert len(plan_of(*queries).cells) == len(queries)


def test_a_funnel_is_one_cell_that_events_of_all_its_chains_reach() -> None:
    plan = plan_of("event('A').where(event('B').where(event('C').count() = 0).count() > 0).count()")
    (cell,) = plan.cells.values()
    assert isinstance(cell.kind, Funnel)
    assert {name: [each.id for each, _ in cells] for name, cells in plan.cells_by_event.items()} == {
        name: [cell.id] for name in "ABC"
    }
    assert not cell.timed


@pytest.mark.parametrize(
    ("condition", "stays"),
    [
        ("event('B').count() >= 1", (True, False)),
        ("event('B').count() = 0", (False, True)),
        ("NOT event('B').count() != 0", (False, True)),
        ("event('B').count() = 1", (False, False)),
        ("event('B').unique(property('p')).count() > 2 AND property('p') = 1", (True, False)),
        ("event('B').count() > 0 OR event('C').count() < 1", (False, False)),
        ("event('B').within(parent: 1 day).where(property('p') = property(parent: 'p')).count() > 0", (True, False)),
        ("event('B').within(1 day).count() > 0", (False, False)),
        ("event('B').expires_after(1 day).count() > 0", (False, False)),
        ("event('B').where(event('C').count() > 0).count() > 0", (True, False)),
        ("event('B').where(event('C').count() = 0).count() > 0", (False, False)),
        ("event('B').where(property('d').before_last(1 day)).count() > 0", (False, False)),
        ("event('B').sum(property('p')) > 0", (False, False)),
    ],
)
def test_a_parent_is_settled_only_by_what_can_never_turn_back(condition: str, stays: tuple[bool, bool]) -> None:
    (cell,) = plan_of(f"event('A').where({condition}).count()").cells.values()
    assert isinstance(cell.kind, Funnel)
    assert (cell.kind.stays_in, cell.kind.stays_out) == stays
