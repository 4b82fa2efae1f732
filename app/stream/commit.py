"""The commit protocol: in which order a batch's work leaves the process.

    1 compute    (the stage; nothing has left the process)
    2 outputs    send; await every ack; then the same for what may be seen only after that
    3 changelog  send state, seen ids and last the meta record; await every ack → offset L
    4 store      one atomic write: state, timer index, seen ids, meta, L
    5 source     src_next becomes committable

Outputs are acked before the changelog is sent, and the store is written last: only so may a replay skip, by a profile's
`w`, both the change of state and its outputs. No framework and no event loop in here: a simulation runs this very code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from app.stages.records import OutRecord, Work


class Ports(Protocol):
    """What the protocol acts on, for one partition."""

    def still_mine(self) -> None:
        """Raise `StateError(FENCED)` when the last good heartbeat is older than the session."""
        ...

    async def send(self, outputs: Mapping[tuple[str, int], Sequence[OutRecord]]) -> None:
        """Send records and return when every one is acknowledged by all in-sync replicas."""
        ...

    async def append(self, changelog: Sequence[tuple[bytes, bytes | None]]) -> int:
        """Append to the partition's changelog, in order; the offset of the last record once all are acknowledged."""
        ...

    def write(self, writes: Mapping[bytes, bytes | None], log_offset: int) -> None:
        """One atomic write of state and the changelog offset that it stands for."""
        ...

    def committable(self, src_next: int) -> None:
        """The source offset may be committed up to here."""
        ...


async def commit(work: Work, ports: Ports, failpoint: Callable[[str], None]) -> None:
    """Carry out one batch's work.

    Raises:
        StateError: FENCED; the partition has another owner and nothing more may leave this process.
        Exception: whatever the ports raise; the batch must then be computed again from state that was written.
    """
    failpoint("after_compute")
    if work.outputs:
        ports.still_mine()
        await ports.send(work.outputs)
    if work.later:
        ports.still_mine()
        await ports.send(work.later)
    failpoint("after_outputs_ack")
    if work.changelog:
        ports.still_mine()
        log_offset = await ports.append(work.changelog)
        failpoint("after_changelog_ack")
        ports.still_mine()
        ports.write(work.writes, log_offset)
        failpoint("after_store_write")
    elif work.writes:
        # The source is the changelog: what is written stands for all of it up to here.
        ports.write(work.writes, work.src_next - 1)
        failpoint("after_store_write")
    ports.committable(work.src_next)
    failpoint("after_source_commit")
