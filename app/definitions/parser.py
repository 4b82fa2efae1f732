"""Text → tree: a recursive descent whose methods follow the grammar (README.md) from the top down."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from app.definitions.ast import (
    DAY_MS,
    And,
    Between,
    Body,
    Chain,
    Comparison,
    Condition,
    Context,
    DateComparison,
    ExpiresAfter,
    Filter,
    Literal,
    Not,
    Or,
    Property,
    Quantified,
    Reducer,
    Scalar,
    Sources,
    Trait,
    Where,
    Within,
)
from app.definitions.model import Definition
from app.definitions.printer import to_text
from app.definitions.tokens import Cursor, Token
from app.definitions.words import (
    COMPARATORS,
    COMPARATORS_OF_MANY,
    COMPARATORS_OF_NONE,
    DATE_COMPARATORS,
    DEPTH_MAX,
    FILTERS,
    NESTING_MAX,
    OPERATORS,
    PRIMARY_EXPRESSIONS_MAX,
    QUANTIFIERS,
    REDUCER_TYPES,
    REDUCERS,
    SCALARS,
    UNITS_MS,
    WINDOW_DAYS_MAX,
)
from app.events.values import instant

__all__ = ["parse", "to_text"]

_INTEGER = re.compile(r"-?[0-9]+")
_DIGITS_MAX = 4_000
"""Of a whole number: Python reads a little more."""


def parse(definition: Definition) -> Body:
    """The tree of a definition's text.

    Raises:
        DefinitionError: at the first place where the text leaves the grammar or a limit.
    """
    return _Parser(definition).definition()


class _Parser:
    def __init__(self, definition: Definition) -> None:
        self._cursor = Cursor(definition.query, key=definition.key)
        self._kind = definition.kind
        self._scope = definition.scope
        self._wheres = 0
        """How many `where` are open around this place; 0 means that there is no event to look at."""
        self._quantifier = ""
        """The open ANY, ALL or NONE."""
        self._primary_expressions = 0
        self._depth = 0

    # definition = audience | trait

    def definition(self) -> Body:
        cursor = self._cursor
        if self._kind == "audience":
            body: Body = self._disjunction()
            if cursor.next.kind != "end":
                cursor.fail("AND, OR or the end of the definition", near=("AND", "OR"))
            return body
        if cursor.next.word != "event":
            cursor.fail("event(...), because a trait is a chain that ends in a reducer", near=("event",))
        self._count_primary_expression()
        body = self._chain()
        if cursor.next.kind != "end":
            cursor.fail("the end of the definition, because a trait ends in its reducer")
        return body

    # disjunction, conjunction, negation

    def _disjunction(self) -> Condition:
        at = self._cursor.next.at
        conditions = [self._conjunction()]
        while self._cursor.accept("or"):
            conditions.append(self._conjunction())
        return conditions[0] if len(conditions) == 1 else Or(tuple(conditions), at=at)

    def _conjunction(self) -> Condition:
        at = self._cursor.next.at
        conditions = [self._negation()]
        while self._cursor.accept("and"):
            conditions.append(self._negation())
        return conditions[0] if len(conditions) == 1 else And(tuple(conditions), at=at)

    def _negation(self) -> Condition:
        token = self._cursor.next
        if token.word not in ("not", "(", *QUANTIFIERS):
            return self._comparison()
        if self._depth == DEPTH_MAX:
            self._cursor.fail(f"at most {DEPTH_MAX} NOTs and parentheses inside one another")
        self._depth += 1
        condition = self._nested(token)
        self._depth -= 1
        return condition

    def _nested(self, token: Token) -> Condition:
        if token.word in QUANTIFIERS:
            return self._quantified()
        self._cursor.take()
        if token.word == "not":
            return Not(self._negation(), at=token.at)
        condition = self._disjunction()
        self._cursor.expect(")")
        return condition

    def _quantified(self) -> Quantified:
        cursor = self._cursor
        quantifier = cursor.next.word.upper()
        if self._scope != "ACCOUNTS":
            cursor.fail(f"a condition without {quantifier}, which is only for definitions of type ACCOUNTS")
        if self._wheres:
            cursor.fail(f"a condition without {quantifier}, which cannot stand inside where")
        if self._quantifier:
            cursor.fail(f"a condition without {quantifier}, because {self._quantifier} is open already")
        at = cursor.take().at
        self._quantifier = quantifier
        condition = self._negation()
        self._quantifier = ""
        return Quantified(quantifier, condition, at=at)

    # comparison = scalar ( operator scalar | "." comparator "(" [ arguments ] ")" )

    def _comparison(self) -> Condition:
        cursor = self._cursor
        at = cursor.next.at
        self._count_primary_expression()
        left = self._scalar()
        if cursor.next.word in OPERATORS:
            return Comparison(left, OPERATORS[cursor.take().word], (self._scalar(),), at=at)
        if not cursor.accept("."):
            cursor.fail("an operator such as >= or a comparator such as .exists()")
        name = cursor.next.word
        if name not in COMPARATORS:
            cursor.fail("a comparator: " + ", ".join(COMPARATORS), near=COMPARATORS)
        cursor.take()
        cursor.expect("(")
        if name in DATE_COMPARATORS:
            duration_ms = self._duration()
            cursor.expect(")")
            return DateComparison(left, name, duration_ms, at=at)
        return Comparison(left, name, self._arguments(name), at=at)

    def _arguments(self, name: str) -> tuple[Scalar, ...]:
        cursor = self._cursor
        if name in COMPARATORS_OF_NONE:
            cursor.expect(")")
            return ()
        found = [self._scalar()]
        while name in COMPARATORS_OF_MANY and cursor.accept(","):
            found.append(self._scalar())
        if not cursor.accept(")"):
            cursor.fail("',' or ')'" if name in COMPARATORS_OF_MANY else f"')', because {name} takes one argument")
        return tuple(found)

    # scalar = literal | chain | trait("key") | property([parent:] "path") | context("path")

    def _scalar(self) -> Scalar:
        cursor = self._cursor
        token = cursor.next
        if token.word not in SCALARS and token.kind not in ("string", "number", "date"):
            cursor.fail("event(...), trait(...), a value, or inside where property(...) or context(...)", near=SCALARS)
        match token.word:
            case "event":
                return self._chain()
            case "trait":
                cursor.take()
                return Trait(cursor.in_parentheses("the key of a trait"), at=token.at)
            case "property":
                return self._property()
            case "context":
                return self._context()
            case "literal":  # the long form of exported definitions: literal(100)
                cursor.take()
                cursor.expect("(")
                literal = self._literal()
                cursor.expect(")")
                return literal
            case _:
                return self._literal()

    def _context(self) -> Context:
        cursor = self._cursor
        if not self._wheres:
            cursor.fail("a value that does not depend on one event; context is only for where")
        at = cursor.take().at
        return Context(cursor.in_parentheses("a path"), at=at)

    def _property(self) -> Property:
        cursor = self._cursor
        if not self._wheres:
            cursor.fail("a value that does not depend on one event; property is only for where and reducers")
        at = cursor.take().at
        cursor.expect("(")
        of_parent = cursor.next.word == "parent"
        if of_parent:
            if self._wheres < 2:
                cursor.fail("a path; parent: needs a funnel, an event inside the where of another")
            cursor.take()
            cursor.expect(":")
        path = cursor.string("a path")
        cursor.expect(")")
        return Property(path, of_parent, at=at)

    def _literal(self) -> Literal:
        cursor = self._cursor
        token = cursor.next
        value: str | bool | int | float
        match token.kind:
            case "string":
                value = token.unquoted
            case "date":
                if instant(token.text) is None:
                    cursor.fail("a date that exists")
                value = token.text
            case "number":
                value = float(token.text)
                if not math.isfinite(value):
                    cursor.fail("a number that a 64-bit float can hold")
                if _INTEGER.fullmatch(token.text):
                    value = int(Decimal(token.text))
            case _:
                if token.word not in ("true", "false"):
                    cursor.fail("a number, a string, a date, true or false", near=("true", "false"))
                value = token.word == "true"
        cursor.take()
        return Literal(value, is_date=token.kind == "date", at=token.at)

    # chain = event("name") { "." filter } "." reducer

    def _chain(self) -> Chain:
        cursor = self._cursor
        if self._wheres == NESTING_MAX:
            cursor.fail(f"a value; events are nested at most {NESTING_MAX} deep")
        at = cursor.take().at
        event = cursor.in_parentheses("the name of an event")
        filters: list[Filter] = []
        while True:
            if not cursor.accept("."):
                cursor.fail("'.' and a filter or a reducer")
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
                self._wheres += 1
                found = Where(self._disjunction(), at=token.at)
                self._wheres -= 1
            case "within":
                of_parent = self._of_parent_window()
                found = Within(self._duration(), of_parent, at=token.at)
            case "between":
                found = self._between(token)
            case "expires_after":
                found = ExpiresAfter(self._duration(), at=token.at)
            case _:
                found = Sources(self._excluded_sources(), at=token.at)
        cursor.expect(")")
        return found

    def _of_parent_window(self) -> bool:
        cursor = self._cursor
        if cursor.next.word != "parent":
            return False
        if not self._wheres:
            cursor.fail("a duration; parent: needs a funnel, an event inside the where of another")
        cursor.take()
        cursor.expect(":")
        return True

    def _between(self, name: Token) -> Between:
        one_ms = self._duration()
        self._cursor.expect(",")
        second = self._cursor.next
        other_ms = self._duration()
        if one_ms == other_ms:
            self._cursor.fail("a duration that differs from the first", token=second)
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
            cursor.fail(expected, near=(*FILTERS, *REDUCERS))
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
        types = REDUCER_TYPES.get(name, ())
        if not types or not self._cursor.accept("as"):
            return None
        if self._cursor.next.word not in types:
            self._cursor.fail(" or ".join(types), near=types)
        return self._cursor.take().word

    def _minimum(self) -> int:
        self._cursor.expect(",")
        times = self._whole_number()
        if not times:
            self._cursor.fail("a whole number from 1, the least times that the value is seen")
        self._cursor.take()
        return times

    # duration = integer unit

    def _duration(self) -> int:
        """In milliseconds."""
        cursor = self._cursor
        number = cursor.next
        amount = self._whole_number()
        if amount is None:
            cursor.fail("a duration such as 7 days")
        cursor.take()
        unit_ms = UNITS_MS.get(cursor.next.word.removesuffix("s"))
        if unit_ms is None:
            cursor.fail("seconds, minutes, hours, days or weeks", near=[f"{unit}s" for unit in UNITS_MS])
        cursor.take()
        duration_ms = amount * unit_ms
        if duration_ms > WINDOW_DAYS_MAX * DAY_MS:
            cursor.fail(f"at most {WINDOW_DAYS_MAX:,} days", token=number)
        return duration_ms

    # single steps

    def _whole_number(self) -> int | None:
        """The next token as a number without sign, point or exponent; None when it is none. Takes nothing."""
        token = self._cursor.next
        if token.kind != "number" or not token.text.isdigit() or len(token.text) > _DIGITS_MAX:
            return None
        return int(token.text)

    def _count_primary_expression(self) -> None:
        self._primary_expressions += 1
        if self._primary_expressions > PRIMARY_EXPRESSIONS_MAX:
            self._cursor.fail(f"at most {PRIMARY_EXPRESSIONS_MAX} primary expressions in one definition")
