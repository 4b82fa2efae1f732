"""What is refused as never true is never true to the oracle, and nothing is refused that the oracle's scenarios hold.

A failing test prints its seed; `HEADWATER_SEED=… HEADWATER_EXAMPLES=1` repeats it, more examples look longer.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from itertools import product
from random import Random, SystemRandom

from app.definitions.checker import compile_ready
from app.definitions.model import Definition
from app.definitions.review import review
from app.errors import DefinitionError
from tests.oracle import language as oracle
from tests.oracle.evaluate import evaluate
from tests.oracle.profiles import Event, Subject, TraitView
from tests.oracle.scenario import Options
from tests.oracle.scenario_queries import QueryWriter
from tests.oracle.scenario_words import ODD_VALUES
from tests.oracle.values import HOUR_MS, Json

EXAMPLES = int(os.environ.get("HEADWATER_EXAMPLES", "300"))
SEED = int(os.environ.get("HEADWATER_SEED", SystemRandom().randrange(2**31)))
NOW_MS = 1_000 * HOUR_MS

KNOWN = (
    Definition("vip", "audience", "trait('plan') = 'pro'"),
    Definition("orders", "trait", "event('O').count()"),
    Definition("spent", "trait", "event('O').sum(property('p'))"),
    Definition("skus", "trait", "event('O').unique(property('p'))"),
)


def said(query: str) -> tuple[list[DefinitionError], list[DefinitionError]]:
    """Refusals and doubts about one audience that are review's own."""
    definitions = [*KNOWN, Definition("d", "audience", query)]
    checker = [str(error) for error in compile_ready(definitions)[1]]
    found = review(definitions)
    errors = [error for error in found.errors if error.key == "d" and str(error) not in checker]
    return errors, [error for error in found.doubts if error.key == "d"]


# ── the oracle's own definitions ──────────────────────────────────────────────────────────────────────────────────


NEVER_TRUE = re.compile(r"trait\('(user|account)_trait_[0-9]+'\) < 0")
"""What the generator itself makes that no profile can satisfy: a computed count below 0."""


def test_no_definition_of_the_oracles_generator_that_can_hold_is_refused() -> None:
    counts = 0
    for seed in range(SEED, SEED + EXAMPLES):
        options = Options(contested=seed % 2 == 0, accounts=seed % 3 != 0, scale=("days", "seconds")[seed // 2 % 2])
        written = QueryWriter(Random(seed), options).definitions()
        definitions = [
            Definition(each["key"], each["kind"], each["query"], each["type"])  # type: ignore[arg-type]
            for each in written
        ]
        checker = compile_ready(definitions)[1]
        found = review(definitions)
        kept = {doubt.key for doubt in found.doubts if "as long as it can count" in doubt.expected}
        assert kept == {each.key for each in definitions if _is_kept_for_ever(each)}, f"seed {seed}"
        counts += len(kept)
        refused = [error for error in found.errors if str(error) not in map(str, checker)]
        errors = [error for error in refused if not NEVER_TRUE.fullmatch(error.found)]
        queries = {each.key: each.query for each in definitions}
        assert not errors, f"seed {seed}: {errors[0]}\n{queries[errors[0].key]}"
    assert counts, f"from seed {SEED}: nobody asked what an account was"


def _is_kept_for_ever(definition: Definition) -> bool:
    """Whether it asks what an account was at events that count whatever their age: trait() inside `where`, and in no
    quantifier."""
    if definition.scope == "USERS":
        return False
    body = oracle.define(definition.key, definition.kind, definition.scope, definition.query).body
    inside = (oracle.Chain, oracle.Quantified)
    inner = {id(node) for found in oracle.walk(body) if isinstance(found, inside) for node in _below(found)}
    outermost = [each for each in oracle.walk(body) if isinstance(each, oracle.Chain) and id(each) not in inner]
    return any(
        isinstance(node, oracle.TraitRef)
        for each in outermost
        if not any(isinstance(one, oracle.Within | oracle.Between) for one in each.filters)
        for node in oracle.walk(each)
    )


def _below(node: object) -> list[object]:
    return [each for each in oracle.walk(node) if each is not node]


# ── comparisons ───────────────────────────────────────────────────────────────────────────────────────────────────

LITERALS = (
    *("-1", "0", "1", "2", "3", "1.5", "1e0", "1e300", "true", "false"),
    *("''", "'0'", "'01'", "'1'", "'2.0'", "'-0'", "'x'", "'1e401'", "'true'", "'pro'", "'[]'", "'[\"x\"]'"),
    *('\'["x","1"]\'', '\'["1","x"]\'', "'[\"'", "'\"]'", "'inf'", "2026-01-31", "'2026-01-31T10:00:00Z'"),
)
P = "property('p')"
REDUCERS = (
    *("count()", f"unique({P}).count()", f"sum({P})", f"avg({P})", f"min({P})", f"max({P} as string)"),
    *(f"mode({P}, 1)", f"first({P})", f"last({P})", f"unique({P})"),
)
CHAINS = tuple(f"event('E').{reducer}" for reducer in REDUCERS)
TRAITS = tuple(f"trait('{key}')" for key in ("vip", "orders", "spent", "skus", "custom"))
ONE = (*oracle.OPERATORS, "omits", "starts_with", "ends_with", "before_date", "after_date")
MANY = ("contains", "one_of", "none_of")


def comparison(random: Random) -> str:
    left = random.choice(random.choice((CHAINS, CHAINS, TRAITS, LITERALS)))
    sides = [random.choice(random.choice((LITERALS, LITERALS, CHAINS, TRAITS))) for _ in range(3)]
    how = random.choice((*ONE, *ONE, *MANY, "exists", "absent", "dates"))
    if how in oracle.OPERATORS:
        return f"{left} {how} {sides[0]}"
    if how in ("exists", "absent"):
        return f"{left}.{how}()"
    if how == "dates":
        return f"{left}.{random.choice(oracle.DATE_COMPARATORS)}({random.choice(('0 days', '1 day', '3660 days'))})"
    return f"{left}.{how}({', '.join(sides[: random.randint(1, 3) if how in MANY else 1])})"


VALUES: tuple[Json, ...] = (*ODD_VALUES, 1, 2, "x", "1", 1.5, "1e350", 10**400, "pro", "inf", "2026-01-31T10:00:00Z")


def world(random: Random) -> Subject:
    """A user with up to four events, and traits as the definitions above can leave them."""
    skus = [["x"], ["1", "x"], ["2026-01-31"], None]
    defined: dict[str, Json] = {
        "vip": random.choice((True, False, None)),
        "orders": random.choice((None, 0, 1, 2, 3)),
        "spent": random.choice((None, 0, -1, 1.5, 2, 1e300)),
        "skus": random.choice(skus),  # type: ignore[dict-item]
    }
    traits = TraitView(defined, {"custom": random.choice(VALUES)})
    values = [random.choice(VALUES) for _ in range(random.choice((0, 0, 1, 2, 3, 4)))]
    return subject([("E", at, {"p": value} if at else {}) for at, value in enumerate(values)], traits)


def subject(events: Sequence[tuple[str, int, Json]], traits: TraitView) -> Subject:
    """Of (name, age in ms, properties)."""
    made = [
        Event(name, NOW_MS - age_ms, at, properties, {}, None, None, None, traits, {})
        for at, (name, age_ms, properties) in enumerate(events)
    ]
    return Subject("USERS", tuple(made), traits)


WORLDS = [world(Random(number)) for number in range(60)]


def test_what_is_said_of_comparisons_is_so_to_the_oracle() -> None:
    refused = doubted = 0
    for seed in range(SEED, SEED + 3 * EXAMPLES):
        random = Random(seed)
        query = random.choice(("", "", "NOT ", "NOT NOT ")) + comparison(random)
        errors, doubts = said(query)
        if any("two values" in error.expected or "digits" in error.expected for error in errors):
            continue  # refused for being of no use, whether they can hold or not
        tree = oracle.parse(query, "audience", "USERS")
        answers = {evaluate(tree, each, NOW_MS) for each in WORLDS}
        assert not errors or answers == {False}, f"seed {seed}: {query}\n{errors[0]}"
        assert not doubts or answers == {True}, f"seed {seed}: {query}\n{doubts[0]}"
        refused += bool(errors)
        doubted += bool(doubts)
    if EXAMPLES >= 50:
        assert refused > EXAMPLES / 4
        assert doubted > EXAMPLES / 40


def test_of_counts_and_audiences_all_that_cannot_flip_is_found() -> None:
    lefts = ("event('E').count()", "trait('vip')")
    for left, sign, literal in product(lefts, ("=", "!=", "<", "<=", ">", ">="), LITERALS):
        if literal == "1e300":
            continue  # a count that no world has
        query = f"{left} {sign} {literal}"
        errors, doubts = said(query)
        tree = oracle.parse(query, "audience", "USERS")
        answers = {evaluate(tree, each, NOW_MS) for each in WORLDS}
        assert (answers == {False}, answers == {True}) == (bool(errors), bool(doubts)), query


# ── windows ───────────────────────────────────────────────────────────────────────────────────────────────────────


def windows(random: Random, *, child: bool) -> str:
    """Up to three windows of few hours, so that they often miss each other."""
    found = []
    for _ in range(random.choice((1, 2, 2, 3))):
        one, other = random.sample(range(7), 2)
        how = random.choice(("within", "within", "between", "between", "expires_after", "parent"))
        if how == "between":
            found.append(f"between({one} hours, {other} hours)")
        elif how == "parent":
            found.append(f"within({'parent: ' if child else ''}{one} hours)")
        else:
            found.append(f"{how}({one} hours)")
    return ".".join(found)


def test_windows_that_are_refused_let_nothing_in() -> None:
    refused = passed = 0
    for seed in range(SEED, SEED + 3 * EXAMPLES):
        random = Random(seed)
        outer = f"event('E').{windows(random, child=False)}"
        if random.random() < 0.6:
            outer += f".where(event('F').{windows(random, child=True)}.count() > 0)"
        query = f"{outer}.count() > 0"
        errors, _ = said(query)
        tree = oracle.parse(query, "audience", "USERS")
        held = False
        for _ in range(20):
            # On the hour and a millisecond beside it, where windows begin and end.
            ages_ms = [random.randrange(8) * HOUR_MS + random.choice((-1, 0, 0, 1)) for _ in range(8)]
            events = [(random.choice("EF"), max(0, age_ms), {}) for age_ms in ages_ms]
            held = held or evaluate(tree, subject(events, TraitView({}, {})), NOW_MS) is True
        assert not (errors and held), f"seed {seed}: {query}\n{errors[0]}"
        refused += bool(errors)
        passed += held
    if EXAMPLES >= 50:
        assert refused > EXAMPLES / 2
        assert passed > EXAMPLES / 4
