"""`headwater profile`: who a profile is, what became part of it and what is known of it; and taking that back."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from app.activation.wire import iso
from app.cli import brokers as broker_address
from app.cli import profile_split
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Brokers, Config, Data, Json
from app.cli.output import WRONG_USAGE, CommandError, answer, say
from app.cli.sought import HELP, check_named, look
from app.definitions.model import Kind, Scope
from app.profiles.state import Profile
from app.stream.lookup import Found
from app.topics import Topics


class Action(StrEnum):
    """What to do with it."""

    SHOW = "show"
    SPLIT = "split"


def profile(
    action: Annotated[Action, typer.Argument(help="What to do with it.", show_default=False)],
    identifier: Annotated[str, typer.Argument(metavar="IDENTIFIER", help=HELP, show_default=False)],
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    as_json: Json = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="split: do it without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="split: show what would happen, do nothing.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", help="split: seconds to wait until it is done.")] = 120.0,
) -> None:
    """Show a profile: its identifiers and when each was added, the profiles that became part of it and by which
    message, its custom traits, and what was last emitted: the audiences that it is in, and its computed traits. Show an
    account: its traits, and what was last emitted.

    Or split it: take one identifier, with the events that name it, out of the profile that it is in. It makes a new
    one. Both are computed anew from the log; what thereby turns is sent like any entry, exit or value. What the log
    no longer has stays with the profile. Messages from before the split never link the two again; later ones may.

    Show reads the changelogs, so it can be asked while the stream runs; a split is done by the stream.

    Exit code 0: shown, or split; 1: nobody is known under that identifier, or the split was refused, declined or is
    not done yet; 2: wrong usage.

    \b
    Examples:
      headwater profile show ann
      headwater profile show email:ann@example.com --json | jq .identifiers
      headwater profile show group_id:acme
      headwater profile split anonymous_id:8f14e45f --dry-run
      headwater profile split anonymous_id:8f14e45f --yes --json | jq .into
    """
    check_named(identifier)
    settings = broker_address.settings(config, brokers)
    address = broker_address.resolve(settings, data, brokers)
    topics = Topics(settings.kafka.topic_prefix)
    found, owner = asyncio.run(look(identifier, address, topics, settings.kafka.security))
    if found.known is None and found.profile is None:
        raise CommandError(f"nobody is known as {owner}")
    if action is Action.SPLIT:
        _split(profile_split.Splitter(settings, address, timeout_s), found, yes=yes, dry_run=dry_run, as_json=as_json)
    elif as_json:
        answer(as_value(found))
    else:
        print(as_text(found), flush=True)


def _split(splitter: profile_split.Splitter, found: Found, *, yes: bool, dry_run: bool, as_json: bool) -> None:
    if not (yes or dry_run) and (as_json or not sys.stdin.isatty()):
        raise CommandError("nobody can be asked here: give --yes, or --dry-run to see what it does", code=WRONG_USAGE)
    plans = asyncio.run(splitter.plan(found))
    if not (yes or dry_run):
        say(profile_split.as_text(plans, None))
        if not typer.confirm("Split?", err=True):
            raise CommandError("nothing was done")
    done = None if dry_run else asyncio.run(splitter.split(plans.identifier))
    if as_json:
        answer(profile_split.as_value(plans, done))
    else:
        print(profile_split.as_text(plans, done), flush=True)


def as_value(found: Found) -> dict[str, object]:
    """For machines; instants as texts."""
    held = found.profile or Profile()
    return {
        "profile": found.profile_id,
        "as_of": iso(held.clock) if found.profile is not None else None,
        "identifiers": [{"type": kind, "value": text, "added_at": added} for kind, text, added in _identifiers(found)],
        "absorbed": [{"profile": loser, "at": at, "message": message} for loser, at, message in _absorbed(found)],
        "parted": [{"type": kind, "into": into, "at": at, "split": split} for kind, into, at, split in _parted(found)],
        "origin": {"profile": _origin(found)[0], "split": _origin(found)[1]} if _origin(found) else None,
        "traits": {key: {"value": value, "written_at": iso(at_ms)} for key, (value, at_ms, _) in held.traits.items()},
        "audiences": [key for key, value in _emitted(found, "audience") if value],
        "computed_traits": dict(_emitted(found, "trait")),
        **({"users": _users(held)} if found.collection == "accounts" else {"accounts": _accounts(held)}),
    }


def as_text(found: Found) -> str:
    """For people."""
    held = found.profile or Profile()
    sections: tuple[tuple[str, list[tuple[str, ...]]], ...] = (
        ("identifiers", [(kind, text, f"added {at}" if at else "") for kind, text, at in _identifiers(found)]),
        ("became part of it", [(loser, at, f"by message {message}") for loser, at, message in _absorbed(found)]),
        (
            "taken out of it",
            [(kind, f"{into} since {at}", f"by split {split}") for kind, into, at, split in _parted(found)],
        ),
        ("taken out of", [(profile, f"by split {split}") for profile, split in filter(None, [_origin(found)])]),
        ("traits", [(key, _json(value), f"written {iso(at_ms)}") for key, (value, at_ms, _) in held.traits.items()]),
        ("audiences", [(key,) for key, value in _emitted(found, "audience") if value]),
        ("computed traits", [(key, _json(value)) for key, value in _emitted(found, "trait")]),
        ("accounts, and what they are", [(name, _json(told)) for name, told in _accounts(held).items()]),
        ("users", [(str(_users(held)),)] if found.collection == "accounts" else []),
    )
    as_of = f"as of {iso(held.clock)}" if found.profile is not None else "nothing has been applied to it yet"
    lines = [f"{found.profile_id}, {as_of}"]
    for title, rows in sections:
        if rows:
            lines += ["", title, *_columns(rows)]
    return "\n".join(lines)


def message_of(id_: str) -> str:
    """How a message is known: by the id that its sender gave it, else by its place in the log."""
    kind, _, rest = id_.partition(":")
    if kind != "o":
        return rest
    partition, _, offset = rest.partition(":")
    return f"at offset {offset} of partition {partition} of events.raw"


def _identifiers(found: Found) -> list[tuple[str, str, str | None]]:
    """Type, value, when it was added: only the graph knows."""
    if found.known is not None:
        return [(kind, text, iso(added_ms)) for (kind, text), added_ms in found.known.node.ids.items()]
    return [(kind, text, None) for kind, text in found.profile.identifiers] if found.profile is not None else []


def _absorbed(found: Found) -> list[tuple[str, str, str]]:
    """Profile, when, the message that showed that the two are one."""
    absorbed = found.known.node.absorbed if found.known is not None else ()
    return [(loser, iso(at_ms), message_of(id_)) for loser, at_ms, id_ in absorbed]


def _parted(found: Found) -> list[tuple[str, str, str, str]]:
    """Type of each identifier that was taken out, the profile that it made, when, by which split; whoever it is now
    has its value."""
    parted = found.known.node.parted if found.known is not None else ()
    return [(kind, into, iso(at_ms), split) for kind, _, into, at_ms, split in parted]


def _origin(found: Found) -> tuple[str, ...]:
    """The profile that it was taken out of, and by which split."""
    return found.known.node.origin if found.known is not None else ()


def _emitted(found: Found, kind: Kind) -> list[tuple[str, object]]:
    """What was last emitted of the definitions in force."""
    if found.profile is None or found.catalog is None:
        return []
    scope: Scope = "ACCOUNTS" if found.collection == "accounts" else "USERS"
    keys = [each.key for each in found.catalog.definitions if each.kind == kind and each.scope == scope]
    return [(key, found.profile.emitted[key]) for key in keys if key in found.profile.emitted]


def _accounts(user: Profile) -> dict[str, dict[str, object]]:
    """By the account that a user belongs to: what it has told of itself, by definition; only what somebody asks for."""
    held = user.belonging
    return {account: {**told} for account, (_, told) in held.accounts.items()} if held is not None else {}


def _users(account: Profile) -> int:
    return account.members.count if account.members is not None else 0


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
