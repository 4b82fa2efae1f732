"""The words and the limits of the language. Keywords are in lower case; they are written in either."""

from __future__ import annotations

from app.definitions.ast import DAY_MS, SECOND_MS

NESTING_MAX = 3
"""An event, its funnel's child, and that one's child."""
PRIMARY_EXPRESSIONS_MAX = 50
WINDOW_DAYS_MAX = 3_660
DEPTH_MAX = 100
"""NOTs and parentheses inside one another: far more than fifty primary expressions need, and few enough to recurse."""

OPERATORS = {
    "=": "equals",
    "==": "equals",
    "!=": "differs",
    ">": "greater_than",
    ">=": "at_least",
    "<": "less_than",
    "<=": "at_most",
}
COMPARATORS_OF_NONE = ("absent", "exists")
COMPARATORS_OF_ONE = (
    *("equals", "differs", "greater_than", "at_least", "less_than", "at_most"),
    *("omits", "starts_with", "ends_with", "before_date", "after_date"),
)
COMPARATORS_OF_MANY = ("contains", "one_of", "none_of")
DATE_COMPARATORS = ("within_last", "before_last", "within_next", "after_next")
COMPARATORS = (*COMPARATORS_OF_ONE, *COMPARATORS_OF_MANY, *COMPARATORS_OF_NONE, *DATE_COMPARATORS)
FILTERS = ("where", "within", "between", "expires_after", "sources")
REDUCERS = ("count", "sum", "avg", "min", "max", "mode", "first", "last", "unique")
REDUCER_TYPES = {"min": ("number", "string"), "max": ("number", "string"), "mode": ("string", "number", "array")}
QUANTIFIERS = ("any", "all", "none")
SCALARS = ("event", "trait", "property", "context", "literal", "true", "false")
UNITS_MS = {"second": SECOND_MS, "minute": 60 * SECOND_MS, "hour": 3_600 * SECOND_MS, "day": DAY_MS, "week": 7 * DAY_MS}
