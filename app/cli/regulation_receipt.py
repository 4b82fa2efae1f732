"""How a regulation's receipt is shown, to machines and to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.activation.lists.leaving import Leaving, Left
from app.activation.wire import iso
from app.stages.receipts import Receipt
from app.stages.regulations import Erased, Failed
from app.stream.regulate import Remains


class Elsewhere(NamedTuple):
    """What is elsewhere than in our state of whom a regulation has erased."""

    remains: Sequence[Remains]
    lists: Sequence[tuple[str, Leaving]]
    """Destination, and what has become of the person on one of its lists."""


NOTHING_ELSEWHERE = Elsewhere((), ())


def as_value(receipt: Receipt, elsewhere: Elsewhere = NOTHING_ELSEWHERE) -> dict[str, object]:
    """For machines; instants as texts. The identifier that was named is not in it: only its hash is kept."""
    requested, decided = receipt.requested, receipt.decided
    first = requested or decided
    profiles = [each for each in receipt.profiles.values() if isinstance(each, Erased)]
    return {
        "id": receipt.id,
        "type": first.type if first is not None else None,
        "state": receipt.state,
        "asked_at": iso(first.at) if first is not None else None,
        "subject": requested.subject if requested is not None else None,
        "identifiers": {
            "erased": decided.erased if decided is not None else 0,
            "suppressed": decided.suppressed if decided is not None else 0,
            "lifted": decided.lifted if decided is not None else 0,
        },
        "profiles": [
            {
                "profile": each.profile, "partition": each.partition, "was_part_of_another": each.redirect,
                "identifiers": each.identifiers, "traits": each.traits, "cells": each.cells, "parts": each.parts,
                "timers": each.timers, "changelog_records": each.changelog, "changes_taken_back": each.changes,
            }
            for each in profiles
        ],
        "failed": [
            {"profile": each.profile, "reason": each.reason}
            for each in receipt.profiles.values()
            if isinstance(each, Failed)
        ],
        "destinations": [
            {"destination": name, "asked": asked, "outcomes": outcomes, "payloads_dropped": dropped}
            for name, asked, outcomes, dropped in _destinations(receipt)
        ],
        "lists": [
            {
                "destination": name, "audience": each.audience, "state": each.left,
                "update_due": iso(each.due_ms) if each.due_ms is not None else None,
            }
            for name, each in elsewhere.lists
        ],
        "in_their_topics": sorted({name for each in profiles for name in each.told}),
        "remains": [
            {
                "topic": each.topic, "what": each.what, "why": each.why,
                "until": iso(each.until_ms) if each.until_ms is not None else None,
            }
            for each in elsewhere.remains
        ],
    }  # fmt: skip


def as_text(receipt: Receipt, elsewhere: Elsewhere = NOTHING_ELSEWHERE) -> str:
    """For people."""
    decided = receipt.decided
    lines = [headline(receipt)]
    if decided is not None:
        counts = (("erased", decided.erased), ("suppressed", decided.suppressed), ("lifted", decided.lifted))
        lines += ["", "identifiers", "  " + (", ".join(f"{n} {what}" for what, n in counts if n) or "nobody is known")]
    rows: list[tuple[str, ...]] = []
    for each in receipt.profiles.values():
        if isinstance(each, Failed):
            rows.append((each.profile, f"FAILED: {each.reason}"))
        elif each.redirect:
            rows.append((each.profile, "was part of another"))
        else:
            told = (
                f"{each.traits} traits, {each.cells} cells, {each.parts} parts, {each.timers} timers, "
                f"{each.changelog} changelog records; {each.changes} changes taken back"
            )
            rows.append((each.profile, told))
    lines += _section("profiles", rows)
    lines += _section(
        "destinations",
        [
            (name, ", ".join(f"{outcome.replace('_', ' ')} {n}" for outcome, n in outcomes.items()) or "waiting",
             f"{dropped} payloads dropped")
            for name, _, outcomes, dropped in _destinations(receipt)
        ],
    )  # fmt: skip
    lines += _section("lists", [(name, each.audience, _on_list(each)) for name, each in elsewhere.lists])
    lines += _section(
        "remains, until at the latest",
        [(each.topic, iso(each.until_ms) if each.until_ms is not None else "no time is set", each.why, each.what)
         for each in elsewhere.remains],
    )  # fmt: skip
    return "\n".join(lines)


def _on_list(each: Leaving) -> str:
    """What has become of the person on a list."""
    match each.left:
        case Left.REMOVED:
            return "removed"
        case Left.ANOTHERS:
            return "stays: another profile stands for the same member"
        case Left.WAITING:
            due = iso(each.due_ms) if each.due_ms is not None else "unknown"
            return f"to be removed by the next update, which is due at {due}"
        case Left.REFUSED:
            return "the vendor refused to remove it; `headwater lists status` has the reason"
        case Left.STAYS:
            return "stays: this list is only added to, or is no longer connected"


def headline(receipt: Receipt) -> str:
    first = receipt.requested or receipt.decided
    what = f"{first.type}, asked {iso(first.at)}" if first is not None else "unknown"
    return f"{receipt.id}  {receipt.state}  {what}"


def _destinations(receipt: Receipt) -> list[tuple[str, int, dict[str, int], int]]:
    """Name, deletions asked for, outcome → how many, payloads that were not sent any more."""
    found: list[tuple[str, int, dict[str, int], int]] = []
    for name, asked in receipt.asked.items():
        settled = [each for each in receipt.settled.values() if each.destination == name]
        outcomes: dict[str, int] = {}
        for each in settled:
            outcomes[each.outcome] = outcomes.get(each.outcome, 0) + 1
        found.append((name, asked, outcomes, sum(each.dropped for each in settled)))
    return found


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*[row + ("",) * (4 - len(row)) for row in rows], strict=True)]
    return ["", title, *("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)]
