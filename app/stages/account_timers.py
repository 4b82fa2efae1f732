"""Until when the timers of accounts may fire: one hop behind those of users.

What users do, and what time does to them, becomes records of `accounts.in`. So an account's instant comes when every
partition of users has passed it, timers of that very instant too, and the account's partition has read all that was in
its log after that. Then what waits for that instant is applied, and what time does to the account with it.
"""

from __future__ import annotations

from collections.abc import Iterable


class AccountGate:
    """Until when one partition's timers may fire.

    A moment is found, and waited for until the partition has applied what had come by then.
    """

    def __init__(self) -> None:
        self._wait_for: int | None = None
        self._then_ms = 0
        self._until_ms = 0

    @property
    def waiting(self) -> bool:
        """Whether the last moment that was found is still waited for."""
        return self._wait_for is not None

    def found(self, passed_ms: Iterable[int], end: int) -> None:
        """How far the partitions of users were, and where `accounts.in` ended after that.

        Args:
            passed_ms: By partition of `profiles.in`, the instant up to which, inclusive, all is applied and passed on.
            end: The offset behind the partition's newest record, asked after the users.
        """
        until_ms = min(passed_ms, default=0)
        if not self.waiting and until_ms > self._until_ms:
            self._wait_for, self._then_ms = end, until_ms

    def until_ms(self, done_next: int) -> int:
        """The instant up to which timers may fire, when all before an offset of `accounts.in` has been applied."""
        if self._wait_for is not None and done_next >= self._wait_for:
            self._wait_for, self._until_ms = None, self._then_ms
        return self._until_ms
