"""The lanes of list destinations as the delivery process puts them together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping

from app.activation.destination import Configured
from app.activation.outcome import Response
from app.clock import Clock
from app.delivery import exchange
from app.delivery.accounts import Account
from app.delivery.exchange import Deliver, Exchanges
from app.delivery.list_lane import ListLane, Surroundings
from app.delivery.list_table import KafkaChangeLog, ListTable, open_table
from app.delivery.list_update import ListLaneSettings
from app.delivery.observe import DeliveryMetrics
from app.delivery.retry import retry_settings
from app.delivery.sender import Publish
from app.delivery.watch import TIMEOUTS_MIN
from app.errors import StateError, StateErrorReason
from app.kafka.producer import Producer
from app.observability.watchdog import Watchdog
from app.settings import Settings, WorkerOptions
from app.topics import Topics


class Lists:
    """What all list lanes of a worker share.

    Args:
        age_s: Gives how old the last good heartbeat is, and how old it may be.
    """

    def __init__(
        self, options: WorkerOptions, settings: Settings, topics: Topics, producer: Producer, observed: DeliveryMetrics,
        *, clock: Clock, deliver: Deliver, publish: Publish, age_s: Callable[[], tuple[float, float]],
        failpoint: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._options = options
        self._settings = settings
        self._topics = topics
        self._producer = producer
        self._observed = observed
        self._clock = clock
        self._deliver = deliver
        self._publish = publish
        self._age_s = age_s
        self._failpoint = failpoint

    def lane(self, name: str, configured: Configured, intervals_s: Mapping[str, float], account: Account) -> ListLane:
        """One destination's."""
        settings = ListLaneSettings(
            first_wait_s=self._settings.delivery.list_first_wait_s,
            retry=retry_settings(self._settings, name),
        )
        around = Surroundings(
            clock=self._clock,
            sleep=asyncio.sleep,
            jitter=random.random,
            open_table=lambda: self._open(name),
            exchanges=lambda heard: self._exchanges(name, configured, heard, account),
            publish=self._publish,
            observe=self._observed.lists(name),
            failpoint=self._failpoint,
            account=account.slots,
        )
        return ListLane(name, configured, intervals_s, around, settings, topics=self._topics)

    def watch(self, name: str, lane: ListLane, waiting: Callable[[], int], *, timeout_s: float) -> ListWatch:
        """Its watchdog."""
        stalled_after_s = max(self._settings.health.stalled_after_s, TIMEOUTS_MIN * timeout_s)
        return ListWatch(name, lane, waiting, self._clock, stalled_after_s=stalled_after_s)

    async def _open(self, name: str) -> ListTable:
        changelog = KafkaChangeLog(
            self._options.brokers, self._settings.kafka.security, self._producer, self._topics.lists_changelog(name)
        )
        directory = self._options.data_dir / self._options.name / f"lists-{name}"
        return await open_table(directory, changelog, self._clock, self._mine)

    def _mine(self) -> None:
        age_s, session_s = self._age_s()
        if age_s >= session_s:
            message = f"the last good heartbeat is {age_s:.1f} s old: the lists may have another owner by now"
            raise StateError(0, StateErrorReason.FENCED, message)

    def _exchanges(
        self, name: str, configured: Configured, heard: Callable[[Response], None], account: Account
    ) -> Exchanges:
        def may_send() -> bool:
            age_s, session_s = self._age_s()
            return age_s < session_s

        return Exchanges(
            configured,
            exchange.Surroundings(
                clock=self._clock,
                sleep=asyncio.sleep,
                deliver=self._observed.timed(name, self._deliver),
                turn=lambda: account.turn(lambda: False),
                may_send=may_send,
                heard=heard,
            ),
        )


class ListWatch:
    """A list destination's watchdog: records that wait must be put down. Lists wait for their vendors by right."""

    def __init__(
        self, name: str, lane: ListLane, waiting: Callable[[], int], clock: Clock, *, stalled_after_s: float
    ) -> None:
        self._lane = lane
        self._waiting = waiting
        self._lag = 0
        self._progress = 0
        self.watchdog = Watchdog(
            lambda: self._lag, lambda: self._progress, clock, stalled_after_s=stalled_after_s, name=name
        )

    def beat(self) -> None:
        """The event loop turns; the watchdog's thread sees numbers only."""
        self._lag = self._waiting() if self._lane.serves else 0
        self._progress = self._lane.answered
        self.watchdog.beat()
