"""How a command's user names a profile: by any of its identifiers, or by its id."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.cli.output import WRONG_USAGE, CommandError
from app.identity.identifiers import type_text
from app.identity.rules import IDENTIFYING_TYPES, Identifier
from app.stream.lookup import Known

HELP = "TYPE:VALUE, such as email:ann@example.com; VALUE alone is a user id; or a profile's id."
USUAL_TYPES = IDENTIFYING_TYPES | {"anonymous_id", "android.id", "ios.id"}
_PROFILE_ID = re.compile(r"prf_[0-9a-f]{24}")


def sought(text: str) -> Sequence[Identifier] | str:
    """What a text may mean, the likeliest first; or the profile's id that it is.

    `shop:17` is a user id with a colon in it, and else the value 17 of a type that some source calls `shop`.

    Raises:
        CommandError: There is no value.
    """
    if _PROFILE_ID.fullmatch(text):
        return text
    kind, colon, value = text.partition(":")
    if not (value if colon and kind in USUAL_TYPES else text):
        raise CommandError(f"IDENTIFIER is empty; give {HELP}", code=WRONG_USAGE)
    if colon and kind in USUAL_TYPES:
        return ((kind, value),)
    whole = ("user_id", text)
    return (whole, (kind, value)) if colon and value and type_text(kind) is not None else (whole,)


def named(wanted: Sequence[Identifier] | str, known: Known | None) -> str:
    """How people are told of whom they asked for."""
    if isinstance(wanted, str):
        return wanted
    return ":".join(known.identifier if known is not None and known.identifier is not None else wanted[0])
