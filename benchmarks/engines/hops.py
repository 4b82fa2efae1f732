"""When an engine of two hops is warm, and when it is done."""

from benchmarks.peers.job import Progress, say

PASSED = "passed"
"""What a worker of several says after each batch of its first hop: how many events it passed on."""


class Hops:
    """The progress of one hop, or of two with a topic between them.

    The first may be far ahead of the second. So the clock runs from when the first has passed on the warm-up until the
    second has done everything: work that was done ahead is in the figure, and so is what was left of the warm-up.
    """

    def __init__(self, hops: int, *, events: int, warm: int) -> None:
        self._warm = warm
        self._passed = 0
        # With two hops the warm-up is the first one's to tell.
        self._progress = Progress(events=events, warm=warm if hops == 1 else 0)

    def passed(self, events: int) -> None:
        """The first of two hops has passed on so many events more."""
        before, self._passed = self._passed, self._passed + events
        if before < self._warm <= self._passed:
            say("warm", self._passed)

    def done(self, events: int) -> bool:
        """The last hop has done so many events more; true when the last was among them."""
        return self._progress.step(events)
