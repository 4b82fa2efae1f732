"""A place inside a value is a place in the file, however the value is written."""

from pathlib import Path

import pytest

from app.settings import read

STYLES = [
    ("query: event('x') >> 3", (1, 12), (3, 23)),
    ("query: \"event('x') >> 3\"", (1, 12), (3, 24)),
    ("query: 'event(''x'') >> 3'", (1, 12), (3, 26)),
    ('query: "event(\\"x\\") >> 3"', (1, 12), (3, 26)),
    ("query: \"\\u0065vent('x') >> 3\"", (1, 12), (3, 29)),
    ("query: |\n      event('x')\n        .foo()\n", (2, 4), (5, 10)),
    ("query: |-\n\n      event('x')\n        .foo()\n", (3, 3), (6, 9)),
    ("query: >\n      event('x')\n      .foo()\n", (1, 13), (5, 8)),
    ("query: event('x')\n      .foo()\n", (1, 13), (4, 8)),
    ("query: 'event(''x'')\n\n      .foo()'\n", (2, 2), (5, 8)),
    ("query: \"event('x')\\\n      .foo()\"\n", (1, 12), (4, 8)),
    ("query: event('x')", (1, 11), (3, 22)),
]


@pytest.mark.parametrize(("written", "inside", "expected"), STYLES)
def test_place_within(tmp_path: Path, written: str, inside: tuple[int, int], expected: tuple[int, int]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"audiences:\n  - key: a\n    {written}\n")
    draft = read(path, {})
    assert draft.loaded is not None
    assert not draft.faults
    place = draft.loaded.positions.within(("audiences", 0, "query"), *inside)
    assert (place.line, place.column) == expected


def test_a_place_past_the_value_is_the_values_own(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("audiences:\n  - {key: a, query: abc}\n")
    draft = read(path, {})
    assert draft.loaded is not None
    place = draft.loaded.positions.within(("audiences", 0, "query"), 9, 9)
    assert (place.line, place.column) == (2, 21)
