"""How many events a comparison with a constant needs, and at which counts it turns."""

import pytest

from app.definitions import ast
from app.definitions.conditions import count_cap, count_marks
from app.events.values import comparator

ORDERINGS = ("equals", "differs", "greater_than", "at_least", "less_than", "at_most")
COUNT = ast.Chain("V", (), ast.Reducer("count"))


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("right", [0, 0.5, 1, 2, 2.5, 3, 4, 7, 8, 9, 31, 32, 33.0, 1_023])
def test_a_capped_count_compares_like_the_whole_one(name: str, right: float) -> None:
    cap = count_cap(ast.Comparison(COUNT, name, (ast.Literal(right),)))
    holds = comparator(name)
    assert cap > 0
    for count in range(2 * cap + 2):
        assert holds(min(count, cap), (right,)) is holds(count, (right,)), (count, cap)


@pytest.mark.parametrize(
    ("name", "right", "cap"),
    [("at_least", 1, 2), ("at_least", 4, 4), ("less_than", 4, 4), ("greater_than", 4, 8), ("at_most", 4, 8),
     ("equals", 0, 2), ("equals", 3, 4), ("differs", 4, 8), ("at_least", 5, 8)],
)  # fmt: skip
def test_no_more_is_kept_than_it_takes(name: str, right: float, cap: int) -> None:
    assert count_cap(ast.Comparison(COUNT, name, (ast.Literal(right),))) == cap


@pytest.mark.parametrize("name", ORDERINGS)
@pytest.mark.parametrize("right", [-1, -0.5, 0, 0.5, 1, 2, 2.5, 3, 4, 7.0, 2_000])
def test_a_comparison_turns_at_its_marks_and_nowhere_else(name: str, right: float) -> None:
    marks = count_marks(ast.Comparison(COUNT, name, (ast.Literal(right),)))
    holds = comparator(name)
    turns = [count for count in range(1, 2_010) if holds(count, (right,)) is not holds(count - 1, (right,))]
    assert marks == tuple(turns)


@pytest.mark.parametrize(
    "comparison",
    [
        ast.Comparison(COUNT, "at_least", (ast.Literal(1_025),)),
        ast.Comparison(COUNT, "equals", (ast.Literal("3"),)),
        ast.Comparison(COUNT, "contains", (ast.Literal(3),)),
        ast.Comparison(COUNT, "at_least", (ast.Trait("least"),)),
        ast.Comparison(ast.Literal(3), "at_most", (COUNT,)),
    ],
)
def test_other_comparisons_need_every_time(comparison: ast.Comparison) -> None:
    assert count_cap(comparison) == 0
