"""Carets stand under the word at fault, in columns of a terminal, whatever comes before it."""

from __future__ import annotations

import pytest

from app.definitions.excerpt import WIDTH, excerpt
from app.definitions.model import Definition
from app.definitions.parser import parse
from app.errors import DefinitionError


def shown(query: str) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        parse(Definition("vip", "audience", query))
    return excerpt(query, caught.value).split("\n")


@pytest.mark.parametrize(
    ("query", "line", "carets"),
    [
        ("event('V').cuont() > 0", "    event('V').cuont() > 0", "               ^^^^^"),
        ("1 > 0\n  AND\n  nonsense\nOR 2 > 1", "      nonsense", "      ^^^^^^^^"),
        ("1 > 0\r\nAND nonsense\r\nOR 2 > 1", "    AND nonsense", "        ^^^^^^^^"),
        ("1 > 0\n\tAND\tnonsense", "        AND    nonsense", "               ^^^^^^^^"),
        ("event('V').count()", "    event('V').count()", "                      ^"),
        ("event('購入').cuont() > 0", "    event('購入').cuont() > 0", "                  ^^^^^"),
        ("event('☕🛒').cuont() > 0", "    event('☕🛒').cuont() > 0", "                  ^^^^^"),
        ("event('Cafe\u0301').cuont() > 0", "    event('Cafe\u0301').cuont() > 0", "                  ^^^^^"),
        ("event('a\u0000\u2028b').cuont() > 0", "    event('a\ufffd\ufffdb').cuont() > 0", "                  ^^^^^"),
        ("trait('a') = 'open", "    trait('a') = 'open", "                 ^"),
        ("1 > 0 '購\n入'", "    1 > 0 '購", "          ^^^"),
        ("1 > 0\nAND", "    AND", "       ^"),
    ],
)
def test_the_carets_are_under_the_word(query: str, line: str, carets: str) -> None:
    assert shown(query) == [line, carets]


@pytest.mark.parametrize("name", ["V", "購", "\t", "e\u0301"])
@pytest.mark.parametrize("times", [0, 1, 20, 49, 50, 51, 80, 400])
def test_a_long_line_is_shown_around_its_place(name: str, times: int) -> None:
    line, carets = shown(f"event('{name * times}').cuont() > 0 OR {' OR '.join(['1 > 0'] * 40)}")
    assert carets.strip() == "^^^^^"
    before = carets.index("^") - 4
    columns = 0
    for at, character in enumerate(line[4:]):
        if columns == before and character == "c":
            assert line[4 + at :].startswith("cuont()")
            break
        columns += {"購": 2, "\u0301": 0}.get(character, 1)
    else:
        pytest.fail(f"nothing stands above the carets:\n{line}\n{carets}")
    assert columns <= WIDTH


def test_a_place_outside_the_text_shows_nothing() -> None:
    assert excerpt("1 > 0", DefinitionError("vip", line=2, column=1, found="", expected="")) == ""
