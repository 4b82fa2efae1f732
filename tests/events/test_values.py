"""Values agree with the oracle over odd ones, and the examples that people will ask about are written down.

`HEADWATER_EXAMPLES=20000` looks longer.
"""

from __future__ import annotations

import os
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.events.values import (
    EXACT,
    Json,
    as_decimal,
    compact_json,
    comparator,
    comparator_with,
    date_breakpoints,
    date_comparator,
    equality_key,
    exact,
    has_each,
    instant,
    number,
    path_steps,
    plain_number,
    rounded,
    same,
    text,
    value_at,
    values_at,
)
from tests.oracle import values as oracle
from tests.oracle.language import COMPARATORS, DATE_COMPARATORS
from tests.oracle.scenario_words import ODD_VALUES

many = settings(max_examples=int(os.environ.get("HEADWATER_EXAMPLES", "400")), deadline=None)

# ── odd values ────────────────────────────────────────────────────────────────────────────────────────────────────

EDGES: tuple[Json, ...] = (
    *ODD_VALUES,
    *(sign * (2**53 + near) for sign in (1, -1) for near in (-1, 0, 1, 2)),
    *(float(2**53), float(2**53 + 2), 1e15, 1e16, 123456789012345680.0, 10**16, 10**16 - 1, 10**22, 1e22, 10**23, 1e23),
    *(0.1, "0.1", 0.30000000000000004, "0.3", 1e-7, "1e-7", "0.0000001", 5e-324, 1.7976931348623157e308, -0.0, "-0"),
    *(10**400, 10**401 - 1, 10**401, -(10**401), "1e400", "1e401", "1E-400", "1e-401", "0e401", "10e400", "0.1e401"),
    *("1e05", "1e+05", "+1", "1.", ".5", "1_0", "0x1", " 1", "1\n", "１", "1e", "--1", "Infinity", "inf", "NaN", "1,5"),
    *("9007199254740993", "9007199254740992.0", "9007199254740993.0000000000000000000001", "0" * 30 + "7"),
    *("2026-01-31T10", "2026-01-31T10:00", "2026-01-31T10:00:00.+01Z", "2026-01-31T10:00:00.1234567", "20260131"),
    *("2026-01-31t10:00z", "2026-01-31 10:00", "2026-01-31T24:00:00.000Z", "2026-01-31T23:59:60.000Z", "2026-W05-6"),
    *("0000-01-01", "0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999-23:59"),
    *("２026-01-31", "2026-01-31T10:00:00.12３Z", "2026-01-31T1٠:00:00.123Z", "2026-01-31T10:00:00,123Z"),
)  # fmt: skip

digits = st.text("0123456789", min_size=1, max_size=20)
number_texts = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["", "", "-", "+"]),
        digits,
        st.one_of(st.just(""), digits.map(".{}".format)),
        st.one_of(
            st.just(""),
            st.builds("{}{}{}".format, st.sampled_from("eE"), st.sampled_from(["", "+", "-"]), st.integers(0, 420)),
        ),
        st.sampled_from(["", "", "", "", "\n", " ", "٣", "_"]),
    ),
)
two_digits = st.one_of(st.integers(0, 61).map("{:02}".format), st.sampled_from(["7", "٠١", "-1", "1_", " 1"]))
zones = st.one_of(
    st.sampled_from(["Z", "Z", "Z", "", "z"]),
    st.builds("{}{}{}".format, st.sampled_from("+-"), two_digits, st.sampled_from(["", "00", ":30", ":60", ":3"])),
)
dates = st.builds(
    "{:04}-{}-{}{}".format,
    st.one_of(st.integers(0, 9999), st.integers(1969, 2030)),
    st.one_of(st.integers(0, 13).map("{:02}".format), two_digits),
    st.one_of(st.integers(0, 32).map("{:02}".format), two_digits),
    st.one_of(
        st.just(""),
        st.builds("T{}:{}{}".format, two_digits, two_digits, zones),
        st.builds("T{}:{}:{}{}".format, two_digits, two_digits, two_digits, zones),
        st.builds(
            "T{:02}:{:02}:{:02}.{}{}".format,
            *(st.integers(0, 24), st.integers(0, 60), st.integers(0, 60), st.text("0123456789", max_size=5), zones),
        ),
        st.builds("T{:02}:{:02}:{:02}.{:03}Z".format, *map(st.integers, (0,) * 4, (23, 59, 59, 999))),
    ),
)
scalars: st.SearchStrategy[Json] = st.one_of(
    st.sampled_from(EDGES),
    st.none(),
    st.booleans(),
    st.integers(-20, 20),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-200, 200).map(lambda quarters: quarters / 4),
    number_texts,
    dates,
    st.text(st.sampled_from("ab1 .\\\"'é\u2028\u0000😀A"), max_size=4),
)
jsons: st.SearchStrategy[Json] = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(["a", "b", "a.b", "$", "é\n"]), inner, max_size=3)
    ),
    max_leaves=6,
)
# Two values that have something to do with each other: most pairs of random ones only ever differ.
respelled = st.builds(lambda value, which: (value, _spellings(value)[which % 8]), scalars, st.integers(0, 7))
pairs = st.one_of(st.tuples(jsons, jsons), respelled, respelled.map(lambda pair: pair[::-1]))


def _spellings(value: Json) -> list[Json]:
    """Eight values that have something to do with this one."""
    plain = oracle.number(value)
    same_number: list[Json] = [str(value)] * 4
    if plain is not None:
        as_float = float(plain)
        same_number = [str(plain), f"{plain:e}", int(plain), as_float if abs(as_float) < float("inf") else "1e400"]
    return [value, oracle.text(value), [value], oracle.compact_json(value), *same_number]


# ── agreement with the oracle ─────────────────────────────────────────────────────────────────────────────────────


@many
@given(jsons)
def test_text_number_and_instant_are_the_oracles(value: Json) -> None:
    assert text(value) == oracle.text(value)
    assert compact_json(value) == oracle.compact_json(value)
    assert instant(value) == oracle.instant(value)
    expected = oracle.number(value)
    found = number(value)
    assert (found is None) == (expected is None)
    assert exact(value) == expected
    if found is not None and expected is not None:
        assert as_decimal(found) == expected
        assert repr(plain_number(as_decimal(found))) == repr(oracle.plain_number(expected))


@many
@given(st.one_of(dates, st.sampled_from([edge for edge in EDGES if isinstance(edge, str)])))
def test_dates_are_the_oracles(value: str) -> None:
    assert instant(value) == oracle.instant(value)


@many
@given(pairs)
def test_comparisons_are_the_oracles(pair: tuple[Json, Json]) -> None:
    left, right = pair
    for name, how_many in COMPARATORS.items():
        arguments = [] if how_many == 0 else [right]
        assert comparator(name)(left, arguments) is oracle.holds(name, left, arguments), name
        assert comparator_with(name, arguments)(left) is oracle.holds(name, left, arguments), name
    assert same(left, right) is oracle.same(left, right)


@many
@given(pairs)
def test_what_is_equal_has_one_key(pair: tuple[Json, Json]) -> None:
    left, right = pair
    assert not comparator("equals")(left, (right,)) or equality_key(left) == equality_key(right) is not None


def test_edges_that_are_equal_have_one_key() -> None:
    equals = comparator("equals")
    found = [(left, right) for left in EDGES for right in EDGES if equals(left, (right,))]
    assert len(found) > len(EDGES) // 2, "some spell the same number"
    for left, right in found:
        assert equality_key(left) == equality_key(right) is not None
        assert hash(equality_key(left)) == hash(equality_key(right))
    assert equality_key(None) is None


def test_comparisons_of_all_edges_with_each_other_are_the_oracles() -> None:
    for name in COMPARATORS:
        holds = comparator(name)
        for left in EDGES:
            for right in EDGES:
                expected = oracle.holds(name, left, (right,))
                assert holds(left, (right,)) is expected, (left, name, right)
                assert comparator_with(name, (right,))(left) is expected, (left, name, right)


@many
@given(scalars, st.lists(scalars, min_size=1, max_size=4), st.sampled_from(["one_of", "none_of", "contains", "omits"]))
def test_comparisons_with_several_are_the_oracles(left: Json, arguments: list[Json], name: str) -> None:
    for each in (left, arguments[-1]):
        assert comparator(name)(each, arguments) is oracle.holds(name, each, arguments)
        assert comparator_with(name, arguments)(each) is oracle.holds(name, each, arguments)


@many
@given(st.one_of(dates, scalars), st.integers(0, 4 * oracle.DAY_MS), st.integers(-3, 3))
def test_date_comparisons_and_their_breakpoints_are_the_oracles(value: Json, duration_ms: int, near: int) -> None:
    at_ms = oracle.instant(value) or 0
    for name in DATE_COMPARATORS:
        for around in (-duration_ms, 0, duration_ms):
            now_ms = at_ms + around + near
            expected = oracle.holds_at(name, value, duration_ms, now_ms)
            assert date_comparator(name)(value, duration_ms, now_ms) is expected, name


@pytest.mark.parametrize("name", DATE_COMPARATORS)
@pytest.mark.parametrize("duration_ms", [0, 1, 2, 7])
def test_breakpoints_are_exactly_where_the_answer_flips(name: str, duration_ms: int) -> None:
    value = "2026-01-31T10:00:00.123Z"
    at_ms = oracle.instant(value)
    assert at_ms is not None
    span = range(at_ms - 30, at_ms + 30)
    answers = {now_ms: oracle.holds_at(name, value, duration_ms, now_ms) for now_ms in span}
    flips = [now_ms for now_ms in span[1:] if answers[now_ms] != answers[now_ms - 1]]
    assert list(date_breakpoints(name, value, duration_ms)) == flips
    assert date_breakpoints(name, "soon", duration_ms) == ()


steps = st.sampled_from(["a", "b", "$", "a\\.b", "é\n", "", "\\"])


@many
@given(jsons, st.lists(steps, min_size=1, max_size=4).map(".".join))
def test_paths_are_the_oracles(root: Json, path: str) -> None:
    assert list(path_steps(path)) == oracle.path_steps(path)
    assert values_at(root, path_steps(path)) == oracle.values_at(root, path)
    assert has_each(path_steps(path)) is oracle.has_each(path)
    if not has_each(path_steps(path)):
        assert [value_at(root, path_steps(path))] == oracle.values_at(root, path)


@many
@given(st.text(st.sampled_from("ab.\\$"), max_size=8))
def test_odd_paths_split_as_the_oracles(path: str) -> None:
    assert list(path_steps(path)) == oracle.path_steps(path)


@many
@given(st.lists(scalars, max_size=6), st.integers(1, 7))
def test_sums_are_exact_in_any_order(values: list[Json], count: int) -> None:
    terms = [term for value in values if (term := exact(value)) is not None]
    there, back = Decimal(), Decimal()
    for term in terms:
        there = EXACT.add(there, term)
    for term in reversed(terms):
        back = EXACT.add(back, term)
    assert there == back
    assert repr(rounded(there)) == repr(oracle.rounded(Fraction(there)))
    assert repr(rounded(there, count)) == repr(oracle.rounded(Fraction(there) / count))


# ── examples ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("left", "name", "right", "holds"),
    [
        (40, "equals", "40", True),
        (40, "equals", "4e1", True),
        ("40", "equals", "4e1", False),  # no side is a number: the texts differ
        (1, "equals", True, False),
        (True, "equals", "true", True),
        (0.1, "equals", "0.1000000000000000055511151231257827", False),  # what the float holds, not what it spells
        (10**23, "equals", 1e23, True),  # as floats they are two numbers
        (2**53 + 1, "greater_than", float(2**53), True),
        (1e308, "less_than", "1e309", True),
        ("10", "greater_than", "9", True),
        (True, "at_least", 0, False),
        ([1, "a"], "equals", '[1,"a"]', True),
        (None, "equals", None, False),
        (None, "differs", 1, False),
        (None, "omits", "a", True),
        ("a", "omits", None, True),
        ("2026-01-31", "before_date", "2026-01-31T00:00:00.001Z", True),
        ("2026-01-31T01:00+02:00", "before_date", "2026-01-31", True),
    ],
)
def test_comparisons_by_example(left: Json, name: str, right: Json, holds: bool) -> None:
    assert comparator(name)(left, (right,)) is holds


def test_every_comparator_exists_and_others_do_not() -> None:
    assert len(COMPARATORS) == 16
    for unknown in ("like", ""):
        with pytest.raises(KeyError):
            comparator(unknown)
        with pytest.raises(KeyError):
            date_comparator(unknown)
    with pytest.raises(KeyError):
        date_breakpoints("equals", "2026-01-31", 1)


def test_absurd_exponents_and_integers_are_no_numbers_and_raise_nothing() -> None:
    for absurd in ("1e" + "9" * 30, "1e-" + "9" * 30, "0e" + "9" * 30, "1e999999999999999999", 10**5_000, "9" * 5_000):
        assert number(absurd) is None
        assert comparator("at_least")(absurd, (1,)) is False
    assert text(10**5_000) == "1" + "0" * 5_000
    assert number("1e" + "0" * 30 + "5") == 100_000


def test_results_are_plain_numbers_of_twelve_digits() -> None:
    assert repr(rounded(Decimal("30.0"))) == "30"
    assert repr(rounded(Decimal("0.1") * 3)) == "0.3"
    assert repr(rounded(Decimal(10), 3)) == "3.33333333333"
    assert repr(rounded(Decimal("1000000000005"), 10)) == "100000000000"  # a tie goes to the even digit
    assert repr(rounded(Decimal("1e16"))) == "1e+16"
    assert same(1, 1.0)
    assert not same(1, "1")
    assert not same(1, True)
    assert not same("1", True)
    assert same({"a": [1]}, {"a": [1.0]})


def test_json_nested_as_deep_as_an_event_may_be_has_a_text() -> None:
    deep: Json = 1
    for _ in range(200):
        deep = [{"a": deep}] if isinstance(deep, int) else [deep]
    assert text(deep).startswith("[" * 200)
