"""The line of a definition's text that an error is about, with carets under the place."""

from __future__ import annotations

from unicodedata import category, east_asian_width

from app.definitions.tokens import word_at
from app.errors import DefinitionError

WIDTH = 100
"""Of what is shown of a line, in columns of a terminal; longer lines are shown around the place."""
_TAB = "    "
_INDENT = "    "


def excerpt(query: str, error: DefinitionError) -> str:
    """Two lines, indented: the line, and `^` under each column of the word at fault. Nothing for a place outside it."""
    lines = query.split("\n")
    if not 1 <= error.line <= len(lines):
        return ""
    line, at = lines[error.line - 1].removesuffix("\r"), error.column - 1
    before = [_shown(character) for character in line[:at]]
    # A string may go on in the next line; only this one is shown.
    word = [_shown(character) for character in word_at(query, _offset(lines, error)).partition("\n")[0]]
    after = [_shown(character) for character in line[at + len(word) :]]
    carets = "^" * max(1, min(_width(word), WIDTH // 2))
    before = _last(before, (WIDTH - len(carets)) // 2)
    shown = _first([*before, *word, *after], WIDTH)
    return f"{_INDENT}{''.join(shown)}\n{_INDENT}{' ' * _width(before)}{carets}"


def _offset(lines: list[str], error: DefinitionError) -> int:
    return sum(len(line) + 1 for line in lines[: error.line - 1]) + error.column - 1


def _shown(character: str) -> str:
    """What stands for a character on a terminal: nothing that moves the cursor."""
    if character == "\t":
        return _TAB
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _width(shown: list[str]) -> int:
    """In columns: Chinese, Japanese and Korean characters and emoji take two, accents on the one before none."""
    return sum(_columns(character) for each in shown for character in each)


def _columns(character: str) -> int:
    if category(character) in ("Mn", "Me"):
        return 0
    return 2 if east_asian_width(character) in ("W", "F") else 1


def _last(shown: list[str], width: int) -> list[str]:
    """As much of the end as fits."""
    start = len(shown)
    while start and (width := width - _width(shown[start - 1 : start])) >= 0:
        start -= 1
    return shown[start:]


def _first(shown: list[str], width: int) -> list[str]:
    end = 0
    while end < len(shown) and (width := width - _width(shown[end : end + 1])) >= 0:
        end += 1
    return shown[:end]
