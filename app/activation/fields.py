"""Names and values as vendors want them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from app.activation.wire import encode

FieldName = Callable[[str], str]
"""A definition's key, or what the mapping made of it → the vendor's name of the field. Always the same for a name."""


def as_it_is(name: str) -> str:
    return name


def letters_and_digits(name: str, *, chars_max: int) -> str:
    """Upper case, everything else left out, cut: `first_time_shopper` → `FIRSTTIMES` at 10."""
    return re.sub(r"[^A-Z0-9]", "", name.upper())[:chars_max]


def upper_snake(name: str, *, chars_max: int) -> str:
    """Upper case, an underscore for everything else, cut."""
    return re.sub(r"[^A-Z0-9_]", "_", name.upper())[:chars_max]


def lower_snake(name: str) -> str:
    """Lower case, an underscore for everything else, a letter first."""
    snake = re.sub(r"[^a-z0-9_]", "_", name.lower())
    return snake if snake[:1].isalpha() else f"f_{snake}"


def custom_field(name: str) -> str:
    """`vip` → `vip__c`. A name with a capital letter, or one that ends so already, is the vendor's own."""
    return name if name.endswith("__c") or name != name.lower() else f"{name}__c"


def as_text(value: object) -> str:
    """`true`, `12.5`, the text itself; empty for null; JSON for lists and objects."""
    if isinstance(value, str):
        return value
    return "" if value is None else encode(value).decode()


def renamed(fields: Mapping[str, object], name: FieldName) -> dict[str, object]:
    """The fields under the vendor's names; of two that become one, the first, which is the definition's own."""
    found: dict[str, object] = {}
    for ours, value in fields.items():
        found.setdefault(name(ours), value)
    return found


def texts(fields: Mapping[str, object], name: FieldName = as_it_is) -> dict[str, str]:
    """The same, with every value as a text."""
    return {field: as_text(value) for field, value in renamed(fields, name).items()}
