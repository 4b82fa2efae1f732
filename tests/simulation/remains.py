"""What a stream at rest has left behind, wherever it ran: in the simulation or on a real broker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from app.identity.graph import Graph
from app.identity.rules import IdentityRules
from app.stages import link_state
from app.topics import Topics
from tests.simulation.log import Log, Record
from tests.simulation.store import SimStore

TOPICS = Topics()

Sent = tuple[str, int]
"""Message id, and when it was received: a client may send one twice."""


@dataclass(frozen=True)
class Remains:
    """See the module.

    Attributes:
        log: All topics, by their names without a prefix.
        received: What came in, in that order.
        taken: Each message as it went straight, or was decided, in that order.
        rules: Of identity, those in force as the last; none by the simple rule.
        graph: What `link` keeps.
        known: What is known of identifiers, by partition of `events.raw`.
        profiles: Of all partitions.
        crashes: How often something was killed: what was not is not repeated.
        resolve_crashes: How often `resolve` was: across that no order is promised.
    """

    partitions: int
    log: Log
    received: Sequence[Record]
    taken: Sequence[Sent]
    rules: Sequence[IdentityRules]
    graph: SimStore
    known: Sequence[SimStore]
    profiles: Mapping[bytes, bytes]
    crashes: int
    resolve_crashes: int

    def identity(self) -> Graph:
        """The graph that `link` holds."""
        found = Graph(self.rules[-1].link)
        pairs = [
            tuple(key[len(link_state.INDEX) :].decode().split(":", 1)) for key in self.graph.keys(link_state.INDEX)
        ]
        link_state.load(found, self.graph, pairs)  # type: ignore[arg-type]
        return found

    def changes(self) -> list[tuple[str, dict[str, Any]]]:
        """(id, data) of every record of `changes`, in order per partition."""
        return [
            (dict(record.headers)["ce_id"].decode(), orjson.loads(record.value or b""))
            for record in self.log.all_of(TOPICS.changes)
        ]
