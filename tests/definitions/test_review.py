"""What is refused because it cannot be meant, what is only doubted, and in which words."""

from __future__ import annotations

import pytest

from app.definitions.model import Definition, Kind, Scope
from app.definitions.review import Review, review

KNOWN = (
    Definition("vip", "audience", "trait('plan') = 'pro'"),
    Definition("orders", "trait", "event('O').count()"),
    Definition("skus", "trait", "event('O').unique(property('sku'))"),
    Definition("big_accounts", "audience", "trait('seats') > 5", "ACCOUNTS"),
)


def reviewed(query: str, kind: Kind = "audience", scope: Scope = "USERS") -> Review:
    return review([*KNOWN, Definition("d", kind, query, scope)])


def refusals(query: str, kind: Kind = "audience", scope: Scope = "USERS") -> list[tuple[int, str, str]]:
    """Column, what was expected, hint."""
    errors = [error for error in reviewed(query, kind, scope).errors if error.key == "d"]
    return [(error.column, error.expected, error.hint) for error in errors]


def doubts(query: str, kind: Kind = "audience", scope: Scope = "USERS") -> list[tuple[int, str, str]]:
    return [(doubt.column, doubt.expected, doubt.hint) for doubt in reviewed(query, kind, scope).doubts]


@pytest.mark.parametrize(
    ("query", "column", "expected", "hint"),
    [
        ("event('V').count() < 0", 22, "a count is a whole number from 0", "for none write = 0"),
        ("event('V').count() <= -1", 23, "a count is a whole number from 0", "for any write > 0"),
        ("0 > event('V').count()", 1, "a count is a whole number from 0", "for none write = 0"),
        ("event('V').count() = 'x'", 22, "a count is a whole number from 0", "write such a number"),
        ("event('V').count() = 1.5", 22, "a count is a whole number from 0", "write such a number"),
        ("event('V').unique(property('p')).count() = -1", 44, "a count is a whole number from 0", ""),
        ("event('V').count().one_of('a', 'b')", 27, "a count is a whole number from 0", ""),
        ("event('V').count().absent()", 12, "a count is never null", "write > 0 or = 0"),
        ("event('V').count().contains('1')", 29, "its digits as a text", "write =, <"),
        ("event('V').count() > 'x'", 22, "'x' is no number", "write a number"),
        ("event('V').count() > true", 22, "true is no number", "write a number"),
        ("event('V').count().before_date(2026-01-31)", 32, "count(…) is no date", "a trait that holds a date"),
        ("event('V').count().within_last(1 day)", 12, "count() is no date", "a trait that holds a date"),
        ("event('V').sum(property('p')) = 'much'", 33, "sum(…) is a number", "write a number"),
        ("event('V').unique(property('p')) = 'x'", 36, "the JSON text of a list", ".contains("),
        ("event('V').unique(property('p')) > 2", 36, "unique(…) is no number", "unique(…).count()"),
        ("trait('plan') > 'pro'", 17, "'pro' is no number", "write a number"),
        ("trait('renewal') < 2026-01-31", 20, "2026-01-31 is no number", ".before_date(…)"),
        ("trait('renewal').after_date('soon')", 29, "'soon' is no date", "2026-01-31"),
        ("trait('renewal').within_next(0 days)", 1, "0 seconds are no time to be in", "a longer duration"),
        ("event('V').where(property('p') >= 'b').count() > 0", 35, "'b' is no number", "write a number"),
        ("1 < 2", 5, "two values always compare the same", ""),
        ("'a'.one_of('a', 'b')", 12, "two values always compare the same", ""),
        ("trait('vip') = 1", 16, "the audience 'vip' is true or false", "write = true or = false"),
        ("trait('vip') > 0", 16, "the audience 'vip' is no number", "write = true or = false"),
        ("trait('orders') = 'many'", 19, "a count is a whole number from 0", "write such a number"),
        ("trait('skus') = 'A1'", 17, "the computed trait 'skus' is compared as", ".contains("),
        ("NOT event('V').count() >= 0", 27, "something that can fail, inside NOT", "for none write = 0"),
        ("NOT NOT event('V').count() < 0", 30, "something that can hold: a count", ""),
        ("trait('a') = 1 OR event('V').count() < 0", 40, "something that can hold: a count", ""),
        ("event('V').within(0 seconds).count() > 0", 12, "a window of 0 seconds is empty", "a longer duration"),
        ("event('V').expires_after(0 days).count() > 0", 12, "a window of 0 seconds is empty", ""),
        ("event('V').between(7 days, 30 days).within(3 days).count() > 0", 37, "no moment in common", "wider"),
        ("event('V').within(7 days).between(30 days, 7 days).count() > 0", 27, "no moment in common", "wider"),
        ("event('V').between(1 day, 2 days).between(3 days, 4 days).count() > 0", 35, "no moment in common", ""),
        ("event('V').expires_after(1 day).between(1 day, 2 days).count() > 0", 12, "no moment in common", ""),
        (
            "event('V').within(1 day).where(event('W').between(2 days, 3 days).count() > 0).count() > 0",
            43,
            "no moment in common with those of the event around it",
            "wider",
        ),
    ],
)  # fmt: skip
def test_what_can_never_hold_is_refused_with_a_remedy(query: str, column: int, expected: str, hint: str) -> None:
    ((found_column, found_expected, found_hint),) = refusals(query)
    assert found_column == column
    assert expected in found_expected
    assert hint in found_hint


def test_the_whole_wording() -> None:
    (error,) = reviewed("event('V').count() < 0").errors[-1:]
    assert str(error) == (
        "d: line 1, column 22: found count() < 0, expected something that can hold: a count is a whole number from 0 "
        "(for none write = 0, for any write > 0)"
    )


@pytest.mark.parametrize(
    "query",
    [
        "event('V').count() = 0",
        "event('V').count() < 1",
        "event('V').count() > 0.5",
        "event('V').count() = '2'",
        "event('V').count().one_of('x', 3)",
        "event('V').sum(property('p')) < -5",
        "event('V').first(property('p')) > 3",
        "event('V').mode(property('p'), 1) = 3",
        "event('V').mode(property('p'), 1).before_date(2026-01-31)",
        "event('V').unique(property('p')) = '[\"a\",\"b\"]'",
        "event('V').unique(property('p')).contains('a')",
        "event('V').unique(property('p')).starts_with('[')",
        "trait('vip') = 'true'",
        "trait('vip').absent()",
        "trait('orders').absent()",
        "trait('plan').contains(1)",
        "trait('renewal').before_last(0 days)",
        "2026-01-31.within_last(7 days)",
        "event('V').between(0 days, 7 days).count() > 0",
        "event('V').between(7 days, 30 days).within(8 days).count() > 0",
        "event('V').expires_after(2 days).between(1 day, 3 days).count() > 0",
        "event('V').between(9 days, 10 days).where(event('W').within(1 day).count() > 0).count() > 0",
        "event('V').where(event('W').within(parent: 1 day).count() = 0).count() > 0",
    ],
)
def test_what_can_flip_is_neither_refused_nor_doubted(query: str) -> None:
    assert refusals(query) == []
    assert doubts(query) == []


@pytest.mark.parametrize(
    ("query", "column", "expected"),
    [
        ("event('V').count() >= 0", 23, "something that can fail: a count"),
        ("event('V').count().exists()", 12, "something that can fail: a count"),
        ("event('V').count() != 'x'", 23, "something that can fail: a count"),
        ("NOT event('V').count() < 0", 26, "something that can hold, inside NOT"),
    ],
)
def test_what_always_holds_is_doubted_because_it_may_be_meant(query: str, column: int, expected: str) -> None:
    assert refusals(query) == []
    ((found_column, found_expected, _),) = doubts(query)
    assert found_column == column
    assert expected in found_expected


# ── names and scopes ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("key", "meant"),
    [("order", "orders"), ("big orders", None), ("Vip", "vip"), ("plan", None), ("orders.0", "orders")],
)
def test_a_custom_trait_that_resembles_a_definition_is_doubted(key: str, meant: str | None) -> None:
    query = f"trait('{key}') = 1"
    assert refusals(query) == []
    assert [hint for _, _, hint in doubts(query)] == ([f"did you mean {meant!r}?"] if meant else [])


def test_many_custom_traits_and_many_definitions_are_not_all_compared() -> None:
    many = [Definition(f"audience_{at}", "audience", f"trait('audience{at}') = 1") for at in range(3_000)]
    found = review(many)
    assert found.errors == ()
    assert 0 < len(found.doubts) < 100, "resemblances are hints: past a limit none are looked for"


def test_a_definition_does_not_resemble_itself() -> None:
    assert review([Definition("order", "trait", "event('V').where(trait('orders').exists()).count()")]).doubts == ()


@pytest.mark.parametrize(
    ("query", "scope", "column", "expected", "hint"),
    [
        ("trait('vip') = true", "ACCOUNTS", 1, "'vip' is an audience of users", "ANY (…), ALL (…) or NONE (…)"),
        ("trait('orders') > 1", "ACCOUNTS", 1, "'orders' is a computed trait of users", "ANY (…)"),
        ("ANY (trait('big_accounts') = true)", "ACCOUNTS", 6, "is an audience of accounts", "outside of ANY"),
    ],
)
def test_scopes_do_not_mix_through_traits(query: str, scope: Scope, column: int, expected: str, hint: str) -> None:
    ((found_column, found_expected, found_hint),) = refusals(query, scope=scope)
    assert found_column == column
    assert expected in found_expected
    assert hint in found_hint


@pytest.mark.parametrize(
    "query",
    [
        "event('O').where(property('p') > trait('limit')).count() >= 1",
        "NOT event('O').where(trait('limit') = true).count() >= 1",
        "event('O').where(event('V').within(1 day).where(trait('limit') = 1).count() >= 1).count() >= 1",
        "trait('limit') = 1 AND event('O').expires_after(1 day).where(trait('limit').exists()).count() = 2",
    ],
)
def test_whoever_asks_what_an_account_was_at_any_event_there_ever_was_is_warned(query: str) -> None:
    assert refusals(query, scope="ACCOUNTS") == []
    ((column, expected, hint),) = doubts(query, scope="ACCOUNTS")
    assert column == query.rindex("trait(") + 1
    assert "users keep each such event for as long as it can count" in expected
    assert hint == "add within(…); or compare trait('limit') outside of where"
    assert doubts(query) == [], "of a user nothing more is kept"
    assert doubts(f"ANY ({query})", scope="ACCOUNTS") == [], "inside a quantifier it is the user's"
    for window in ("within(2 days)", "between(1 hour, 2 days)"):
        assert doubts(query.replace("event('O')", f"event('O').{window}"), scope="ACCOUNTS") == []


def test_a_user_may_be_asked_what_its_accounts_are() -> None:
    assert refusals("trait('big_accounts') = true") == []
    assert len(refusals("trait('big_accounts') = 1")) == 1, "it is true or false"


def test_inside_a_quantifier_trait_is_the_users() -> None:
    assert refusals("ANY (trait('vip') = true) AND trait('big_accounts') = true", scope="ACCOUNTS") == []
    ((_, expected, _),) = refusals("NONE (trait('vip') = 2)", scope="ACCOUNTS") or [(0, "", "")]
    assert expected == ""  # none of the users is what no user can be: this always holds
    assert len(refusals("ALL (trait('vip') = 2)", scope="ACCOUNTS")) == 1


@pytest.mark.parametrize(
    ("query", "scope", "column", "hint"),
    [
        ("ANY (trait('a') = 1)", "USERS", 1, "say type: ACCOUNTS, or leave ANY out"),
        ("ANY (ALL (trait('a') = 1))", "ACCOUNTS", 6, "close ANY (…) first"),
        ("event('V').where(ANY (trait('a') = 1)).count() > 0", "ACCOUNTS", 18, "put ANY around the whole chain"),
        ("property('p') = 1", "USERS", 1, "put it inside event('…').where(…)"),
        ("context('p') = 1", "USERS", 1, "put it inside event('…').where(…)"),
        ("event('V').where(property(parent: 'p') = 1).count() > 0", "USERS", 27, "leave parent: out"),
        ("event('V').within(parent: 1 day).count() > 0", "USERS", 19, "leave parent: out"),
    ],
)
def test_the_parser_refuses_what_has_no_scope_and_says_what_to_do(
    query: str, scope: Scope, column: int, hint: str
) -> None:
    ((found_column, _, found_hint),) = refusals(query, scope=scope)
    assert found_column == column
    assert hint in found_hint


def test_errors_of_the_checker_and_of_the_review_are_told_in_one_order() -> None:
    definitions = [
        Definition("a", "audience", "event('V').count() < 0"),
        Definition("b", "audience", "nonsense"),
        Definition("c", "audience", "event('V').count() = -1 OR trait('b') = true OR trait('c') = true"),
    ]
    assert [(error.key, error.column) for error in review(definitions).errors] == [
        ("a", 22),
        ("b", 1),
        ("c", 22),
        ("c", 49),
    ]
