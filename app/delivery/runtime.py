"""The delivery process: one Faust agent, lane, limiter and sender per destination; started and stopped together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from app import configuration
from app.activation.destination import Configured
from app.clock import SystemClock
from app.delivery.accounts import Account, accounts
from app.delivery.erasures import Erasures
from app.delivery.feeds import Feeds, Receiver
from app.delivery.guard import Guard
from app.delivery.lane import Lane
from app.delivery.list_lane import ListLane
from app.delivery.list_parts import Lists
from app.delivery.observe import DeliveryMetrics
from app.delivery.retry import retry_settings
from app.delivery.sender import Sender, Surroundings
from app.delivery.transport import Transport, TransportSettings
from app.delivery.watch import Watch, Watched
from app.delivery.work import LaneSettings
from app.kafka.admin import Admin, AdminError
from app.kafka.consumer import BulkReader
from app.kafka.producer import ProduceError, Producer
from app.observability import logs, run_file, tasks
from app.observability.failpoints import Failpoint, failpoint
from app.observability.health import Health
from app.observability.metrics import Metrics
from app.observability.server import HealthServer
from app.settings import Settings, WorkerOptions
from app.topics import Topics, delivery_group
from app.transport.apps import AppOptions, BatchApp
from app.transport.batches import TP, Batch

log = logs.get("delivery")

EXIT_FAILED = 1
PUBLISH_RETRY_S = 1.0


async def run(settings: Settings, options: WorkerOptions) -> int:
    """Serve until cancelled; gives the exit code."""
    async with AsyncExitStack() as stack:
        return await Runtime(settings, options).serve(stack)


class Runtime:
    """Everything of one delivery worker."""

    def __init__(self, settings: Settings, options: WorkerOptions) -> None:
        self.settings = settings
        self.options = options
        self.topics = Topics(settings.kafka.topic_prefix)
        self.clock = SystemClock()
        self.health = Health()
        self.metrics = Metrics("delivery")
        self.observed = DeliveryMetrics(self.metrics, self.clock)
        self.producer = Producer(options.brokers, settings.kafka.security)
        self.admin = Admin(options.brokers, settings.kafka.security)
        reader = BulkReader(options.brokers, settings.kafka.security)
        self.erasures = Erasures(self.topics.regulations, self.admin, reader, self.clock, self._drop_erased)
        self.transport = Transport(Guard.of(settings.delivery.allow_networks), TransportSettings())
        self.lanes: dict[str, Lane] = {}
        self.watches: list[Watched] = []
        destinations = configuration.destinations(settings)
        sending = {
            name: self._bounded(configured)
            for name, configured in destinations.items()
            if configured.sends  # else the topic itself is the delivery
        }
        intervals_s = configuration.list_intervals(settings)
        keeping = {name: self._bounded(destinations[name]) for name in intervals_s}
        self.accounts: Mapping[str, Account] = accounts(
            sending | keeping, lambda name: 1 if name in keeping else settings.kafka.partitions, self.clock
        )
        self.senders: Mapping[str, Sender] = {
            self.topics.destination(name): self._sender(name, configured) for name, configured in sending.items()
        }
        lists = Lists(
            options, settings, self.topics, self.producer, self.observed, clock=self.clock,
            deliver=self.transport.send, publish=self._publish, age_s=self._heartbeat_age_s, failpoint=_failpoint,
        )  # fmt: skip
        self.lists: Mapping[str, ListLane] = {
            self.topics.destination(name): self._list_lane(lists, name, configured, intervals_s[name])
            for name, configured in keeping.items()
        }
        self.receivers: Mapping[str, Receiver] = {**self.senders, **self.lists}
        self.feeds = Feeds(self.receivers, lambda tp, full: self.app.hold(tp, full), self._share, self._notes)
        self.app = BatchApp(
            AppOptions(
                group=delivery_group(self.topics),
                instance=options.name,
                brokers=options.brokers,
                data_dir=options.data_dir / options.name,
                poll_records=1_000,
            ),
            self.feeds,
        )

    def _bounded(self, configured: Configured) -> Configured:
        limits = configured.limits
        in_flight_max = min(limits.in_flight_max, self.settings.delivery.in_flight_max)
        return replace(configured, limits=replace(limits, in_flight_max=in_flight_max))

    def _sender(self, name: str, configured: Configured) -> Sender:
        delivery = self.settings.delivery
        account = self.accounts[name]
        lane = self.lanes[name] = Lane(
            configured,
            LaneSettings(
                parked_items_max=delivery.parked_max,
                retry=retry_settings(self.settings, name),
            ),
            jitter=random.random,
            observe=self.observed.facts(name),
            erased=self.erasures.profiles,
        )
        around = Surroundings(
            clock=self.clock,
            sleep=asyncio.sleep,
            deliver=self.observed.timed(name, self.transport.send),
            publish=self._publish,
            turn=lambda: account.turn(lambda: lane.urgent),
            may_send=lambda: self.app.heartbeat_age_s() < self.app.session_s,
            failpoint=_failpoint,
        )
        sender = Sender(name, configured, lane, around, topics=self.topics, account=account.slots)
        topic = self.topics.destination(name)
        self.watches.append(
            Watch(
                name, lane, sender, lambda: self.feeds.waiting(topic), self.clock,
                stalled_after_s=self.settings.health.stalled_after_s, timeout_s=configured.limits.timeout_s,
            )
        )  # fmt: skip
        return sender

    def _drop_erased(self) -> None:
        for sender in self.senders.values():
            sender.drop_erased()

    def _list_lane(self, lists: Lists, name: str, configured: Configured, intervals_s: Mapping[str, float]) -> ListLane:
        lane = lists.lane(name, configured, intervals_s, self.accounts[name])
        topic = self.topics.destination(name)
        self.watches.append(
            lists.watch(name, lane, lambda: self.feeds.waiting(topic), timeout_s=configured.limits.timeout_s)
        )
        return lane

    def _heartbeat_age_s(self) -> tuple[float, float]:
        """Of the last good one, and how old it may be."""
        return self.app.heartbeat_age_s(), self.app.session_s

    def _share(self, held: Mapping[str, Collection[int]]) -> None:
        """The share of an account's limits is the share of its destinations' partitions."""
        mine = {name: held[self.topics.destination(name)] for name in self.accounts}
        for account in {id(one): one for one in self.accounts.values()}.values():
            account.set_share(mine)
        for topic, lane in self.lists.items():
            lane.own(bool(held[topic]))

    async def _notes(self, tps: Sequence[TP]) -> Mapping[TP, str]:
        """Without them there is nothing wrong but that some payloads are sent once more."""
        try:
            async with Admin(self.options.brokers, self.settings.kafka.security) as admin:
                found = await admin.notes(delivery_group(self.topics), [(tp.topic, tp.partition) for tp in tps])
        except AdminError as error:
            log.warning("what was settled before could not be read; some of it is sent again", error=str(error))
            return {}
        return {TP(topic, partition): note for (topic, partition), note in found.items()}

    async def _publish(self, topic: str, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        while True:
            try:
                await self.producer.send({(topic, 0): [(key, value, headers)]})
            except ProduceError as error:
                log.warning("a dead letter could not be written and is tried again", topic=topic, error=str(error))
                await asyncio.sleep(PUBLISH_RETRY_S)
            else:
                failpoint(Failpoint.AFTER_DEAD_LETTER_ACK)
                return

    async def serve(self, stack: AsyncExitStack) -> int:
        probe = HealthServer(self.health, self.metrics, host=self.settings.health.host, port=self.settings.health.port)
        address = await probe.start()
        stack.push_async_callback(probe.stop)
        run_file.write(self.options.data_dir, self.options.name, {"health": address})
        self.health.check("assignment", lambda: "" if self.app.joined or not self.receivers else "waiting")
        await self.producer.start()
        stack.push_async_callback(self.producer.stop)
        stack.push_async_callback(self.transport.close)
        supervised = [asyncio.create_task(sender.run(), name=topic) for topic, sender in self.senders.items()]
        supervised += [asyncio.create_task(lane.run(), name=topic) for topic, lane in self.lists.items()]
        for watch in self.watches:
            watch.watchdog.start(asyncio.get_running_loop())
            stack.callback(watch.watchdog.stop)
        supervised.append(asyncio.create_task(self._beat(), name="beat"))
        stack.push_async_callback(tasks.cancel, supervised)
        if self.receivers:
            await stack.enter_async_context(self.admin)
            await self.erasures.catch_up()
            supervised.append(asyncio.create_task(self.erasures.run(), name="erasures"))
            self._add_agents()
            stack.push_async_callback(self._stop)
            await self.app.start()
            supervised.append(asyncio.create_task(self._crashed(), name="faust"))
        log.info("started", health=address, destinations=sorted(self.accounts))
        await tasks.first_to_end(supervised, log)
        return EXIT_FAILED

    def _add_agents(self) -> None:
        """One agent per destination: what each does is take its batches to its lane."""
        for topic in self.receivers:

            @self.app.agent(topic, f"send.{topic}")
            async def send(batches: AsyncIterable[Batch]) -> None:
                async for batch in batches:
                    self.feeds.offer(batch)

    async def _stop(self) -> None:
        """Begin no more requests, let those in flight be settled, commit, leave."""
        for sender in self.senders.values():
            sender.stop()
        await asyncio.gather(*(sender.suspend() for sender in self.senders.values()))
        await self.app.stop()
        self.feeds.close()

    async def _beat(self) -> None:
        while True:
            for watch in self.watches:
                watch.beat()
            self.observed.stalled(max((watch.watchdog.stalled_s for watch in self.watches), default=0.0))
            for name, lane in self.lanes.items():
                self.observed.lane(name, lane)
            for name, account in self.accounts.items():
                self.observed.rate(name, account.pace.pace_per_s)
            await asyncio.sleep(1.0)

    async def _crashed(self) -> None:
        raise RuntimeError(f"Faust has given up: {await self.app.crashed()!r}")


def _failpoint(name: str) -> None:
    # The sender calls its own places by what they follow.
    failpoint({"after_http_2xx": Failpoint.AFTER_DELIVERY_RESPONSE}[name])
