"""A list destination looked at from outside: its changelog read, its vendor asked, its lane told to mend a list."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

from app import configuration
from app.activation.destination import Configured
from app.activation.lists.drift import Drift, drift
from app.activation.lists.leaving import Departures, Leaving
from app.activation.lists.overview import Ledger
from app.activation.lists.repair import repairs
from app.activation.lists.vendor import Lists
from app.clock import SystemClock
from app.delivery import exchange
from app.delivery.breaker import BreakerSettings
from app.delivery.exchange import Exchanges
from app.delivery.gate import Gate
from app.delivery.guard import Guard
from app.delivery.limiter import Limiter
from app.delivery.list_door import Door, Said
from app.delivery.slots import Slots
from app.delivery.transport import Transport
from app.kafka.admin import Admin
from app.kafka.consumer import BulkRead, BulkReader
from app.kafka.producer import Producer
from app.settings import Security, Settings
from app.topics import JSON_HEADERS, Topics


async def read(brokers: str, security: Security, topics: Topics, name: str) -> Ledger:
    """What a destination's changelog holds; nothing where there is none yet.

    Raises:
        HeadwaterError: no broker answers.
    """
    ledger = Ledger()
    await _read_into(ledger, brokers, security, topics.lists_changelog(name))
    return ledger


async def departures(brokers: str, settings: Settings, profiles: Collection[str]) -> dict[str, list[Leaving]]:
    """List destination → what has become of these profiles on its lists.

    Raises:
        HeadwaterError: no broker answers.
    """
    topics, now_ms = Topics(settings.kafka.topic_prefix), SystemClock().now_ms()
    found: dict[str, list[Leaving]] = {}
    configured = configuration.destinations(settings)
    for name, intervals_s in configuration.list_intervals(settings).items():
        lists, read_so_far = configured[name].lists, Departures(profiles)
        assert lists is not None, "a list destination"
        await _read_into(read_so_far, brokers, settings.kafka.security, topics.lists_changelog(name))
        found[name] = read_so_far.found(
            intervals_s, settings.delivery.list_first_wait_s, now_ms, additive_only=lists.additive_only
        )
    return found


async def _read_into(into: Ledger | Departures, brokers: str, security: Security, topic: str) -> None:
    async with Admin(brokers, security) as admin:
        if not await admin.describe([topic]):
            return
        place = (topic, 0)
        start, end = (await admin.beginning_offsets([place]))[place], (await admin.end_offsets([place]))[place]
    async for records in BulkReader(brokers, security).read(BulkRead(topic, 0, start, end)):
        into.take((each.key, each.value) for each in records)


@dataclass(frozen=True, slots=True)
class Compared:
    """One list."""

    list: bytes
    """The audience's id."""
    audience: str
    """Its key."""
    found: Drift | str
    """How the vendor's list differs from the ledger; or why it is not known."""

    @property
    def sound(self) -> bool:
        return isinstance(self.found, Drift) and self.found.sound


async def compare(configured: Configured, ledger: Ledger, allow_networks: Sequence[str]) -> list[Compared]:
    """Each list, by its audience.

    Beside a delivery that runs, the rate may be passed by what this asks.
    """
    assert configured.lists is not None, "a list destination"
    found: list[Compared] = []
    async with AsyncExitStack() as stack:
        transport = Transport(Guard.of(allow_networks))
        stack.push_async_callback(transport.close)
        door = _door(configured, transport)
        for list_, kept in sorted(ledger.lists.items(), key=lambda one: one[1].audience):
            external = kept.external or configured.lists.given.get(kept.audience, "")
            shown = await _shown(configured, configured.lists, door, external)
            differs = drift(ledger.entries(list_), ledger.past(list_), shown) if not isinstance(shown, str) else shown
            found.append(Compared(list_, kept.audience, differs))
    return found


async def order_repairs(brokers: str, security: Security, topic: str, compared: Iterable[Compared]) -> None:
    """Tell the lane of a list destination to mend what was found; each list's next update does it.

    Raises:
        HeadwaterError: the broker has not taken all of it; what it has is mended.
    """
    values = [
        value
        for each in compared
        if isinstance(each.found, Drift)
        for value in repairs(each.list, each.found.missing, each.found.back)
    ]
    async with Producer(brokers, security) as producer:
        for value in values:
            await producer.send({(topic, 0): [(None, value, JSON_HEADERS)]})


async def _shown(configured: Configured, lists: Lists, door: Door, external: str) -> frozenset[str] | str:
    """The keys of a list's members, or why they are not known."""
    ask = lists.shown
    if ask is None:
        return f"{configured.type} does not tell who is on a list"
    if not external:
        return "the list has not been made yet"
    said: Said[frozenset[str]] = await door.talk(lambda attempt: ask(external, attempt), probe=await door.admitted())
    return said.value if said.value is not None else f"{said.ended.outcome!r}: {said.ended.message}"


def _door(configured: Configured, transport: Transport) -> Door:
    clock = SystemClock()
    limiter = Limiter(configured.limits.requests_per_s, clock=clock, grow_after_s=0.0)
    limiter.set_share(range(1), 1)
    exchanges = Exchanges(
        configured,
        exchange.Surroundings(
            clock=clock,
            sleep=asyncio.sleep,
            deliver=transport.send,
            turn=limiter.acquire,
            may_send=lambda: True,
            heard=lambda response: None,
        ),
    )
    gate = Gate(BreakerSettings(in_a_row=10**9, requests_min=10**9), probe_every_s=0.0)
    return Door(
        configured.type, exchanges, gate, clock, asyncio.sleep, in_flight_max=1, hold_s_max=0.0, account=Slots(1)
    )
