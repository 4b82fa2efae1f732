"""A definition's text as words and marks with their places, and a cursor that steps over them and words the errors."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, NoReturn

from app.definitions.ast import Place
from app.errors import DefinitionError

TEXT_BYTES_MAX = 64 * 1024
"""A longer text is refused before it is read: 50 primary expressions are far shorter."""

_SHOWN_MAX = 40

TokenKind = Literal["name", "string", "number", "date", "mark", "end"]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
    | (?P<date>\d{4}-\d\d-\d\d (?: T\d\d:\d\d (?: :\d\d (?: \.\d+ )? )? (?: Z | [+-]\d\d (?: :?\d\d )? )? )? ) (?!\w)
    | (?P<number>-?\d+ (?: \.\d+ )? (?: [eE][+-]?\d+ )?)
    | (?P<name>[A-Za-z_]\w*)
    | (?P<string>' (?: \\. | [^'\\] )* ' | " (?: \\. | [^"\\] )* ")
    | (?P<mark>[=!<>]= | [=<>(){}.,:])
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_ESCAPED = re.compile(r"\\(['\"\\])")
_NOT_OURS = {"&": "write AND", "|": "write OR", "!": "write NOT", ";": "a definition is one expression"}
_NOT_OURS |= dict.fromkeys("‘’“”«»`´", "strings take ' or \"")
_FOREIGN = {
    "in": "write .one_of(…)",
    "like": "write .contains(…)",
    "is": "write =, .exists() or .absent()",
    "null": "write .exists() or .absent()",
    "month": "write 30 days",
    "months": "write days, 30 for a month",
    "year": "write 365 days",
    "years": "write days, 365 for a year",
    "entity": "entities of linked audiences are not known here; write event(…) or trait(…)",
}
"""Words of other languages, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Token:
    kind: TokenKind
    text: str
    """As written."""
    at: Place

    @property
    def word(self) -> str:
        """What the grammar knows it by: a keyword in lower case or a mark; nothing for values and the end."""
        return self.text.lower() if self.kind in ("name", "mark") else ""

    @property
    def shown(self) -> str:
        if self.kind == "end":
            return "the end of the definition"
        text = self.text if len(self.text) <= _SHOWN_MAX else self.text[:_SHOWN_MAX] + "…"
        return text if self.kind == "string" else f"'{text}'"

    @property
    def unquoted(self) -> str:
        """A string's value. A backslash that escapes no quote and no backslash stays, as paths need it in `a\\.b`."""
        return _ESCAPED.sub(r"\1", self.text[1:-1])


def tokenize(text: str, *, key: str) -> list[Token]:
    """The tokens of a definition's text; the last one is its end.

    Raises:
        DefinitionError: at the first character that can begin no token, or when the text is too long.
    """
    size_bytes = len(text.encode("utf-8", "surrogatepass"))
    if size_bytes > TEXT_BYTES_MAX:
        raise DefinitionError(
            key, line=1, column=1, found=f"{size_bytes:,} bytes of text", expected=f"at most {TEXT_BYTES_MAX:,}"
        )
    tokens: list[Token] = []
    line, line_start, at = 1, 0, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise _unknown(text[at], Place(line, at - line_start + 1), key)
        word = match.group()
        if match.lastgroup != "space":
            tokens.append(Token(_kind(match.lastgroup), word, Place(line, at - line_start + 1)))
        if "\n" in word:
            line += word.count("\n")
            line_start = at + word.rindex("\n") + 1
        at = match.end()
    return [*tokens, Token("end", "", Place(line, at - line_start + 1))]


def word_at(text: str, at: int) -> str:
    """The token that begins at an index of a definition's text; nothing where none does."""
    match = _TOKEN.match(text, at)
    return match.group() if match is not None and match.lastgroup != "space" else ""


def _kind(group: str | None) -> TokenKind:
    match group:
        case "name" | "string" | "number" | "date" | "mark":
            return group
    raise AssertionError(group)


def _unknown(character: str, at: Place, key: str) -> DefinitionError:
    quote = character in "'\""
    return DefinitionError(
        key,
        line=at.line,
        column=at.column,
        found="a string that is not closed" if quote else repr(character),
        expected=f"a closing {character}" if quote else "a name, a value or punctuation",
        hint=_NOT_OURS.get(character, ""),
    )


class Cursor:
    """A place among the tokens of one definition."""

    def __init__(self, text: str, *, key: str) -> None:
        self._key = key
        self._tokens = tokenize(text, key=key)
        self._index = 0

    @property
    def next(self) -> Token:
        return self._tokens[self._index]

    @property
    def after_next(self) -> Token:
        """Never asked for at the end."""
        return self._tokens[self._index + 1]

    def take(self) -> Token:
        token = self.next
        self._index += 1
        return token

    def accept(self, word: str) -> bool:
        """Step over a keyword or a mark, if it is next."""
        if self.next.word != word:
            return False
        self._index += 1
        return True

    def expect(self, word: str) -> None:
        if not self.accept(word):
            self.fail(f"'{word}'", near=[word])

    def string(self, what: str) -> str:
        """The value of the string that has to be next."""
        token = self.next
        if token.kind != "string":
            self.fail(f"{what} in quotes", hint=f"write '{token.text}'" if token.kind == "name" else "")
        return self.take().unquoted

    def in_parentheses(self, what: str) -> str:
        """The value of a string in parentheses."""
        self.expect("(")
        value = self.string(what)
        self.expect(")")
        return value

    def fail(self, expected: str, *, token: Token | None = None, near: Iterable[str] = (), hint: str = "") -> NoReturn:
        """Refuse the definition at the next token, or at the given one.

        Args:
            near: Words that could stand there; the one that is nearly what was found becomes the hint.
        """
        found = token or self.next
        if not hint and token is None:
            hint = self._near(found, near)
        raise DefinitionError(
            self._key, line=found.at.line, column=found.at.column, found=found.shown, expected=expected, hint=hint
        )

    def _near(self, found: Token, near: Iterable[str]) -> str:
        if found.word == ">" and self._index and self._tokens[self._index - 1].word == "<":
            return "write !="
        if found.kind != "name":
            return ""
        if found.word in _FOREIGN:
            return _FOREIGN[found.word]
        known = {word.lower(): word for word in near}
        close = get_close_matches(found.word, known, n=1)
        return f"did you mean {known[close[0]]!r}?" if close else ""
