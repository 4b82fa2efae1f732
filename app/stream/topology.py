"""The stream's graph on one page.

    events.raw ──► resolve ─────────────────────────► profiles.in ──► compute ──┬──► destinations.<name>
                   │  ▲  └──► identity.links ──► link ──►  ▲  ▲           │     ├──► changes
                   │  └─ identity.assignments ◄──┤         │  └─ imports ◄┤     ├──► events.dead
                   ▼                             ▼         │    timers ◄─┤     └──► headwater.profiles.changelog
              events.dead           headwater.identity.changelog         │
                                                           │             ▼
                                         facts, for members └── compute_accounts ◄── accounts.in, and the same out of it

All agents take whole batches and hand each to its partition's lane, which computes it and commits it. Faust keeps
what it is good at (agents, topics, assignment, rebalance); it owns no table, no commit and no recovery here.
"""

from __future__ import annotations

from collections.abc import AsyncIterable

from app.stream.lanes import Lanes
from app.topics import Topics
from app.transport.apps import BatchApp
from app.transport.batches import Batch


def add_agents(app: BatchApp, topics: Topics, lanes: Lanes) -> None:
    """The graph above."""

    @app.agent(topics.events_raw, "resolve")
    async def resolve(batches: AsyncIterable[Batch]) -> None:
        async for batch in batches:
            lanes.offer(batch)

    @app.agent(topics.identity_assignments, "assignments")
    async def assignments(batches: AsyncIterable[Batch]) -> None:
        async for batch in batches:
            lanes.offer(batch)

    @app.agent(topics.identity_links, "link")
    async def link(batches: AsyncIterable[Batch]) -> None:
        async for batch in batches:
            lanes.offer(batch)

    @app.agent(topics.profiles_in, "compute")
    async def compute(batches: AsyncIterable[Batch]) -> None:
        async for batch in batches:
            lanes.offer(batch)

    @app.agent(topics.accounts_in, "compute_accounts")
    async def compute_accounts(batches: AsyncIterable[Batch]) -> None:
        async for batch in batches:
            lanes.offer(batch)
