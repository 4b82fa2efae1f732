"""What an account has to remember of what it was, and what its users keep for it."""

from __future__ import annotations

from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_accounts, compile_plan
from app.definitions.model import Definition
from app.definitions.plan import Plan
from app.profiles.history import Recalled
from app.profiles.unjudged import Events

DAY_MS = 86_400_000


def plans(*queries: str) -> tuple[Plan, Plan]:
    """For users and for accounts."""
    definitions = [Definition(f"d{number}", "audience", query, "ACCOUNTS") for number, query in enumerate(queries)]
    ready, errors = compile_ready(definitions)
    assert not errors
    return compile_plan(ready), compile_accounts(ready)


def test_it_reaches_back_as_far_as_the_widest_window() -> None:
    within = "event('V').where(trait('{}') = 'x').{}count() > 0"
    _, accounts = plans(
        within.format("a.b", "within(1 day)."),
        within.format("a.c", "between(1 day, 3 days).within(2 days)."),
        within.format("for_ever", ""),
        within.format("for_ever", "within(1 day)."),
        within.format("d0", "within(1 day)."),
        "event('V').within(4 days).where(event('W').within(1 day).where(trait('inner') = 1).count() > 0).count() > 0",
    )
    assert accounts.recalled == Recalled({"a": 2 * DAY_MS, "for_ever": None, "inner": 4 * DAY_MS}, {"d0": DAY_MS})


def test_only_chains_that_ask_are_kept_as_events() -> None:
    users, accounts = plans(
        "event('V').where(trait('a') = 1).count() > 0 AND event('V').where(property('p') = 1).count() > 0",
        "trait('a') = 1 OR ANY (event('V').where(trait('a') = 1).count() > 0)",
    )
    kept = [cell for cell, _ in users.collective["V"] if isinstance(cell.kind, Events)]
    (judged,) = accounts.judged.values()
    assert [cell.id for cell in kept] == [judged.kept.id] == [*accounts.judged]
    assert judged.cell.id in accounts.cells
    assert judged.kept.id not in accounts.cells
    assert len(users.collective["V"]) == len(accounts.cells_by_event["V"]) == len(users.collective_kinds) == 2
    assert users.judged.keys() == accounts.judged.keys()
    assert not any(isinstance(cell.kind, Events) for cell in users.cells.values()), "a user knows itself"
