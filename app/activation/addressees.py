"""Whom the messages about a change are addressed to: one message per addressee."""

from typing import NamedTuple

from app.compute.changes import Change


class Addressee(NamedTuple):
    """The identifiers that one message carries."""

    user_id: str | None
    anonymous_id: str | None
    """Only where the profile has no user id."""
    email: str | None


def addressees(change: Change) -> list[Addressee]:
    """One for each value where a profile has several of a type, in order of first sight.

    Receivers key their records by e-mail as often as by user id, so a profile with two e-mails gives two messages, both
    with the user id. An e-mail known only as a custom trait counts as the profile's one.
    """
    users: list[str] = []
    anonymous: list[str] = []
    emails: list[str] = []
    for kind, value in change.identifiers:
        if kind == "user_id":
            users.append(value)
        elif kind == "anonymous_id":
            anonymous.append(value)
        elif kind == "email":
            emails.append(value)
    if not emails:
        trait = change.custom_trait("email")
        if isinstance(trait, str) and trait:
            emails.append(trait)
    if len(users) == 1 and len(emails) < 2:  # nearly every profile
        return [Addressee(users[0], None, emails[0] if emails else None)]
    who: list[tuple[str | None, str | None]] = [(user, None) for user in users] or [(None, name) for name in anonymous]
    to_email: list[str | None] = [*emails] or [None]
    return [Addressee(user, name, email) for user, name in who or [(None, None)] for email in to_email]
