"""Explanations of profiles in random scenarios, against the oracle: answers at an instant, and their next turn by time.

HEADWATER_SCENARIOS=3000 pytest tests/properties -k explain
"""

from __future__ import annotations

import os
import re
from collections.abc import Set
from dataclasses import replace
from random import Random
from typing import Any

from app.compute.explain import Clause, Operand, explain
from app.definitions.checker import compile_ready
from app.events.dates import instant
from app.profiles import codec
from tests.oracle.timeline import Timeline
from tests.oracle.values import same
from tests.properties.test_stages_equal_oracle import SHAPES, SMALL, Pipeline
from tests.scenarios import Scenario, expected, expected_changes, scenario

SCENARIOS = int(os.environ.get("HEADWATER_SCENARIOS", "100"))
FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "700000"))
UNIQUE_COUNT = re.compile(r"unique\(property\('[^']*'\)\)\.count\(\)$")


class Stopped(Pipeline):
    """The stages after the last message: no timer has fired since."""

    def _fire(self, until_ms: int) -> int:
        if until_ms == self.made.until_ms:
            self._compute()
            self._write(0)
            return 0
        return super()._fire(until_ms)


def test_explanations_equal_the_oracle() -> None:
    explained = turns = clauses = 0
    for seed in range(FIRST_SEED, FIRST_SEED + SCENARIOS):
        try:
            made = scenario(seed, **{**SMALL, **SHAPES[seed % len(SHAPES)]})
            # The log ends early, so that there is time left in which nothing but time happens.
            count = Random(seed).randint(len(made.messages) // 3, len(made.messages))
            made = replace(made, messages=made.messages[: count or 1])
            pipeline = Stopped(seed, made)
            pipeline.run()
            timeline = expected(made.definitions, made.messages, made.until_ms)
            found = _check(seed, made, pipeline, timeline)
        except Exception as error:
            error.add_note(f"replay with: HEADWATER_SEED={seed} HEADWATER_SCENARIOS=1")
            raise
        explained, turns, clauses = explained + found[0], turns + found[1], clauses + found[2]
    print(f"\n{explained} explanations with {clauses} clauses; {turns} turns by time alone found at their instant")
    assert turns > SCENARIOS // 10, "hardly any answer turned by time: nothing was tried"


def _check(seed: int, made: Scenario, pipeline: Pipeline, timeline: Timeline) -> tuple[int, int, int]:
    """How many explanations were compared, how many turns were among them, and how many clauses."""
    ready, _ = compile_ready(made.definitions)
    changes = expected_changes(timeline)
    last_ms = made.messages[-1][0]
    # Also instants between the turns of time, which the profile has yet to reach.
    now_ms = Random(seed).choice((last_ms, Random(seed).randint(last_ms, made.until_ms), made.until_ms))
    times = {at_ms for _, message in made.messages if (at_ms := instant(message.get("timestamp"))) is not None}
    times |= {at_ms for at_ms, _ in made.messages}
    explained = turns = clauses = 0
    for profile, data in pipeline.store.profiles():
        for definition, _ in ready:
            held = codec.decode(data)
            found = explain(ready, definition.key, held, now_ms)
            place = profile.decode(), definition.key
            told = [(at_ms, value) for at_ms, value in changes.get(place, ()) if at_ms <= now_ms]
            wanted: Any = told[-1][1] if told else (False if definition.kind == "audience" else None)
            assert same(found.value, wanted), f"{place} at {now_ms}: {wanted} expected, explained: {found}"
            later = [at_ms for at_ms, _ in changes.get(place, ()) if at_ms > now_ms]
            if later:
                turns += 1
                assert found.changes_ms == later[0], f"{place} turns at {later[0]}, explained: {found}"
            else:
                assert found.changes_ms is None or found.changes_ms > made.until_ms, f"{place}: {found}"
            if isinstance(found.body, Operand):
                _check_operand(found.body, times)
            else:
                clauses += _check_clauses(found.body, times)
                is_in = found.body.holds and (definition.include_anonymous_users or not found.is_anonymous)
                assert found.value is is_in
                assert found.is_kept_out is (found.body.holds and not is_in)
                assert found.is_kept_out or found.body.flips_ms == found.changes_ms
            assert codec.encode(held, 0) == codec.encode(codec.decode(data), 0), "the profile was changed"
            explained += 1
    return explained, turns, clauses


def _check_clauses(clause: Clause, times: Set[int]) -> int:
    """What a junction says follows from its clauses, and it turns when one of them does."""
    holds = [each.holds for each in clause.clauses]
    match clause.junction:
        case "and":
            assert clause.holds is all(holds)
        case "or":
            assert clause.holds is any(holds)
        case "not":
            assert [clause.holds] == [not each for each in holds]
    flips = [each.flips_ms for each in clause.clauses if each.flips_ms is not None]
    if clause.clauses and clause.flips_ms is not None:
        assert flips, f"nothing turns in what turns: {clause}"
        assert min(flips) <= clause.flips_ms
    for operand in clause.operands:
        _check_operand(operand, times)
    return 1 + sum(_check_clauses(each, times) for each in clause.clauses)


def _check_operand(operand: Operand, times: Set[int]) -> None:
    """Times are those of events that were sent, and of a count there are as many as it says."""
    events = operand.events
    assert (events is not None) is (operand.source == "events")
    if events is None:
        return
    known = {each.at_ms for each in events.known if each.at_ms is not None}
    assert known <= times, f"nothing was sent at these times: {known - times} of {operand}"
    if operand.text.endswith(".count()") and not UNIQUE_COUNT.search(operand.text):
        assert events.events == operand.value, f"{operand}"
