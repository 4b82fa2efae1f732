"""What the Python peers share: the job's arguments, and the lines by which the harness follows it."""

import argparse
import json
import time

ORDER = "Order Completed"
PROGRESS_EVERY = 20_000


def arguments(job: str = "count") -> argparse.Namespace:
    """`<job> --brokers … --topic … --out … --group … --data … --events N --warm N`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("job", choices=[job])
    for name in ("brokers", "topic", "out", "group", "data"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--warm", type=int, required=True)
    return parser.parse_args()


def say(event: str, records: int = 0) -> None:
    """One line of the harness's protocol; `t` is the monotonic clock in seconds."""
    print(json.dumps({"event": event, "records": records, "t": time.monotonic()}), flush=True)


class Progress:
    """Counts processed events and tells the harness."""

    def __init__(self, *, events: int, warm: int) -> None:
        self._events = events
        self._warm = warm
        self._processed = 0

    def step(self, records: int = 1) -> bool:
        """So many events more; true when the last was among them."""
        before, self._processed = self._processed, self._processed + records
        for event, at in (("warm", self._warm), ("done", self._events)):
            if before < at <= self._processed:
                say(event, self._processed)
        if before // PROGRESS_EVERY != self._processed // PROGRESS_EVERY:
            say("progress", self._processed)
        return before < self._events <= self._processed


def identify(user: str, orders: int) -> dict[str, object]:
    """The output record: Segment's identify with the running count as a trait."""
    return {"userId": user, "type": "identify", "traits": {"orders": orders}}
