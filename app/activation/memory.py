"""What a sender remembers of a vendor between requests: ids that were looked up, names of fields."""

from __future__ import annotations

from collections import OrderedDict

ENTRIES_MAX = 100_000


class Memory:
    """Text → text, each for a time. Lost with the process: whatever is in it can be asked of the vendor again."""

    def __init__(self, *, entries_max: int = ENTRIES_MAX) -> None:
        self._entries: OrderedDict[str, tuple[str, float]] = OrderedDict()
        self._entries_max = entries_max

    def recall(self, key: str, now_s: float) -> str | None:
        """What was kept, unless its time is over."""
        value, until_s = self._entries.get(key, ("", 0.0))
        return value if now_s < until_s else None

    def keep(self, key: str, value: str, until_s: float) -> None:
        """The entry that was written first goes where there are too many."""
        self._entries.pop(key, None)
        self._entries[key] = (value, until_s)
        if len(self._entries) > self._entries_max:
            self._entries.popitem(last=False)

    def forget(self, key: str) -> None:
        """It has turned out wrong."""
        self._entries.pop(key, None)
