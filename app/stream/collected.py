"""The two collections of profiles, users and accounts: each has its records, its changelog and its stores."""

from __future__ import annotations

from dataclasses import dataclass

from app.topics import Collection, Topics


@dataclass(frozen=True, slots=True)
class Collected:
    """Where one collection's profiles come from, and where they are kept."""

    collection: Collection
    source: str
    """The topic of everything that changes them."""
    changelog: str
    stores: str
    """What the directories of its stores begin with; the partition follows."""


def collected(topics: Topics) -> tuple[Collected, Collected]:
    """Users, then accounts: time passes for users first."""
    return (
        Collected("users", topics.profiles_in, topics.profiles_changelog, "profiles"),
        Collected("accounts", topics.accounts_in, topics.accounts_changelog, "accounts"),
    )
