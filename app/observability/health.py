"""Is this process alive, and is it ready: each part says for itself, and one unready part is enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Check = Callable[[], str]
"""Why a part is not ready, in a few words; empty when it is."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a probe is told."""

    live: bool
    ready: bool
    parts: Mapping[str, str] = field(default_factory=dict)
    """Part → `ok`, or why it is not ready."""


class Part:
    """One part's own word on whether it is ready; it begins unready."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def up(self) -> None:
        self.reason = ""

    def down(self, reason: str) -> None:
        self.reason = reason or "down"


class Health:
    """The parts of one process. Readiness means progress (restored, lag moving), not that the process exists."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self._failure = ""

    def part(self, name: str, reason: str = "starting") -> Part:
        """A new part that says itself when it is ready."""
        part = Part(reason)
        self.check(name, lambda: part.reason)
        return part

    def check(self, name: str, check: Check) -> None:
        """A part that is asked at each probe. It must be quick and must not wait."""
        if name in self._checks:
            raise ValueError(f"there is a part {name!r} already")
        self._checks[name] = check

    def fail(self, reason: str) -> None:
        """The process cannot go on: liveness fails, whoever runs it should start it anew."""
        self._failure = reason

    def report(self) -> Report:
        parts = {name: check() or "ok" for name, check in self._checks.items()}
        if self._failure:
            parts["process"] = self._failure
        # Without a part nothing has started yet.
        ready = bool(parts) and all(state == "ok" for state in parts.values())
        return Report(live=not self._failure, ready=ready, parts=parts)
