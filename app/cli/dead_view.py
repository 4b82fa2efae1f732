"""Dead letters for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.cli.output import counted
from app.delivery.letters import Letter

MESSAGE_CHARS_MAX = 80


def as_text(letters: Sequence[Letter], total: int) -> str:
    """A line for each, the newest last."""
    if not letters:
        return "no dead letters"
    rows = [_row(letter) for letter in letters]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    left_out = total - len(letters)
    more = f"; {left_out} older ones are not shown, see --limit" if left_out else ""
    return "\n".join([*lines, f"{counted(total, 'dead letter')}{more}"])


def done_text(done: Mapping[str, int]) -> str:
    """What was done with them."""
    if "dropped" in done:
        return f"{counted(done['dropped'], 'dead letter')} dropped"
    lines = [f"{counted(done['retried'], 'dead letter')} sent again"]
    if done["overtaken"]:
        lines.append(
            f"{counted(done['overtaken'], 'dead letter')} left alone: something newer has gone out since; "
            "drop them, or send them with --force"
        )
    if done["incomplete"]:
        lines.append(f"{counted(done['incomplete'], 'dead letter')} left alone: too large to have been kept whole")
    return "\n".join(lines)


def _row(letter: Letter) -> tuple[str, ...]:
    attempts = letter.error.get("attempts")
    status = "" if letter.status is None else str(letter.status)
    message = str(letter.error.get("message", "")).splitlines()
    return (
        letter.at,
        letter.destination,
        letter.reason,
        status,
        counted(attempts if isinstance(attempts, int) else 0, "attempt"),
        letter.profile or "unreadable",
        message[0][:MESSAGE_CHARS_MAX] if message else "",
    )
