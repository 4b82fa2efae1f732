"""Text → chain: `event("name") { "." filter } "." reducer`, with everything that stands in one."""

from __future__ import annotations

from collections.abc import Callable

from app.definitions.ast import (
    Between,
    Chain,
    Condition,
    ExpiresAfter,
    Filter,
    Reducer,
    Sources,
    Where,
    Within,
)
from app.definitions.durations import duration, whole_number
from app.definitions.tokens import Cursor, Token
from app.definitions.words import COMPARATORS, FILTERS, NESTING_MAX, OPERATORS, REDUCER_TYPES, REDUCERS

NO_PARENT = "leave parent: out, or put this event into the where of the one it comes after"


class ChainParser:
    """Reads chains; what stands inside `where` is the caller's to read."""

    def __init__(self, cursor: Cursor, condition: Callable[[], Condition]) -> None:
        self._cursor = cursor
        self._condition = condition
        self.wheres = 0
        """How many `where` are open around this place; 0 means that there is no event to look at."""

    # chain = event("name") { "." filter } "." reducer

    def chain(self) -> Chain:
        cursor = self._cursor
        if self.wheres == NESTING_MAX:
            cursor.fail(f"a value; events are nested at most {NESTING_MAX} deep")
        at = cursor.take().at
        event = cursor.in_parentheses("the name of an event")
        filters: list[Filter] = []
        while True:
            if not cursor.accept("."):
                hint = "write .count() before it" if cursor.next.word in OPERATORS else ""
                cursor.fail("'.' and a filter or a reducer", hint=hint)
            if cursor.next.word not in FILTERS:
                return Chain(event, tuple(filters), self._reducer(), at=at)
            filters.append(self._filter())

    def _filter(self) -> Filter:
        cursor = self._cursor
        token = cursor.take()
        cursor.expect("(")
        found: Filter
        match token.word:
            case "where":
                self.wheres += 1
                found = Where(self._condition(), at=token.at)
                self.wheres -= 1
            case "within":
                of_parent = self._of_parent_window()
                found = Within(duration(cursor), of_parent, at=token.at)
            case "between":
                found = self._between(token)
            case "expires_after":
                found = ExpiresAfter(duration(cursor), at=token.at)
            case _:
                found = Sources(self._excluded_sources(), at=token.at)
        cursor.expect(")")
        return found

    def _of_parent_window(self) -> bool:
        cursor = self._cursor
        if cursor.next.word != "parent":
            return False
        if not self.wheres:
            cursor.fail("a duration; parent: needs a funnel, an event inside the where of another", hint=NO_PARENT)
        cursor.take()
        cursor.expect(":")
        return True

    def _between(self, name: Token) -> Between:
        cursor = self._cursor
        one_ms = duration(cursor)
        cursor.expect(",")
        second = cursor.next
        other_ms = duration(cursor)
        if one_ms == other_ms:
            cursor.fail("a duration that differs from the first", token=second)
        return Between(min(one_ms, other_ms), max(one_ms, other_ms), at=name.at)

    def _excluded_sources(self) -> tuple[str, ...]:
        cursor = self._cursor
        if not cursor.accept("exclude"):
            cursor.fail("exclude: {'source id', ...}", near=("exclude",))
        cursor.expect(":")
        cursor.expect("{")
        ids = [cursor.string("a source id")]
        while cursor.accept(","):
            ids.append(cursor.string("a source id"))
        cursor.expect("}")
        return tuple(ids)

    # reducer = count() | sum(p) | … | unique(p) [ .count() ]

    def _reducer(self) -> Reducer:
        cursor = self._cursor
        token = cursor.next
        name = token.word
        if name not in REDUCERS:
            expected = f"a filter ({', '.join(FILTERS)}) or a reducer ({', '.join(REDUCERS)})"
            hint = "write .count() before it" if name in COMPARATORS else ""
            cursor.fail(expected, near=(*FILTERS, *REDUCERS), hint=hint)
        cursor.take()
        cursor.expect("(")
        if name == "count":
            cursor.expect(")")
            return Reducer(name, at=token.at)
        if not cursor.accept("property"):
            cursor.fail("property('path')", near=("property",))
        path = cursor.in_parentheses("a path")
        as_type = self._reducer_type(name)
        minimum = self._minimum() if name == "mode" else None
        cursor.expect(")")
        if name == "unique" and cursor.next.word == "." and cursor.after_next.word == "count":
            cursor.take()
            cursor.take()
            cursor.expect("(")
            cursor.expect(")")
            name = "unique_count"
        return Reducer(name, path, as_type, minimum, at=token.at)

    def _reducer_type(self, name: str) -> str | None:
        cursor = self._cursor
        types = REDUCER_TYPES.get(name, ())
        if not types or not cursor.accept("as"):
            return None
        if cursor.next.word not in types:
            cursor.fail(" or ".join(types), near=types)
        return cursor.take().word

    def _minimum(self) -> int:
        cursor = self._cursor
        cursor.expect(",")
        times = whole_number(cursor)
        if not times:
            cursor.fail("a whole number from 1, the least times that the value is seen")
        cursor.take()
        return times
