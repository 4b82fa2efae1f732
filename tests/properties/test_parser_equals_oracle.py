"""The parser and the oracle's read the same language: equal trees, or a refusal at the same place.

A failing test prints its seed; `HEADWATER_SEED=… HEADWATER_EXAMPLES=1` repeats it, more examples look longer.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from random import Random, SystemRandom

from app.definitions import ast
from app.definitions.model import Definition, Kind, Scope
from app.definitions.parser import parse, to_text
from app.errors import DefinitionError
from tests.oracle import language as oracle
from tests.oracle.scenario import Options
from tests.oracle.scenario_queries import QueryWriter

EXAMPLES = int(os.environ.get("HEADWATER_EXAMPLES", "300"))
"""Scenarios of twelve definitions each."""
SEED = int(os.environ.get("HEADWATER_SEED", SystemRandom().randrange(2**31)))

Written = tuple[str, Kind, Scope]
Refused = tuple[int, int]


def written(seed: int) -> Iterator[Written]:
    """The definitions of a seed's scenario: text, kind and scope."""
    options = Options(contested=seed % 2 == 0, accounts=seed % 3 != 0)
    for definition in QueryWriter(Random(seed), options).definitions():
        yield definition["query"], definition["kind"], definition["type"]  # type: ignore[misc]


def ours(query: str, kind: Kind, scope: Scope) -> ast.Body | Refused:
    try:
        return parse(Definition("key", kind, query, scope))
    except DefinitionError as error:
        return error.line, error.column


def theirs(query: str, kind: Kind, scope: Scope) -> ast.Body | Refused:
    try:
        tree = oracle.parse(query, kind, scope)
    except oracle.DefinitionError as error:
        return error.line, error.column
    return converted(tree)  # type: ignore[return-value]


def converted(node: object) -> object:
    """The oracle's tree as ours."""
    match node:
        case tuple():
            return tuple(map(converted, node))
        case oracle.Duration():
            return node.ms
        case oracle.Constant(value, is_date):
            return ast.Literal(value, is_date)
        case oracle.TraitRef(key):
            return ast.Trait(key)
        case oracle.ContextField(path):
            return ast.Context(path)
        case oracle.Reducer(name, path, as_type, minimum):
            return ast.Reducer(name, path, as_type, minimum)
        case str() | int() | float() | bool() | None:
            return node
    fields = [getattr(node, name) for name in node.__dataclass_fields__]  # type: ignore[attr-defined]
    return getattr(ast, type(node).__name__)(*map(converted, fields))


def agreed(query: str, kind: Kind, scope: Scope, seed: int) -> ast.Body | Refused:
    found, expected = ours(query, kind, scope), theirs(query, kind, scope)
    # Compared as texts, because 1, 1.0 and true are equal to Python.
    assert repr(found) == repr(expected), f"seed {seed}: {kind} of {scope}: {query}"
    return found


def test_random_definitions_parse_to_the_oracles_trees() -> None:
    count = 0
    for seed in range(SEED, SEED + EXAMPLES):
        for query, kind, scope in written(seed):
            tree = agreed(query, kind, scope, seed)
            assert not isinstance(tree, tuple), f"seed {seed}: refused at {tree}: {query}"
            count += 1
            again = ours(to_text(tree), kind, scope)
            assert repr(again) == repr(tree), f"seed {seed}: {query}\nprinted as {to_text(tree)}"
    assert count == 12 * EXAMPLES


def test_canonical_text_is_that_of_all_spellings() -> None:
    for seed in range(SEED, SEED + EXAMPLES // 4):
        for query, kind, scope in written(seed):
            tree = ours(query, kind, scope)
            assert not isinstance(tree, tuple)
            theirs_printed = ours(oracle.to_text(oracle.parse(query, kind, scope)), kind, scope)
            assert not isinstance(theirs_printed, tuple)
            assert to_text(tree) == to_text(theirs_printed), f"seed {seed}: {query}"


PIECES_TEXT = r"""
( ) . , : { } = == != > >= < <= ' " \ & - ; 1 0 7.5 1e5 1e999 -3 2026-01-31 2026-02-30 2026-01-31T10:00:00x é 'x' "y"
AND or NOT ANY all none true False literal(2) event('E') trait('t') property('p') context('c') parent: exclude
.where( .within( .between( .expires_after( .sources(exclude: .count() .sum( .unique( .mode( as string array
.exists() .equals( .one_of( .contains( .absent() .within_last( .before_date( days 1 week 3661 0
property(parent:'p') .within(parent:1 event('E').count()>0
"""
PIECES = (*PIECES_TEXT.split(), "\n", "1 day", "0 weeks", "3661 days")


def mutated(query: str, random: Random) -> str:
    """The text with one to three small faults: a character or a token left out, put in, doubled or swapped."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        try:
            starts = [_offset(query, token) for token in oracle.tokens(query)]
        except oracle.DefinitionError:
            starts = []
        by_character = len(starts) < 4 or random.random() < 0.3
        cuts = sorted(random.choices(range(len(query) + 1) if by_character else starts, k=3))
        one, two, three = query[: cuts[0]], query[cuts[0] : cuts[1]], query[cuts[1] : cuts[2]]
        rest = query[cuts[2] :]
        where = random.randrange(5)
        if where == 0:
            query = one + three + rest
        elif where == 1:
            query = one + three + two + rest
        elif where == 2:
            query = one + two + two + three + rest
        elif where == 3:
            query = (
                one + random.choice(("", " ")) + random.choice(PIECES) + random.choice(("", " ")) + two + three + rest
            )
        else:
            at = random.randrange(len(query) + 1)
            query = query[:at] + random.choice(("", random.choice(PIECES))) + query[at + 1 :]
    return query


def _offset(query: str, token: oracle.Token) -> int:
    return sum(len(line) + 1 for line in query.split("\n")[: token.line - 1]) + token.column - 1


def test_texts_with_faults_are_accepted_by_both_or_refused_at_the_same_place() -> None:
    refused = 0
    for seed in range(SEED, SEED + EXAMPLES):
        random = Random(seed)
        for query, kind, scope in written(seed):
            scopes: tuple[Scope, ...] = (scope, "USERS", "ACCOUNTS")
            kinds: tuple[Kind, ...] = (kind, kind, "audience", "trait")
            found = agreed(mutated(query, random), random.choice(kinds), random.choice(scopes), seed)
            refused += isinstance(found, tuple)
    if EXAMPLES >= 50:
        assert 0.2 < refused / (12 * EXAMPLES) < 0.98, "the mutations should make faults, and not only faults"


def test_soups_of_tokens_are_refused_at_the_same_place() -> None:
    for seed in range(SEED, SEED + 4 * EXAMPLES):
        random = Random(seed)
        soup = " ".join(random.choices(PIECES, k=random.randrange(12)))
        agreed(soup, random.choice(("audience", "trait")), random.choice(("USERS", "ACCOUNTS")), seed)
