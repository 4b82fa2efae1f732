"""Whom the messages about a change are addressed to: one message per addressee."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app.compute.changes import Change
from app.definitions.model import IdChoice

ALL: Mapping[str, IdChoice] = {}


class Addressee(NamedTuple):
    """The identifiers that one message carries."""

    user_id: str | None
    anonymous_id: str | None
    """Only where the profile has no user id."""
    email: str | None


def addressees(change: Change, choices: Mapping[str, IdChoice] = ALL) -> list[Addressee]:
    """One for each value where a profile has several of a type, in order of first sight.

    Receivers key their records by e-mail as often as by user id, so a profile with two e-mails gives two messages, both
    with the user id. An e-mail known only as a custom trait counts as the profile's one. An exit goes to all of them,
    whatever the choices: who was told of an entry when another value was the last has to hear of it.

    Args:
        choices: Identifier type → which of its values; all of a type that is not in it.
    """
    if change.kind == "audience" and not change.value:
        choices = ALL
    trait = change.custom_trait("email")
    email = trait if isinstance(trait, str) and trait else None
    all_of_them = _addressees(change.identifiers, email, choices)
    if change.told is None:
        return all_of_them
    # The trait may have come with the identifiers; and where it was the profile's one, telling it once more is no harm.
    told = set(_addressees(change.told, None, ALL))
    return [each for each in all_of_them if each not in told]


def everybody(identifiers: Sequence[tuple[str, str]], email: str | None) -> list[Addressee]:
    """All under whom receivers may know a profile.

    Args:
        email: The custom trait; it counts where there is no other.
    """
    return _addressees(identifiers, email, ALL)


def _addressees(
    identifiers: Sequence[tuple[str, str]], email: str | None, choices: Mapping[str, IdChoice]
) -> list[Addressee]:
    users: list[str] = []
    anonymous: list[str] = []
    emails: list[str] = []
    for kind, value in identifiers:
        if kind == "user_id":
            users.append(value)
        elif kind == "anonymous_id":
            anonymous.append(value)
        elif kind == "email":
            emails.append(value)
    if email is not None and not emails:
        emails.append(email)
    if len(users) == 1 and len(emails) < 2:  # nearly every profile
        return [Addressee(users[0], None, emails[0] if emails else None)]
    if choices:
        users, anonymous, emails = (
            _chosen(values, choices.get(kind, "all"))
            for kind, values in (("user_id", users), ("anonymous_id", anonymous), ("email", emails))
        )
    who: list[tuple[str | None, str | None]] = [(user, None) for user in users] or [(None, name) for name in anonymous]
    to_email: list[str | None] = [*emails] or [None]
    return [Addressee(user, name, email) for user, name in who or [(None, None)] for email in to_email]


def _chosen(values: list[str], choice: IdChoice) -> list[str]:
    match choice:
        case "first":
            return values[:1]
        case "last":
            return values[-1:]
    return values
