"""An explanation for people, as an indented tree, and for machines."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from app.activation.wire import iso
from app.cli.output import counted
from app.compute.explain import Clause, Explanation, Operand
from app.profiles.evidence import Evidence, Known

_INDENT = "  "
_GREEN, _RED, _DIM, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def is_styled() -> bool:
    """Whether colours are wanted: on a terminal, unless NO_COLOR says otherwise."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


# ── for machines ──────────────────────────────────────────────────────────────────────────────────────────────────


def as_value(explanation: Explanation) -> dict[str, Any]:
    """Instants are texts, null for never and for unknown."""
    body = explanation.body
    return {
        "definition": explanation.key,
        "kind": explanation.kind,
        "at": iso(explanation.at_ms),
        "value": explanation.value,
        "emitted": explanation.emitted,
        "changes_at": _instant(explanation.changes_ms),
        "looked_until": _instant(explanation.looked_until_ms),
        "anonymous": explanation.is_anonymous,
        "kept_out": explanation.is_kept_out,
        "clause": _clause_value(body) if isinstance(body, Clause) else None,
        "operand": _operand_value(body) if isinstance(body, Operand) else None,
    }


def _clause_value(clause: Clause) -> dict[str, Any]:
    return {
        "text": clause.text,
        "junction": clause.junction,
        "holds": clause.holds,
        "flips_at": _instant(clause.flips_ms),
        "clauses": [_clause_value(each) for each in clause.clauses],
        "operands": [_operand_value(each) for each in clause.operands],
    }


def _operand_value(operand: Operand) -> dict[str, Any]:
    return {
        "text": operand.text,
        "source": operand.source,
        "value": operand.value,
        "written_at": _instant(operand.written_ms),
        "users": operand.users,
        "events": _evidence_value(operand.events) if operand.events is not None else None,
    }


def _evidence_value(found: Evidence) -> dict[str, Any]:
    return {
        "count": found.events,
        "at_least": found.at_least,
        "oldest": _instant(found.oldest_ms),
        "newest": _instant(found.newest_ms),
        "waiting": found.waiting,
        "session_ends_at": _instant(found.expires_ms),
        "known": [
            {"at": _instant(each.at_ms), "leaves_at": _instant(each.until_ms), "values": list(each.values)}
            for each in found.known
        ],
        "texts": [{"text": text, "times": times} for text, times in found.texts],
    }


def _instant(at_ms: int | None) -> str | None:
    return iso(at_ms) if at_ms else None


# ── for people ────────────────────────────────────────────────────────────────────────────────────────────────────


def as_text(explanation: Explanation, owner: str, *, styled: bool) -> str:
    """Lines for a terminal.

    Args:
        owner: The identifier by which the profile was found.
    """
    pen = _Pen(styled)
    lines = [_headline(explanation, owner, pen), *_notes(explanation), ""]
    body = explanation.body
    lines += pen.clause(body, 0) if isinstance(body, Clause) else [body.text, *pen.operand(body, 1, named=False)]
    return "\n".join(lines)


def _headline(explanation: Explanation, owner: str, pen: _Pen) -> str:
    if explanation.kind == "audience":
        where = "in" if explanation.value else "not in"
        said = f"{pen.mark(bool(explanation.value))} {owner} is {where} the audience {explanation.key}"
    elif explanation.value is None:
        said = f"{owner} has no value of the trait {explanation.key}"
    else:
        said = f"{explanation.key} of {owner} is {_json(explanation.value)}"
    return f"{said}, as of {iso(explanation.at_ms)}"


def _notes(explanation: Explanation) -> Iterator[str]:
    if explanation.is_kept_out:
        yield "  out because the profile is anonymous: all clauses hold, and the definition includes only known people"
    if explanation.changes_ms is not None:
        verb = "changes" if explanation.kind == "trait" else "leaves" if explanation.value else "enters"
        yield f"  {verb} at {iso(explanation.changes_ms)} if nothing happens"
    elif explanation.looked_until_ms is not None:
        yield f"  stays so until {iso(explanation.looked_until_ms)} at least, if nothing happens"
    else:
        yield "  stays so for as long as nothing happens"
    if _json(explanation.value) != _json(explanation.emitted):
        yield f"  last emitted: {_json(explanation.emitted)}; the change is on its way"


class _Pen:
    def __init__(self, styled: bool) -> None:
        self._styled = styled

    def mark(self, holds: bool) -> str:
        return self._in(_GREEN, "✓") if holds else self._in(_RED, "✗")

    def clause(self, clause: Clause, depth: int) -> Iterator[str]:
        flips = f"   can flip at {iso(clause.flips_ms)}" if clause.flips_ms is not None else ""
        yield f"{_INDENT * depth}{self.mark(clause.holds)} {clause.text}{self._in(_DIM, flips)}"
        for inner in clause.clauses:
            yield from self.clause(inner, depth + 1)
        read = [operand for operand in clause.operands if operand.source != "literal"]
        for operand in read:
            yield from self.operand(operand, depth + 2, named=len(read) > 1)

    def operand(self, operand: Operand, depth: int, *, named: bool) -> Iterator[str]:
        name = f"{operand.text} " if named else ""
        if operand.users is not None:
            yield f"{_INDENT * depth}holds of {operand.value} of {counted(operand.users, 'user')}"
            return
        if operand.events is None:
            yield f"{_INDENT * depth}{name}is {_json(operand.value)}, {_said_of_trait(operand)}"
            return
        more = " or more" if operand.events.at_least else ""
        yield f"{_INDENT * depth}{name}is {_json(operand.value)}{more}: {', '.join(_said_of(operand.events))}"
        for each in operand.events.known:
            yield f"{_INDENT * (depth + 1)}{self._in(_DIM, _said_of_event(each))}"

    def _in(self, style: str, text: str) -> str:
        return f"{style}{text}{_PLAIN}" if self._styled and text else text


def _said_of_trait(operand: Operand) -> str:
    if operand.source != "custom trait":
        return f"{'an' if operand.source == 'audience' else 'a'} {operand.source}"
    if operand.written_ms is None:
        return "a custom trait that nobody has written"
    return f"a custom trait, written at {iso(operand.written_ms)}"


def _said_of(found: Evidence) -> Iterator[str]:
    if found.events is not None:
        yield counted(found.events, "value" if found.are_values else "event")
    elif not found.known:
        yield "of no value that is still known"
    times = found.oldest_ms is not None
    if found.newest_ms is not None and found.oldest_ms != found.newest_ms:
        yield f"from {iso(found.oldest_ms or 0)} to {iso(found.newest_ms)}"
    elif found.events and not times and not found.known:
        yield "their times are not kept"
    if found.events is not None and found.known and len(found.known) < found.events:
        yield f"the newest {len(found.known)} that are still known:"
    if found.texts:
        yield ", ".join(f"{_json(text)} {times} ×" for text, times in found.texts)
    if found.expires_ms:
        yield f"the session ends at {iso(found.expires_ms)} unless it goes on"
    if found.waiting:
        yield f"{found.waiting} more may count later"


def _said_of_event(known: Known) -> str:
    parts = [iso(known.at_ms)] if known.at_ms is not None else ["at a time that is not kept"]
    if known.values:
        parts.append(", ".join(map(_json, known.values)))
    if known.until_ms:
        parts.append(f"leaves at {iso(known.until_ms)}")
    return "  ".join(parts)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
