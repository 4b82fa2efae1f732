"""Text → tree: a recursive descent whose methods follow the grammar (README.md) from the top down."""

from __future__ import annotations

import math
import re
from decimal import Decimal

from app.definitions.ast import (
    And,
    Body,
    Chain,
    Comparison,
    Condition,
    Context,
    DateComparison,
    Literal,
    Not,
    Or,
    Property,
    Quantified,
    Scalar,
    Trait,
)
from app.definitions.chains import NO_PARENT, ChainParser
from app.definitions.durations import duration
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
    OPERATORS,
    PRIMARY_EXPRESSIONS_MAX,
    QUANTIFIERS,
    REDUCERS,
    SCALARS,
)
from app.events.values import instant

__all__ = ["parse", "to_text"]

_INTEGER = re.compile(r"-?[0-9]+")
_NO_EVENT = "put it inside event('…').where(…); for what is known of the profile write trait('…')"


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
        self._chains = ChainParser(self._cursor, self._disjunction)
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
        body = self._chains.chain()
        if cursor.next.kind != "end":
            compared = cursor.next.word in (*OPERATORS, ".")
            hint = "what is true or false is an audience: put it under audiences" if compared else ""
            cursor.fail("the end of the definition, because a trait ends in its reducer", hint=hint)
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
            expected = f"a condition without {quantifier}, which is only for definitions of type ACCOUNTS"
            cursor.fail(expected, hint=f"say type: ACCOUNTS, or leave {quantifier} out")
        if self._chains.wheres:
            expected = f"a condition without {quantifier}, which cannot stand inside where"
            cursor.fail(expected, hint=f"put {quantifier} around the whole chain")
        if self._quantifier:
            expected = f"a condition without {quantifier}, because {self._quantifier} is open already"
            cursor.fail(expected, hint=f"close {self._quantifier} (…) first, and join the two with AND or OR")
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
            hint = "compare it, or put it under traits" if cursor.next.kind == "end" and isinstance(left, Chain) else ""
            cursor.fail("an operator such as >= or a comparator such as .exists()", hint=hint)
        name = cursor.next.word
        if name not in COMPARATORS:
            reduced = name in (*FILTERS, *REDUCERS) and name not in DATE_COMPARATORS
            hint = "only event(...) has filters and reducers, and one reducer" if reduced else ""
            cursor.fail("a comparator: " + ", ".join(COMPARATORS), near=COMPARATORS, hint=hint)
        cursor.take()
        cursor.expect("(")
        if name in DATE_COMPARATORS:
            duration_ms = duration(cursor)
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
                return self._chains.chain()
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
        if not self._chains.wheres:
            cursor.fail("a value that does not depend on one event; context is only for where", hint=_NO_EVENT)
        at = cursor.take().at
        return Context(cursor.in_parentheses("a path"), at=at)

    def _property(self) -> Property:
        cursor = self._cursor
        if not self._chains.wheres:
            expected = "a value that does not depend on one event; property is only for where and reducers"
            cursor.fail(expected, hint=_NO_EVENT)
        at = cursor.take().at
        cursor.expect("(")
        of_parent = cursor.next.word == "parent"
        if of_parent:
            if self._chains.wheres < 2:
                cursor.fail("a path; parent: needs a funnel, an event inside the where of another", hint=NO_PARENT)
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

    def _count_primary_expression(self) -> None:
        self._primary_expressions += 1
        if self._primary_expressions > PRIMARY_EXPRESSIONS_MAX:
            self._cursor.fail(f"at most {PRIMARY_EXPRESSIONS_MAX} primary expressions in one definition")
