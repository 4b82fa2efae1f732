"""What is refused although it is well written, and in which order the rest is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.definitions import checker
from app.definitions.checker import (
    check,
    compile_ready,
    in_dependency_order,
    references,
)
from app.definitions.model import Definition, Kind, Scope
from app.definitions.parser import parse
from app.errors import DefinitionError


def audience(key: str, query: str = "event('V').count() > 0", scope: Scope = "USERS") -> Definition:
    return Definition(key, "audience", query, scope)


def trait(key: str, query: str = "event('V').count()") -> Definition:
    return Definition(key, "trait", query)


def refusals(*definitions: Definition) -> list[str]:
    return [str(error) for error in compile_ready(definitions)[1]]


def ready_keys(*definitions: Definition) -> list[str]:
    return [definition.key for definition, _ in compile_ready(definitions)[0]]


# ── evaluated now ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        ("trait", "event('V').count()"),
        ("trait", "event('V').where(property('a.$.b') > 1).within(7 days).sum(property('products.$.price'))"),
        ("audience", "event('V').within(1 day).count() >= 2 OR NOT (trait('plan') = 'pro' AND 1 < 2)"),
        ("audience", "event('V').count() > event('W').sum(property('p'))"),
        ("audience", "event('V').where(property('a') >= trait('b') AND context('c').within_last(1 day)).count() > 0"),
        ("audience", "trait('renewal').before_last(1 week) OR trait('renewal').after_date(2026-01-31)"),
        ("audience", "event('V').where(property('a').one_of(1, 'x') OR property('a').omits('y')).count() > 0"),
        *(("trait", f"event('V').{name}(property('p'))") for name in ("avg", "min", "max", "first", "last", "unique")),
        ("trait", "event('V').mode(property('p'), 2)"),
        ("trait", "event('V').mode(property('p') as array, 2)"),
        ("trait", "event('V').min(property('p') as string)"),
        ("trait", "event('V').unique(property('p')).count()"),
        ("trait", "event('V').between(1 day, 2 days).count()"),
        ("trait", "event('V').expires_after(1 day).count()"),
        ("trait", "event('V').sources(exclude: {'a'}).count()"),
        ("trait", "event('V').where(event('W').within(parent: 1 day).count() > 0).count()"),
        ("trait", "event('V').where(event('W').where(property('p') = property(parent: 'p')).count() > 0).count()"),
        ("trait", "event('V').where(event('W').where(event('X').count() = 0).count() > 0).count()"),
    ],
)  # fmt: skip
def test_the_evaluated_part_is_accepted(kind: Kind, query: str) -> None:
    ready, errors = compile_ready([Definition("d", kind, query)])
    assert errors == []
    assert [definition.key for definition, _ in ready] == ["d"]


# ── accounts ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "query", ["event('V').count() > 0", "ANY (trait('a').exists())", "NOT ALL (trait('a').exists())", "none 1 < 2"]
)
def test_definitions_of_accounts_are_accepted(query: str) -> None:
    assert refusals(audience("d", query, "ACCOUNTS")) == []


def test_users_read_what_their_accounts_are_and_these_what_users_are_inside_quantifiers() -> None:
    definitions = [
        audience("big_user", "trait('big') = true"),
        audience("big", "ANY (trait('buyer') = true)", "ACCOUNTS"),
        audience("buyer", "event('V').count() > 0"),
    ]
    assert ready_keys(*definitions) == ["buyer", "big", "big_user"]


def test_a_key_of_both_types_is_the_readers_own() -> None:
    theirs = audience("vip", "event('W').count() > 0", "ACCOUNTS")
    definitions = [audience("reader", "trait('vip') = true"), theirs, audience("vip")]
    assert [(each.key, each.scope) for each, _ in compile_ready(definitions)[0]] == [
        ("vip", "USERS"), ("reader", "USERS"), ("vip", "ACCOUNTS"),
    ]  # fmt: skip


def test_a_circle_through_accounts_is_named() -> None:
    definitions = [
        audience("big_user", "trait('big') = true"),
        audience("big", "trait('seats') > 1 OR ANY (trait('big_user') = true)", "ACCOUNTS"),
    ]
    assert refusals(*definitions) == ["big_user: line 1, column 1: references in a circle: big_user -> big -> big_user"]


# ── keys ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_second_of_two_equal_keys_is_refused_and_names_the_first() -> None:
    definitions = [audience("vip"), trait("vip"), audience("other")]
    assert ready_keys(*definitions) == ["vip", "other"]
    (error,) = compile_ready(definitions)[1]
    assert "the audience 'vip' of type USERS comes before it" in str(error)
    accounts = audience("vip", scope="ACCOUNTS")
    assert refusals(audience("vip"), accounts) == []


def test_a_key_stays_taken_when_its_first_definition_is_refused() -> None:
    assert ready_keys(audience("vip", "nonsense"), audience("vip")) == []


# ── references ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_references_are_told_once_in_the_order_of_the_text() -> None:
    chain = "event('V').where(property('p') > trait('a') OR trait('b') = 1).count()"
    assert references(parse(audience("d", f"trait('b').exists() AND {chain} > trait('c')"))) == ("b", "a", "c")


def test_definitions_come_after_what_they_refer_to_and_else_keep_their_order() -> None:
    definitions = [
        audience("d", "trait('b').exists() AND trait('custom').exists()"),
        audience("a"),
        audience("b", "trait('c').exists()"),
        trait("c"),
    ]
    assert ready_keys(*definitions) == ["c", "b", "d", "a"]
    parsed = [(definition, parse(definition)) for definition in definitions]
    assert [definition.key for definition, _ in in_dependency_order(parsed)] == ["c", "b", "d", "a"]


def test_a_cycle_is_named_once_and_its_place_is_that_of_the_reference() -> None:
    definitions = [
        audience("z", "1 > 0 OR trait('b').exists()"),
        audience("b", "1 > 0 AND trait('c').exists()"),
        trait("c", "event('V').where(trait('a').exists()).count()"),
        audience("a", "trait('b').exists()"),
        audience("fine"),
    ]
    assert refusals(*definitions) == [
        "z: line 1, column 10: trait('b') refers to a definition that is refused (mend 'b' first)",
        "b: line 1, column 11: references in a circle: b -> c -> a -> b",
    ]
    assert ready_keys(*definitions) == ["fine"]
    with pytest.raises(DefinitionError, match="b -> c -> a -> b"):
        in_dependency_order([(definition, parse(definition)) for definition in definitions])


def test_a_definition_may_not_refer_to_itself() -> None:
    assert refusals(audience("a", "trait('a') = 1")) == ["a: line 1, column 1: references in a circle: a -> a"]


def test_several_cycles_are_all_told_and_none_gets_through() -> None:
    definitions = [
        audience("a", "trait('b').exists() OR trait('d').exists()"),
        audience("b", "trait('c').exists()"),
        audience("c", "trait('a').exists()"),
        audience("d", "trait('c').exists()"),  # in the same knot, though no circle is told for it
        audience("e", "trait('f').exists()"),
        audience("f", "trait('e').exists()"),
    ]
    lines = refusals(*definitions)
    assert sum("circle: a -> b -> c -> a" in line for line in lines) == 1
    assert sum("circle: e -> f -> e" in line for line in lines) == 1
    assert ready_keys(*definitions) == []


def test_what_refers_to_a_refused_definition_is_refused_too() -> None:
    """It would read a custom trait of that key instead."""
    definitions = [
        audience("c", "trait('b').exists()"),
        audience("b", "trait('a').exists()"),
        trait("a", "event('V')"),
    ]
    assert refusals(*definitions) == [
        "c: line 1, column 1: trait('b') refers to a definition that is refused (mend 'b' first)",
        "b: line 1, column 1: trait('a') refers to a definition that is refused (mend 'a' first)",
        "a: line 1, column 11: found the end of the definition, expected '.' and a filter or a reducer",
    ]


def test_check_takes_bodies_that_were_parsed_elsewhere() -> None:
    definitions = [audience("a", "trait('a') = 1"), audience("b", "(")]
    problems = check(definitions, [parse(definitions[0]), None])
    assert [error.key for error in problems] == ["a"]


def test_a_long_row_of_references_is_no_problem() -> None:
    row = [audience(f"k{at}", f"trait('k{at + 1}') = true") for at in range(2_000)]
    definitions = [*row, audience("k2000")]
    assert ready_keys(*definitions) == [f"k{at}" for at in range(2_000, -1, -1)]
    circle = [*row, audience("k2000", "trait('k0') = true")]
    (error,) = refusals(*circle)
    assert "circle: k0 -> k1 -> " in error


def test_the_readmes_examples_are_evaluated_and_its_errors_are_ours() -> None:
    readme = (Path(checker.__file__).parent / "README.md").read_text()
    examples = [each.strip() for each in readme.partition("## Examples")[2].partition("\n## ")[0].split("```")[1::2]]
    assert len(examples) == 7
    for query in [readme.split("```")[1].strip(), *examples]:
        kind: Kind = "trait" if query.endswith(".sum(property('total'))") else "audience"
        assert refusals(Definition("example", kind, query)) == []
    for line in refusals(audience("vip"), audience("vip")):
        assert line in readme
