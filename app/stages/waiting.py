"""What users say to an account waits beside it, until all users have come to that instant."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from typing import NamedTuple

from app.profiles.store import waiting_key, waiting_prefix, waits_since
from app.stages.folding import Folding


class Waiter(NamedTuple):
    """A record that waits. With its position, it is one of those that a batch is made of."""

    at_ms: int
    offset: int
    key: bytes
    """The account's."""
    value: bytes

    @property
    def timestamp(self) -> int:
        """Where a dead letter says when it came."""
        return self.at_ms


class Waiting:
    """The records that wait, as one batch leaves them.

    Each has a key of its own, so that one more does not touch the others, nor the account. It is in the changelog
    before the account that is armed for it, and deleted there behind the account that has applied it: wherever a batch
    is cut, none is lost; and one that comes back is a repeat by its number.
    """

    def __init__(self, folding: Folding) -> None:
        self._folding = folding
        self._new: dict[bytes, dict[bytes, bytes]] = {}
        self._taken: set[bytes] = set()

    def put(self, waiter: Waiter) -> None:
        """A record has to wait."""
        place = waiting_key(waiter.key, waiter.at_ms, waiter.offset)
        self._new.setdefault(waiter.key, {})[place] = self._folding.work.writes[place] = waiter.value

    def holds(self, waiter: Waiter) -> bool:
        """Whether a record waited when the batch began."""
        return self._folding.held.value_of(waiting_key(waiter.key, waiter.at_ms, waiter.offset)) is not None

    def of(self, account: bytes, since_ms: int) -> Iterator[Waiter]:
        """What waits for an account, from an instant on, in the order of instants, then of the log.

        Since when makes it cheap: what has been taken since the store was last tidied lies before that.
        """
        start = waiting_key(account, since_ms, 0)
        held, new = self._folding.held, {**self._new.get(account, {})}
        before = held.keys_of(waiting_prefix(account), start)
        left = (place for place in before if place not in new and place not in self._taken)
        for place in merge(left, sorted(place for place in new if place >= start)):
            value = new[place] if place in new else held.value_of(place)
            assert value is not None, "it is under its key"
            yield Waiter(*waits_since(place), account, value)

    def take(self, waiter: Waiter) -> None:
        """It waits no longer."""
        place = waiting_key(waiter.key, waiter.at_ms, waiter.offset)
        self._new.get(waiter.key, {}).pop(place, None)
        self._folding.work.writes.pop(place, None)
        self._taken.add(place)
        self._folding.gone.append(place)
