"""How a command's user names a profile: by any of its identifiers, or by its id; and an account."""

from __future__ import annotations

import re
from collections.abc import Sequence

from app.cli.output import WRONG_USAGE, CommandError
from app.identity.identifiers import type_text
from app.identity.rules import IDENTIFYING_TYPES, Identifier
from app.settings import Security
from app.stream.lookup import Found, Known, look_up, look_up_account
from app.topics import Topics

HELP = (
    "TYPE:VALUE, such as email:ann@example.com; VALUE alone is a user id; or a profile's id. "
    "group_id:VALUE is an account."
)
ACCOUNT = "group_id"
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


def account_of(text: str) -> str | None:
    """The account that a text names; None where it names a person.

    Raises:
        CommandError: There is no value.
    """
    kind, colon, value = text.partition(":")
    if kind != ACCOUNT or not colon:
        return None
    if not value:
        raise CommandError(f"IDENTIFIER is empty; give {HELP}", code=WRONG_USAGE)
    return value


def check_named(text: str) -> None:
    """Raises CommandError where a text names nobody: before anything is read."""
    if account_of(text) is None:
        sought(text)


async def look(text: str, brokers: str, topics: Topics, security: Security) -> tuple[Found, str]:
    """The profile or account that a text names, as the log has it; and how people are told of it."""
    account = account_of(text)
    if account is not None:
        return await look_up_account(brokers, topics, account, security), text
    wanted = sought(text)
    found = await look_up(brokers, topics, wanted, security)
    return found, named(wanted, found.known)


def named(wanted: Sequence[Identifier] | str, known: Known | None) -> str:
    """How people are told of whom they asked for."""
    if isinstance(wanted, str):
        return wanted
    return ":".join(known.identifier if known is not None and known.identifier is not None else wanted[0])
