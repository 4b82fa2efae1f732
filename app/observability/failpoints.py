"""Named places where a test has the process kill itself: `HEADWATER_FAILPOINT=after_changelog_ack:3`.

The process dies by SIGKILL the third time it comes by, so nothing is flushed, closed or said goodbye to.
"""

import os
import signal
from collections.abc import Callable, Mapping
from enum import StrEnum

from app.errors import Fault, SettingsError

VARIABLE = "HEADWATER_FAILPOINT"


class Failpoint(StrEnum):
    """Every place, in the order of the commit protocol, then of delivery."""

    AFTER_COMPUTE = "after_compute"
    MID_OUTPUTS = "mid_outputs"
    AFTER_OUTPUTS_ACK = "after_outputs_ack"
    MID_CHANGELOG = "mid_changelog"
    AFTER_CHANGELOG_ACK = "after_changelog_ack"
    AFTER_STORE_WRITE = "after_store_write"
    AFTER_SOURCE_COMMIT = "after_source_commit"
    AFTER_TIMERS_SENT = "after_timers_sent"
    MID_SPLIT = "mid_split"
    MID_RESTORE = "mid_restore"
    ON_REVOKE = "on_revoke"
    BEFORE_DELIVERY = "before_delivery"
    AFTER_DELIVERY_RESPONSE = "after_delivery_response"
    AFTER_DEAD_LETTER_ACK = "after_dead_letter_ack"


class _Armed:
    __slots__ = ("_act", "_left", "name")

    def __init__(self, name: Failpoint, hits: int, act: Callable[[], None]) -> None:
        self.name = name
        self._left = hits
        self._act = act

    def hit(self, name: Failpoint) -> None:
        if name == self.name:
            self._left -= 1
            if self._left == 0:
                self._act()


_armed: _Armed | None = None


def failpoint(name: Failpoint) -> None:
    """Does nothing, unless this process was started to die here."""
    if _armed is not None:
        _armed.hit(name)


def is_armed(name: Failpoint) -> bool:
    """Whether this process was started to die there; for steps that have to be taken apart to die within."""
    return _armed is not None and _armed.name == name


def arm(environ: Mapping[str, str], act: Callable[[], None] | None = None) -> None:
    """Read the variable once, at the start of the process; without it, disarm.

    Args:
        act: What happens instead of dying; for tests of the counting.
    Raises:
        SettingsError: an unknown name or a count that is no positive number.
    """
    global _armed
    text = environ.get(VARIABLE, "")
    _armed = None
    if text:
        _armed = _Armed(*_parse(text), act or _die)


def _parse(text: str) -> tuple[Failpoint, int]:
    name, colon, count = text.partition(":")
    if name not in list(Failpoint):
        raise SettingsError([_fault(f"unknown failpoint {name!r}; known: {', '.join(Failpoint)}")])
    if colon and (not count.isascii() or not count.isdigit() or int(count) < 1):
        raise SettingsError([_fault(f"expected NAME:COUNT with a count of at least 1, found {text!r}")])
    return Failpoint(name), int(count) if colon else 1


def _fault(message: str) -> Fault:
    return Fault(file="environment", line=0, column=0, path=VARIABLE, message=message)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
