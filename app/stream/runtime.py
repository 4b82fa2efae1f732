"""The stream process: Faust app, lanes, stores, timers, health; started and stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Set
from contextlib import AsyncExitStack

from app import configuration
from app.clock import SystemClock
from app.errors import StateError, StateErrorReason
from app.kafka.admin import Admin
from app.kafka.consumer import BulkReader
from app.kafka.producer import Producer
from app.observability import catalogue, logs, run_file, tasks
from app.observability.failpoints import Failpoint, failpoint
from app.observability.health import Health
from app.observability.metrics import Metrics
from app.observability.server import HealthServer
from app.observability.watchdog import Watchdog
from app.settings import Settings, WorkerOptions
from app.stream.account_timers import AccountPump
from app.stream.collected import Collected, collected
from app.stream.engines import AssignmentsEngine, ComputeEngine, LinkEngine, ResolveEngine
from app.stream.firing import Firing, Serving
from app.stream.knowledge import Knowledge
from app.stream.lane import Engine, Lane, LaneLimits
from app.stream.lanes import Lanes
from app.stream.observe import StreamMetrics
from app.stream.passed import Passed
from app.stream.ports import StreamPorts
from app.stream.repair import Repair, append_hidden, is_graph_state, is_profile_state
from app.stream.restore import Restored
from app.stream.restores import Restores
from app.stream.resyncs import Resyncs
from app.stream.splits import Splits
from app.stream.state_engine import Home, StateEngine
from app.stream.store import StoreBudget, StoreShare
from app.stream.timers import TimerPump
from app.stream.topology import add_agents
from app.topics import Topics, stream_group
from app.transport.apps import AppOptions, BatchApp
from app.transport.batches import TP
from app.transport.fence import Fence

log = logs.get("stream")

EXIT_FAILED = 1


async def run(settings: Settings, options: WorkerOptions) -> int:
    """Serve until cancelled; gives the exit code."""
    async with AsyncExitStack() as stack:
        return await Runtime(settings, options).serve(stack)


class Runtime:
    """Everything of one stream worker."""

    def __init__(self, settings: Settings, options: WorkerOptions) -> None:
        self.settings = settings
        self.options = options
        self.topics = Topics(settings.kafka.topic_prefix)
        self.clock = SystemClock()
        self.health = Health()
        self.metrics = Metrics("stream")
        self.observed = StreamMetrics(self.metrics, self.clock)
        self.rules = configuration.identity_rules(settings)
        half = settings.stream.store_memory_bytes // 2
        self.share = StoreShare(StoreBudget(block_cache_bytes=half, write_buffer_bytes=half))
        self.producer = Producer(options.brokers, settings.kafka.security)
        self.reader = BulkReader(options.brokers, settings.kafka.security)
        self.admin = Admin(options.brokers, settings.kafka.security)
        self.lanes = Lanes(self._lane)
        self.app = BatchApp(
            AppOptions(
                group=stream_group(self.topics),
                instance=options.name,
                brokers=options.brokers,
                data_dir=options.data_dir / options.name,
                poll_records=2 * settings.stream.batch_records,
            ),
            self.lanes,
        )
        self.fence = Fence(self.app.heartbeat_age_s, self.app.session_s)
        self.users, self.accounts = collected(self.topics)
        self.engines: dict[TP, ComputeEngine] = {}
        self.failure: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self.failed: dict[TP, str] = {}
        group = stream_group(self.topics)
        self.restores = Restores(self.topics, self.admin, self.reader, self.clock, group, self.observed.restoring)
        self.knowledge = Knowledge(self.topics, self.admin, group, self.lanes.get)
        self.turn = asyncio.Lock()
        self.limits = LaneLimits(
            batch_records=settings.stream.batch_records,
            compute_s=settings.stream.compute_budget_s,
            queued_records_max=4 * settings.stream.batch_records,
            checkpoint_s=settings.stream.revoke_budget_s,
        )

    async def serve(self, stack: AsyncExitStack) -> int:
        probe = HealthServer(self.health, self.metrics, host=self.settings.health.host, port=self.settings.health.port)
        address = await probe.start()
        stack.push_async_callback(probe.stop)
        run_file.write(self.options.data_dir, self.options.name, {"health": address})
        self.health.check("partitions", self._not_serving)
        await self.producer.start()
        stack.push_async_callback(self.producer.stop)
        await stack.enter_async_context(self.admin)
        add_agents(self.app, self.topics, self.lanes)
        stack.push_async_callback(self._stop)
        await self.app.start()
        log.info("started", health=address, group=stream_group(self.topics))
        users, accounts = self._pumps()
        splits = Splits(
            self.topics, self.settings.kafka.partitions, self.admin, self.reader, self.producer, self.fence,
            serving=lambda: self._serving(self.users), failpoint=_failpoint,
        )  # fmt: skip
        watchdog = Watchdog(
            lambda: self.observed.lag_total,
            lambda: self.observed.progress,
            self.clock,
            stalled_after_s=self.settings.health.stalled_after_s,
        )
        watchdog.start(asyncio.get_running_loop())
        stack.callback(watchdog.stop)
        supervised = [
            asyncio.create_task(users.run(), name="timers"),
            asyncio.create_task(accounts.run(), name="timers of accounts"),
            asyncio.create_task(splits.run(), name="splits"),
            *(asyncio.create_task(each.run(), name="resyncs") for each in self._resyncs()),
            asyncio.create_task(self._beat(watchdog), name="beat"),
            asyncio.create_task(self._crashed(), name="faust"),
            asyncio.create_task(self._failed(), name="partitions"),
        ]
        stack.push_async_callback(tasks.cancel, supervised)
        await tasks.first_to_end(supervised, log)
        return EXIT_FAILED

    def _pumps(self) -> tuple[TimerPump, AccountPump]:
        topics, partitions, group = self.topics, self.settings.kafka.partitions, stream_group(self.topics)
        firing = [Firing(each.source, self.producer, self.fence, _failpoint) for each in (self.users, self.accounts)]
        passed = Passed(
            topics, partitions, self.admin, group, others_ask=lambda: len(self._serving(self.accounts)) < partitions
        )
        users = TimerPump(
            topics, partitions, self.admin, self.clock, group, firing[0], passed,
            grace_ms=self.settings.stream.timer_grace_ms, serving=lambda: self._serving(self.users),
            sources=self._sources, linker=self._linker,
        )  # fmt: skip
        accounts = AccountPump(
            topics.accounts_in, self.admin, self.clock, firing[1], passed,
            serving=lambda: self._serving(self.accounts), behind=self.observed.accounts_behind,
        )  # fmt: skip
        return users, accounts

    def _resyncs(self) -> list[Resyncs]:
        return [
            Resyncs(
                of.source, self.topics, self.settings.kafka.partitions, self.admin, self.producer, self.fence,
                serving=lambda of=of: self._serving(of), now_s=self.clock.monotonic_s,  # type: ignore[misc]
                stuck=self.observed.resyncs_stuck(of.source),
            )
            for of in (self.users, self.accounts)
        ]  # fmt: skip

    async def _stop(self) -> None:
        """Checkpoint and commit while still in the group, then leave it and let go of the stores."""
        await self.lanes.checkpoint(list(self.lanes.all()))
        await self.app.stop()
        await self.lanes.close()

    # lanes

    def _lane(self, tp: TP, generation: int) -> Lane:
        engine = self._engine(tp, generation)
        ports = self._ports(tp, engine)
        if isinstance(engine, StateEngine):
            engine.ports = ports
        return self._new_lane(tp, engine, ports)

    def _engine(self, tp: TP, generation: int) -> ResolveEngine | StateEngine:
        topics, partition, partitions = self.topics, tp.partition, self.settings.kafka.partitions
        if tp.topic == topics.events_raw:
            resolver = self.knowledge.resolvers[partition] = ResolveEngine(
                topics, partition, self.rules, self.clock,
                known=lambda: self.knowledge.whole(partition), start=lambda: self._span_of(tp),
            )  # fmt: skip
            return resolver
        if tp.topic == topics.identity_assignments:
            self.knowledge.renew(partition)
            return AssignmentsEngine(
                self._home(tp, f"identifiers-{partition}"), self.rules.link.version(), partitions,
                self.knowledge.tell, self.knowledge.told,
            )  # fmt: skip
        if tp.topic == topics.identity_links:
            return LinkEngine(self._home(tp, "graph"), topics, partitions, generation=generation)
        of = self._collected(tp.topic)
        engine = self.engines[tp] = ComputeEngine(
            self._home(tp, f"{of.stores}-{partition}"),
            topics,
            partitions,
            collection=of.collection,
            generation=generation,
            cache_bytes=self.settings.stream.store_memory_bytes // 8 // partitions,
        )
        return engine

    def _collected(self, source: str) -> Collected:
        return self.users if source == self.users.source else self.accounts

    def _home(self, tp: TP, directory: str) -> Home:
        return Home(
            directory=self.options.data_dir / self.options.name / directory,
            partition=tp.partition,
            share=self.share,
            restore=self.restores[tp.topic],
            clock=self.clock,
            flush_every_s=self.settings.stream.flush_interval_s,
            before=lambda: self.lanes.gone(tp),
            restored=lambda partition, restored: self._restored(tp, restored),
            quarantined=self.observed.quarantined(tp.topic),
        )

    def _ports(self, tp: TP, engine: ResolveEngine | StateEngine) -> StreamPorts:
        changelog, repair = "", None
        if isinstance(engine, ComputeEngine):
            changelog = self._collected(tp.topic).changelog
            repair = self._repair(changelog, tp.partition, engine, is_profile_state)
        elif isinstance(engine, LinkEngine):
            changelog = self.topics.identity_changelog
            repair = self._repair(changelog, tp.partition, engine, is_graph_state)
        return StreamPorts(
            self.producer,
            changelog,
            tp.partition,
            self.fence,
            engine.write if isinstance(engine, StateEngine) else None,
            repair,
            _failpoint,
            self.observed.step(tp.topic),
        )

    def _new_lane(self, tp: TP, engine: Engine, ports: StreamPorts) -> Lane:
        return Lane(
            f"{tp.topic}-{tp.partition}",
            engine,
            ports,
            self.limits,
            self.turn,
            full=lambda full: self.app.hold(tp, full),
            fatal=lambda error: self._fatal(tp, error),
            failpoint=_failpoint,
            observe=self.observed.batch(tp.topic, tp.partition),
            computed=self.observed.computed(tp.topic),
        )

    def _fatal(self, tp: TP, error: Exception) -> None:
        reason = error.reason if isinstance(error, StateError) else StateErrorReason.CORRUPT
        self.metrics[catalogue.STATE_ERRORS].labels(reason).inc()
        self.failed[tp] = str(error)
        mine_alone = isinstance(error, StateError) and error.reason is not StateErrorReason.FENCED
        if not mine_alone and not self.failure.done():
            # Another owner, or a bug: this process must not go on as if it were whole.
            self.failure.set_result(error)

    def _repair(self, changelog: str, partition: int, engine: StateEngine, is_state: Callable[[bytes], bool]) -> Repair:
        async def repair(start: int, end: int, newer: Set[bytes]) -> int:
            log.error(
                "somebody else wrote to this partition's changelog; what that hides is appended again",
                changelog=changelog, partition=partition, first_offset=start, records=end - start,
            )  # fmt: skip
            self.metrics[catalogue.FOREIGN_WRITES].labels(changelog, str(partition)).inc(end - start)
            assert engine.store is not None, "a partition that commits has a store"
            return await append_hidden(
                changelog, partition, engine.store, self.reader, self.producer, start, end, newer, is_state
            )

        return repair

    def _restored(self, tp: TP, restored: Restored) -> None:
        self.observed.restored(tp.topic, tp.partition, restored.records, restored.seconds)
        log.info(
            "serving", topic=tp.topic, partition=tp.partition, restored_records=restored.records,
            seconds=round(restored.seconds, 2),
        )  # fmt: skip

    # what others ask

    def _serving(self, of: Collected) -> Mapping[int, Serving]:
        found: dict[int, Serving] = {}
        for tp, lane in self.lanes.all().items():
            engine = self.engines.get(tp)
            if (
                tp.topic == of.source and lane.ready.is_set() and tp not in self.failed
                and engine is not None and engine.store is not None
            ):  # fmt: skip
                found[tp.partition] = Serving(engine.store, lane, engine.plan_version, engine.has_accounts)
        return found

    def _sources(self) -> Mapping[int, Lane]:
        return {tp.partition: lane for tp, lane in self.lanes.all().items() if tp.topic == self.topics.events_raw}

    def _linker(self) -> Lane | None:
        return self.lanes.get(TP(self.topics.identity_links, 0))

    def _not_serving(self) -> str:
        if self.failed:
            return "; ".join(self.failed.values())
        if not self.app.joined:
            return "waiting for an assignment"
        restoring = [lane.name for lane in self.lanes.all().values() if not lane.ready.is_set()]
        return f"restoring {', '.join(restoring)}" if restoring else ""

    async def _span_of(self, tp: TP) -> tuple[int, int]:
        """The offset from which the group reads a partition, and its end; what is before its first record has been
        deleted."""
        place = (tp.topic, tp.partition)
        committed = await self.admin.committed(stream_group(self.topics), [place])
        starts = await self.admin.beginning_offsets([place])
        ends = await self.admin.end_offsets([place])
        return max(committed[place] or 0, starts[place]), ends[place]

    async def _beat(self, watchdog: Watchdog) -> None:
        while True:
            watchdog.beat()
            self.observed.stalled(watchdog.stalled_s)
            self._observe_partitions()
            self.observed.lags(
                {
                    (tp.topic, tp.partition): max(0, self.app.highwater(tp) - (lane.done_next or 0))
                    for tp, lane in self.lanes.all().items()
                    if lane.ready.is_set()
                }
            )
            await asyncio.sleep(1.0)

    def _observe_partitions(self) -> None:
        lanes = self.lanes.all()
        failed = sum(tp in lanes for tp in self.failed)
        ready = sum(lane.ready.is_set() and tp not in self.failed for tp, lane in lanes.items())
        self.observed.partitions(restoring=len(lanes) - ready - failed, serving=ready, failed=failed)
        for of in (self.users, self.accounts):
            for partition, served in self._serving(of).items():
                self.observed.stored(of.source, partition, served.store.size_bytes())

    async def _crashed(self) -> None:
        raise RuntimeError(f"Faust has given up: {await self.app.crashed()!r}")

    async def _failed(self) -> None:
        raise await self.failure


def _failpoint(name: str) -> None:
    failpoint(Failpoint(name))
