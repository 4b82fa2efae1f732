"""Topics: created, described, checked, measured and deleted; and where a group stands."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, TypeVar

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.offset import OffsetRequest

from app.errors import HeadwaterError
from app.kafka.clients import PLAINTEXT, KafkaSettings
from app.kafka.wire import TopicIdsRequest
from app.settings import Security

TIMEOUT_S = 30.0
"""For one call with its retries: a topic just made, or a broker just started, is not ready everywhere at once."""
BACKOFF_S = 0.05
LATEST = -1
EARLIEST = -2

Place = tuple[str, int]
"""Topic and partition."""

T = TypeVar("T")


class AdminError(HeadwaterError):
    """The brokers cannot do what was asked; the operator reads why."""


class TopicError(HeadwaterError):
    """Topics that are there are not as they must be; every fault at once, and the operator mends them."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic that must be."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)
    """Kafka's topic settings for its creation; of these, the ones that correctness rests on are checked later too."""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """A topic that is."""

    topic_id: str
    """Another one after the topic was deleted and made anew."""
    partitions: int
    leaders: tuple[int, ...]
    """Node by partition; -1 while there is none."""


class Admin:
    """Questions and orders to the cluster. An `async with` block opens and closes its connections.

    Every method may raise AdminError: the brokers refused, or did not answer in `TIMEOUT_S`.
    """

    def __init__(self, brokers: str, security: Security = PLAINTEXT) -> None:
        self._settings = KafkaSettings.of(brokers, security)
        self._client: AIOKafkaAdminClient | None = None

    async def __aenter__(self) -> Self:
        client = AIOKafkaAdminClient(**self._settings.connect_arguments())
        try:
            await client.start()
        except KafkaError as error:
            await client.close()
            raise AdminError(f"no broker of {', '.join(self._settings.brokers)} answers: {error!r}") from error
        self._client = client
        return self

    async def __aexit__(self, *_: object) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create what is missing, check what is there, and return when every partition has a leader.

        Raises:
            TopicError: A topic has another number of partitions, or settings under which data would be lost.
        """
        there = await self.describe([spec.name for spec in specs])
        await self._check([spec for spec in specs if spec.name in there], there)
        missing = [spec for spec in specs if spec.name not in there]
        if missing:
            await self._retried("create topics", lambda: self._create(missing))
        await self._retried("wait for leaders", lambda: self._led(specs))

    async def describe(self, topics: Iterable[str]) -> dict[str, TopicFacts]:
        """What is there of these topics; the others are left out."""
        names = list(topics)
        return await self._retried("describe topics", lambda: self._describe(names))

    async def end_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """The offset that the next record gets, for each partition."""
        return await self._offsets(list(places), LATEST)

    async def beginning_offsets(self, places: Iterable[Place]) -> dict[Place, int]:
        """The first offset that is still there, for each partition."""
        return await self._offsets(list(places), EARLIEST)

    async def committed(self, group: str, places: Iterable[Place]) -> dict[Place, int | None]:
        """The offset each partition's group goes on from; None where it never committed."""
        return {place: offset for place, (offset, _) in (await self.positions(group, places)).items()}

    async def notes(self, group: str, places: Iterable[Place]) -> dict[Place, str]:
        """What the group has committed beside its offsets; empty where there is nothing."""
        return {place: note for place, (_, note) in (await self.positions(group, places)).items()}

    async def positions(self, group: str, places: Iterable[Place]) -> dict[Place, tuple[int | None, str]]:
        """Both of one commit."""
        wanted: dict[str, list[int]] = {}
        for topic, partition in places:
            wanted.setdefault(topic, []).append(partition)

        async def ask() -> dict[Place, tuple[int | None, str]]:
            # By own request: aiokafka's `list_consumer_group_offsets` passes over the error of the whole answer, and a
            # coordinator that is still loading would look like a group without offsets.
            coordinator = await self._live().find_coordinator(group)
            request = OffsetFetchRequest(group, list(wanted.items()))
            answer = await self._live()._send_request(request, coordinator)
            _raise_for(answer.error_code, group)
            found: dict[Place, tuple[int | None, str]] = {}
            for topic, partitions in answer.topics:
                for partition, offset, note, code in partitions:
                    _raise_for(code, f"{topic}/{partition}")
                    found[topic, partition] = offset if offset >= 0 else None, note or ""
            return found

        return await self._retried(f"read the offsets of group {group}", ask) if wanted else {}

    async def commit(self, group: str, offsets: Mapping[Place, int]) -> None:
        """Put down offsets of a group that has no members."""
        wanted: dict[str, list[tuple[int, int, str]]] = {}
        for (topic, partition), offset in offsets.items():
            wanted.setdefault(topic, []).append((partition, offset, ""))

        async def put_down() -> None:
            coordinator = await self._live().find_coordinator(group)
            nobody, for_ever = OffsetCommitRequest.DEFAULT_GENERATION_ID, OffsetCommitRequest.DEFAULT_RETENTION_TIME
            request = OffsetCommitRequest(group, nobody, "", for_ever, list(wanted.items()))
            answer = await self._live()._send_request(request, coordinator)
            for topic, partitions in answer.topics:
                for partition, code in partitions:
                    _raise_for(code, f"{topic}/{partition}")

        if wanted:
            await self._retried(f"put down the offsets of group {group}", put_down)

    async def delete_topic(self, name: str) -> None:
        """Delete a topic and return when it is gone; nothing happens if there is none."""

        async def delete() -> None:
            answer = await self._live().delete_topics([name])
            for _, code, *_ in answer.topic_error_codes:
                if code != UnknownTopicOrPartitionError.errno:
                    _raise_for(code, name)
            if await self._describe([name]):
                raise KafkaConnectionError(f"{name} is still there")

        await self._retried(f"delete topic {name}", delete)

    async def delete_records(self, topic: str, partition: int, before: int) -> None:
        """Cut the beginning of a partition: `before` becomes its first offset."""
        order = {TopicPartition(topic, partition): RecordsToDelete(before)}
        await self._retried(f"delete records of {topic}", lambda: self._live().delete_records(order))

    async def _create(self, specs: Sequence[TopicSpec]) -> None:
        topics = [
            NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=dict(spec.config)) for spec in specs
        ]
        answer = await self._live().create_topics(topics)
        for name, code, message in answer.topic_errors:
            # Another process may be doing the same; what it made is checked by whoever starts next.
            if code != TopicAlreadyExistsError.errno:
                _raise_for(code, f"{name}: {message}")

    async def _describe(self, names: Sequence[str]) -> dict[str, TopicFacts]:
        answer = await self._live()._send_request(TopicIdsRequest(names))
        found: dict[str, TopicFacts] = {}
        for code, name, topic_id, _, partitions, *_ in answer.topics:
            if code == UnknownTopicOrPartitionError.errno:
                continue
            _raise_for(code, name)
            leaders = {partition: leader for _, partition, leader, *_ in partitions}
            found[name] = TopicFacts(str(topic_id), len(leaders), tuple(leaders[at] for at in sorted(leaders)))
        return found

    async def _led(self, specs: Sequence[TopicSpec]) -> None:
        there = await self._describe([spec.name for spec in specs])
        for spec in specs:
            if spec.name not in there or min(there[spec.name].leaders, default=-1) < 0:
                raise KafkaConnectionError(f"{spec.name} has partitions without a leader")

    async def _check(self, specs: Sequence[TopicSpec], there: Mapping[str, TopicFacts]) -> None:
        settings = await self.topic_settings([spec.name for spec in specs])
        faults: list[str] = []
        for spec in specs:
            partitions = there[spec.name].partitions
            if partitions != spec.partitions:
                faults.append(
                    f"topic {spec.name} has {partitions} partitions, but {spec.partitions} are configured. The number "
                    f"is fixed for life: set kafka.partitions to {partitions}, or use another kafka.topic_prefix"
                )
            faults += setting_faults(spec, settings[spec.name])
        if faults:
            raise TopicError(faults)

    async def topic_settings(self, names: Sequence[str]) -> dict[str, dict[str, str]]:
        """Kafka's settings of these topics, which must be there: topic → setting → value, as text."""
        if not names:
            return {}

        async def ask() -> dict[str, dict[str, str]]:
            wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
            found: dict[str, dict[str, str]] = {}
            for answer in await self._live().describe_configs(wanted):
                for code, message, _, name, entries in answer.resources:
                    _raise_for(code, f"{name}: {message}")
                    found[name] = {entry[0]: entry[1] or "" for entry in entries}
            return found

        return await self._retried("read topic settings", ask)

    async def _offsets(self, places: Sequence[Place], when: int) -> dict[Place, int]:
        async def ask() -> dict[Place, int]:
            there = await self._describe(sorted({topic for topic, _ in places}))
            by_leader: dict[int, dict[str, list[tuple[int, int]]]] = {}
            for topic, partition in places:
                if topic not in there or partition >= there[topic].partitions:
                    raise AdminError(f"there is no partition {partition} of topic {topic}")
                leader = there[topic].leaders[partition]
                by_leader.setdefault(leader, {}).setdefault(topic, []).append((partition, when))
            found: dict[Place, int] = {}
            for leader, topics in by_leader.items():
                answer = await self._live()._send_request(OffsetRequest(-1, 0, list(topics.items())), leader)
                for topic, partitions in answer.topics:
                    for partition, code, _, offset in partitions:
                        _raise_for(code, f"{topic}/{partition}")
                        found[topic, partition] = offset
            return found

        return await self._retried("read offsets", ask) if places else {}

    async def _retried(self, what: str, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer or a lasting error."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + TIMEOUT_S
        while True:
            try:
                return await ask()
            except (KafkaError, TimeoutError) as error:
                lasting = isinstance(error, KafkaError) and not error.retriable
                if lasting or loop.time() >= deadline:
                    raise AdminError(f"cannot {what}: {error!r}") from error
            await asyncio.sleep(BACKOFF_S)

    def _live(self) -> AIOKafkaAdminClient:
        assert self._client is not None, "use `async with Admin(…)`"
        return self._client


def setting_faults(spec: TopicSpec, settings: Mapping[str, str]) -> list[str]:
    """What of a topic's settings differs from the specification in a way that breaks a promise."""
    faults: list[str] = []
    for name in ("cleanup.policy", "message.timestamp.type"):
        wanted, found = spec.config.get(name), settings.get(name, "")
        if wanted is not None and set(wanted.split(",")) != set(found.split(",")):
            faults.append(
                f"topic {spec.name} has {name}={found}, it must be {wanted}. {_mend(spec.name, name, wanted)}"
            )
    wanted = spec.config.get("max.message.bytes")
    found = settings.get("max.message.bytes", "")
    if wanted is not None and found and int(found) < int(wanted):
        faults.append(
            f"topic {spec.name} takes records of {found} bytes, it must take {wanted}. "
            + _mend(spec.name, "max.message.bytes", wanted)
        )
    return faults


def _raise_for(code: int, what: str) -> None:
    """Raise what Kafka's error code stands for; 0 is no error."""
    if code:
        raise for_code(code)(what)


def _mend(topic: str, name: str, wanted: str) -> str:
    return f"Mend it with: kafka-configs --alter --topic {topic} --add-config {name}=[{wanted}]"
