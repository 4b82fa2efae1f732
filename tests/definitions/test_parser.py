"""What the parser accepts, refuses and says; that it reads the oracle's language is in tests/properties."""

from __future__ import annotations

import pytest

from app.definitions.ast import (
    DAY_MS,
    SECOND_MS,
    And,
    Between,
    Body,
    Chain,
    Comparison,
    Context,
    DateComparison,
    ExpiresAfter,
    Literal,
    Not,
    Or,
    Place,
    Property,
    Quantified,
    Reducer,
    Sources,
    Trait,
    Where,
    Within,
)
from app.definitions.model import Definition, Kind, Scope
from app.definitions.parser import parse, to_text
from app.errors import DefinitionError

COUNT = Reducer("count")


def parsed(query: str, kind: Kind = "audience", scope: Scope = "USERS") -> Body:
    return parse(Definition("vip", kind, query, scope))


def refused(query: str, kind: Kind = "audience", scope: Scope = "USERS") -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        parsed(query, kind, scope)
    return caught.value


def viewed(*filters: Where | Within | Between | ExpiresAfter | Sources, reducer: Reducer = COUNT) -> Chain:
    return Chain("Viewed", filters, reducer)


# ── trees ─────────────────────────────────────────────────────────────────────────────────────────────────────────

PRICE = Comparison(Property("price"), "at_least", (Literal(100),))


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("event('Viewed').count() >= 1", Comparison(viewed(), "at_least", (Literal(1),))),
        ('EVENT("Viewed").Count() == 1', Comparison(viewed(), "equals", (Literal(1),))),
        ("trait('plan') != 'pro'", Comparison(Trait("plan"), "differs", (Literal("pro"),))),
        (
            "trait('a').one_of(1, 1.5, true)",
            Comparison(Trait("a"), "one_of", (Literal(1), Literal(1.5), Literal(True))),
        ),
        ("literal(-2) < 1e3", Comparison(Literal(-2), "less_than", (Literal(1000.0),))),
        ("trait('d').before_date(2026-01-31)", Comparison(Trait("d"), "before_date", (Literal("2026-01-31", True),))),
        ("trait('d').within_last(1 week)", DateComparison(Trait("d"), "within_last", 7 * DAY_MS)),
        ("trait('it\\'s \\\\ a\\.b').exists()", Comparison(Trait("it's \\ a\\.b"), "exists", ())),
        (
            "event('Viewed').where(property('price') >= 100).within(90 Seconds).count() >= 1",
            Comparison(viewed(Where(PRICE), Within(90 * SECOND_MS)), "at_least", (Literal(1),)),
        ),
        (
            "trait('a').absent() OR NOT trait('b').absent() AND trait('c').absent()",
            Or(
                (
                    Comparison(Trait("a"), "absent", ()),
                    And((Not(Comparison(Trait("b"), "absent", ())), Comparison(Trait("c"), "absent", ()))),
                )
            ),
        ),
    ],
)
def test_audiences(query: str, tree: Body) -> None:
    assert repr(parsed(query)) == repr(tree)  # to Python 1, 1.0 and True are equal


@pytest.mark.parametrize(
    ("query", "tree"),
    [
        ("event('Viewed').between(3 days, 1 day).count()", viewed(Between(DAY_MS, 3 * DAY_MS))),
        ("event('Viewed').expires_after(30 minutes).count()", viewed(ExpiresAfter(1_800 * SECOND_MS))),
        ("event('Viewed').sources(exclude: {'a', \"b\"}).count()", viewed(Sources(("a", "b")))),
        ("event('Viewed').sum(property('p'))", viewed(reducer=Reducer("sum", "p"))),
        ("event('Viewed').max(property('p') AS String)", viewed(reducer=Reducer("max", "p", "string"))),
        ("event('Viewed').mode(property('p') as array, 2)", viewed(reducer=Reducer("mode", "p", "array", 2))),
        ("event('Viewed').unique(property('p')).count()", viewed(reducer=Reducer("unique_count", "p"))),
        (
            """event('Viewed').where(
                event('Viewed').within(parent: 1 day)
                    .where(property('a') = property(parent: 'b') AND context('c').exists()).count() > 0
            ).count()""",
            viewed(
                Where(
                    Comparison(
                        viewed(
                            Within(DAY_MS, of_parent=True),
                            Where(
                                And(
                                    (
                                        Comparison(Property("a"), "equals", (Property("b", of_parent=True),)),
                                        Comparison(Context("c"), "exists", ()),
                                    )
                                )
                            ),
                        ),
                        "greater_than",
                        (Literal(0),),
                    )
                )
            ),
        ),
    ],
)
def test_traits(query: str, tree: Body) -> None:
    assert repr(parsed(query, "trait")) == repr(tree)


def test_quantifiers_in_definitions_of_accounts() -> None:
    absent = Comparison(Trait("a"), "absent", ())
    assert parsed("all NOT trait('a').absent()", scope="ACCOUNTS") == Quantified("ALL", Not(absent))
    assert "only for definitions of type ACCOUNTS" in str(refused("ANY (trait('a').absent())"))
    assert "because ANY is open already" in str(refused("ANY (NONE (trait('a').absent()))", scope="ACCOUNTS"))
    inside = "event('Viewed').where(ANY (property('a').absent())).count() > 0"
    assert "cannot stand inside where" in str(refused(inside, scope="ACCOUNTS"))


def test_nodes_know_their_places_and_are_equal_without_them() -> None:
    tree = parsed("trait('a').absent()\n  AND NOT event('Viewed')\n.where(property('p') > 1).count() >= 2")
    assert isinstance(tree, And)
    negation = tree.conditions[1]
    assert isinstance(negation, Not)
    assert negation.at == Place(2, 7)
    comparison = negation.condition
    assert isinstance(comparison, Comparison)
    chain = comparison.left
    assert isinstance(chain, Chain)
    assert (chain.at, chain.filters[0].at, chain.reducer.at) == (Place(2, 11), Place(3, 2), Place(3, 27))
    assert tree == parsed("trait('a').absent() AND NOT event('Viewed').where(property('p') > 1).count() >= 2")


# ── canonical text ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ('event("Viewed").within(14 DAYS).count().at_least(1.50)', "event('Viewed').within(2 weeks).count() >= 1.5"),
        ("trait('a') == literal(TRUE)", "trait('a') = true"),
        ("trait('a\\.b').one_of('it\\'s', 2026-01-31)", "trait('a\\\\.b').one_of('it\\'s', 2026-01-31)"),
        ("(NOT ((trait('a').absent())))", "NOT trait('a').absent()"),
        ("NOT (1 > 0 AND (1 > 0 OR 2 > 0))", "NOT (1 > 0 AND (1 > 0 OR 2 > 0))"),
        ("trait('d').after_next(0 hours)", "trait('d').after_next(0 seconds)"),
        ("event('V').between(1 hour, 86400 seconds).count()>0", "event('V').between(1 hour, 1 day).count() > 0"),
    ],
)
def test_equal_trees_have_one_text(query: str, text: str) -> None:
    assert to_text(parsed(query)) == text
    assert parsed(text) == parsed(query)


def test_texts_tell_apart_values_that_python_takes_for_equal() -> None:
    assert Literal(1) == Literal(True)
    assert len({to_text(Literal(value)) for value in (1, True, "1", "true")}) == 4


# ── refusals ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "line", "column", "found", "expected"),
    [
        ("", 1, 1, "the end of the definition", "event(...), trait(...), a value"),
        ("event('V').count() >> 1", 1, 21, "'>'", "a value"),
        ("event('V').count()", 1, 19, "the end of the definition", "an operator"),
        ("event('V') >= 1", 1, 12, "'>='", "'.' and a filter or a reducer"),
        ("trait('a')\n  = 'open", 2, 5, "a string that is not closed", "a closing '"),
        ("trait('a') = 1 trait('b') = 2", 1, 16, "'trait'", "AND, OR or the end"),
        ("property('p') = 1", 1, 1, "'property'", "property is only for where and reducers"),
        ("context('p') = 1", 1, 1, "'context'", "context is only for where"),
        ("event('V').where(property(parent: 'p') = 1).count() > 0", 1, 27, "'parent'", "needs a funnel"),
        ("event('V').within(parent: 1 day).count() > 0", 1, 19, "'parent'", "needs a funnel"),
        ("event('V').within(3661 days).count() > 0", 1, 19, "'3661'", "at most 3,660 days"),
        ("trait('d').within_last(523 weeks)", 1, 24, "'523'", "at most 3,660 days"),
        ("event('V').within(1.5 days).count() > 0", 1, 19, "'1.5'", "a duration such as 7 days"),
        ("event('V').between(1 day, 24 hours).count() > 0", 1, 27, "'24'", "differs from the first"),
        ("event('V').mode(property('p'), 0) = 1", 1, 32, "'0'", "a whole number from 1"),
        ("trait('a').omits('x', 'y')", 1, 21, "','", "omits takes one argument"),
        ("trait('a').exists(1)", 1, 19, "'1'", "')'"),
        ("trait('d') = 2026-02-30", 1, 14, "'2026-02-30'", "a date that exists"),
        ("1e999 = 1", 1, 1, "'1e999'", "64-bit float"),
        ("event('V').within(" + "9" * 5_000 + " days).count() > 0", 1, 19, "'" + "9" * 40 + "…'", "a duration"),
    ],
)
def test_refusals_name_the_place_what_was_found_and_what_was_expected(
    query: str, line: int, column: int, found: str, expected: str
) -> None:
    error = refused(query)
    assert (error.key, error.line, error.column, error.found) == ("vip", line, column, found)
    assert expected in error.expected


def test_a_trait_is_a_chain_and_nothing_more() -> None:
    assert refused("trait('a') = 1", "trait").column == 1
    assert "a trait ends in its reducer" in str(refused("event('V').count() > 1", "trait"))


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("trait('a').contians('x')", "did you mean 'contains'?"),
        ("trait('a').starts_wiht('x')", "did you mean 'starts_with'?"),
        ("trait('d').within_lst(1 day)", "did you mean 'within_last'?"),
        ("evnt('V').count() > 0", "did you mean 'event'?"),
        ("event('V').wher(property('p') > 1).count() > 0", "did you mean 'where'?"),
        ("event('V').cuont() > 0", "did you mean 'count'?"),
        ("event('V').sum(proprety('p')) > 0", "did you mean 'property'?"),
        ("event('V').max(property('p') as nmber) > 0", "did you mean 'number'?"),
        ("event('V').within(7 dasy).count() > 0", "did you mean 'days'?"),
        ("event('V').sources(excludes: {'a'}).count() > 0", "did you mean 'exclude'?"),
        ("1 > 0 adn 2 > 0", "did you mean 'AND'?"),
        ("1 > 0 && 2 > 0", "write AND"),
        ("1 > 0 | 2 > 0", "write OR"),
        ("event(‘V’).count() > 0", "strings take ' or \""),
        ("event(Viewed).count() > 0", "write 'Viewed'"),
        ("event('V').xyzzy() > 0", ""),
    ],
)
def test_refusals_hint_at_what_was_meant(query: str, hint: str) -> None:
    assert refused(query).hint == hint


# ── limits ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_fifty_primary_expressions_are_the_limit_wherever_they_stand() -> None:
    assert isinstance(parsed(" AND ".join(["1 > 0"] * 50)), And)
    error = refused(" AND ".join(["1 > 0"] * 51))
    assert (error.column, error.expected) == (
        1 + 50 * len("1 > 0 AND "),
        "at most 50 primary expressions in one definition",
    )
    inside = " OR ".join(["property('p') > 0"] * 49)
    assert isinstance(parsed(f"event('V').where({inside}).count() > 0"), Comparison)
    assert isinstance(parsed(f"event('V').where({inside}).count()", "trait"), Chain)
    assert "50 primary" in str(refused(f"event('V').where({inside} OR 1 > 0).count() > 0"))
    assert "50 primary" in str(refused(f"event('V').where({inside} OR 1 > 0).count()", "trait"))


def test_events_are_nested_three_deep() -> None:
    def nested(deep: int) -> str:
        return f"event('V').where({nested(deep - 1)}).count() > 0" if deep else "1 > 0"

    assert isinstance(parsed(nested(3)), Comparison)
    assert "nested at most 3 deep" in refused(nested(4)).expected


def test_sane_nesting_is_accepted_to_the_last_primary_expression() -> None:
    query = "1 > 0"
    for at in range(49):
        query = f"NOT (1 > 0 {('AND', 'OR')[at % 2]} {query})"
    tree = parsed(query)
    assert parsed(to_text(tree)) == tree


@pytest.mark.parametrize(
    "query",
    [
        "(" * 60_000,
        "(" * 101 + "1 > 0" + ")" * 101,
        "NOT " * 15_000 + "1 > 0",
        "ANY (" * 10_000,
        "event('V').where(" * 3_000,
        "event('V').where(" + "(" * 50_000,
        "1 > literal(" * 5_000,
        "1.one_of(" * 5_000,
        "{" * 60_000,
    ],
)
def test_absurd_nesting_is_refused(query: str) -> None:
    assert refused(query, scope="ACCOUNTS").column >= 1


def test_a_hundred_parentheses_are_still_read() -> None:
    tree = parsed("(" * 50 + "NOT " * 50 + "1 > 0" + ")" * 50)
    assert repr(parsed(to_text(tree))) == repr(tree)
    error = refused("(" * 50 + "NOT " * 51 + "1 > 0" + ")" * 50)
    assert (error.column, error.found) == (50 + 50 * 4 + 1, "'NOT'")


def test_a_text_of_more_than_64_kib_is_refused_unread() -> None:
    query = "1 > 0" + " " * (64 * 1024 - 5)
    assert isinstance(parsed(query), Comparison)
    assert "at most 65,536" in str(refused(query + " "))
    assert "at most 65,536" in str(refused("é" * 40_000))


def test_odd_characters_raise_nothing_else() -> None:
    for character in map(chr, [*range(256), 0x2028, 0xD800, 0x1F600, 0x661]):
        if not ("0" <= character <= "9"):
            refused(f"trait('a') = {character}")
        assert parsed(f"trait('{character}') = 1" if character not in "'\\" else "trait('x') = 1")
