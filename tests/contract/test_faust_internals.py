"""Every internal of faust-streaming and aiokafka that `app.transport` overrides or relies on.

They are no public interface, so a new release may change them without notice. One that fails here says which of our
assumptions broke; read `app/transport/batches.py` and `apps.py` again before the pin in pyproject.toml is moved.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.app.base import App
from faust.serializers.schemas import Schema
from faust.topics import Topic
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.consumer import ConsumerThread, Fetcher, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage
from mode import Service

from app.transport.batches import BatchConsumer, BatchSchema, BatchTransport, HeartbeatThread

Thread = driver.AIOKafkaConsumerThread
Listener = driver.ConsumerRebalanceListener


@pytest.mark.parametrize(("package", "wanted"), [("faust-streaming", "0.15."), ("aiokafka", "0.14.")])
def test_version_is_the_one_that_was_read(package: str, wanted: str) -> None:
    assert version(package).startswith(wanted), (
        f"{package} is {version(package)}, these tests were written against {wanted}*"
    )


SIGNATURES: list[tuple[Callable[..., Any], str, bool]] = [
    # what is there, its parameters, whether it is a coroutine
    (BaseConsumer._drain_messages, "self, fetcher", True),
    (BaseConsumer._wait_next_records, "self, timeout", True),
    (BaseConsumer.perform_seek, "self", True),
    (BaseConsumer.ack, "self, message", False),
    (BaseConsumer._filter_tps_with_pending_acks, "self, topics", False),
    (BaseConsumer._new_offset, "self, tp", False),
    (BaseConsumer._should_commit, "self, tp, offset", False),
    (BaseConsumer._commit_offsets, "self, offsets, start_new_transaction", True),
    (BaseConsumer.commit, "self, topics, start_new_transaction", True),
    (BaseConsumer.on_partitions_revoked, "self, revoked", True),
    (BaseConsumer.on_partitions_assigned, "self, assigned, generation_id", True),
    (BaseConsumer.on_buffer_full, "self, tp", False),
    (BaseConsumer.on_buffer_drop, "self, tp", False),
    (ThreadDelegateConsumer._commit, "self, offsets", True),
    (ThreadDelegateConsumer._new_consumer_thread, "self", False),
    (ThreadDelegateConsumer.assignment, "self", False),
    (ThreadDelegateConsumer.highwater, "self, tp", False),
    (driver.Consumer._new_consumer_thread, "self", False),
    (Thread.on_start, "self", True),
    (Thread.commit, "self, offsets", True),
    (Schema.compile, "self, app, on_key_decode_error, on_value_decode_error, default_propagate", False),
    (App.create_event, "self, key, value, headers, message", False),
    (GroupCoordinator._do_heartbeat, "self", True),
    (GroupCoordinator._maybe_leave_group, "self", True),
]


@pytest.mark.parametrize(
    ("method", "parameters", "coroutine"), SIGNATURES, ids=lambda each: getattr(each, "__qualname__", "")
)
def test_signatures(method: Callable[..., Any], parameters: str, coroutine: bool) -> None:
    method = inspect.unwrap(method)
    found = ", ".join(inspect.signature(method).parameters)
    assert found == parameters, f"{method.__qualname__} now takes ({found}); ours expects ({parameters})"
    assert inspect.iscoroutinefunction(method) == coroutine, f"{method.__qualname__} changed between def and async def"


SOURCES: list[tuple[str, Any, list[str]]] = [
    # assumption; where; expressions that follow one another in its source
    ("the fetcher hands itself to our _drain_messages", Fetcher, [r"_drain_messages\(self\)"]),
    (
        "_wait_next_records waits for the flow, reads the active partitions, and returns (records, active)",
        BaseConsumer._wait_next_records,
        [r"self\.flow_active", r"can_resume_flow", r"_get_active_partitions\(\)", r"return records, active_partitions"],
    ),
    (
        "seeking back is what Faust too does with records that come while the flow is stopped",
        BaseConsumer.getmany,
        [r"if self\.flow_active", r"else:", r"perform_seek\(\)"],
    ),
    (
        "a batch of another generation is not handed over",
        BaseConsumer.getmany,
        [r"generation_id = self\.app\.consumer_generation_id", r"new_generation_id != generation_id", r"break"],
    ),
    (
        "a message goes to the agents by callback, unless the flow is suspended meanwhile",
        BaseConsumer._drain_messages,
        [r"self\.wait_first\(\s*callback\(message\), self\.suspend_flow\.wait\(\)"],
    ),
    (
        "commit asks _filter_tps_with_pending_acks, then _new_offset and _should_commit, then _commit_offsets",
        (BaseConsumer.force_commit, BaseConsumer._commit_tps, BaseConsumer._filter_committable_offsets),
        [
            r"_filter_tps_with_pending_acks\(topics\)", r"self\._commit_tps\(",
            r"_filter_committable_offsets\(tps\)", r"self\._commit_offsets\(",
            r"self\._new_offset\(tp\)", r"self\._should_commit\(tp, offset\)",
        ],
    ),
    (
        "Faust's own _commit_offsets moves its bookkeeping on even if the commit failed: why ours replaces it",
        BaseConsumer._commit_offsets,
        [r"did_commit = await self\._commit\(committable_offsets\)", r"\n        self\._committed_offset\.update\("],
    ),
    (
        "a periodic task commits",
        BaseConsumer._commit_handler,
        [r"interval = self\.commit_interval", r"await self\.commit\(\)"],
    ),
    (
        "stopping commits once more, without waiting for agents when stream_wait_empty is off",
        BaseConsumer.on_stop,
        [r"stream_wait_empty", r"else:\s*await self\.commit_and_end_transactions\(\)"],
    ),
    (
        "the revoked callback pops the bookkeeping before it calls the app: a commit has to come before it",
        BaseConsumer.on_partitions_revoked,
        [r"_committed_offset\.pop\(tp, None\)", r"self\._on_partitions_revoked"],
    ),
    (
        "the app is told of an assignment within the assigned callback, after the active partitions are set",
        BaseConsumer.on_partitions_assigned,
        [r"self\._set_active_tps\(assigned\)", r"self\._on_partitions_assigned"],
    ),
    (
        "while partitions are revoked the app stops the flow and forgets what agents have not taken",
        App._on_partitions_revoked,
        [r"stop_flow", r"pause_partitions", r"flow_control\.clear"],
    ),
    (
        "the generation is on the app before the assigned callback runs",
        Listener.on_partitions_assigned,
        [r"_coordinator\.generation", r"consumer_generation_id = generation", r"thread\.on_partitions_assigned\("],
    ),
    (
        "rebalance callbacks are carried to the app's own loop, and waited for",
        (ThreadDelegateConsumer.threadsafe_partitions_revoked, ConsumerThread.on_partitions_revoked),
        [r"self\._method_queue\.call\(", r"self\.on_partitions_revoked", r"await promise"],
    ),
    (
        "a full partition leaves the set that is fetched and nothing else; it comes back when it drops",
        (BaseConsumer.on_buffer_full, BaseConsumer.on_buffer_drop),
        [r"active_partitions\.discard\(tp\)", r"_buffered_partitions\.add\(tp\)",
         r"active_partitions\.add\(tp\)", r"buffered_partitions\.discard\(tp\)"],
    ),
    (
        "stop_flow sets suspend_flow, resume_flow clears it, and flow_active says which",
        (BaseConsumer.stop_flow, BaseConsumer.resume_flow),
        [r"flow_active = False", r"suspend_flow\.set\(\)", r"flow_active = True", r"suspend_flow\.clear\(\)"],
    ),
    (
        "perform_seek puts the positions to what is committed, and the bookkeeping too",
        BaseConsumer.perform_seek,
        [r"await self\.seek_to_committed\(\)", r"self\._committed_offset\.update\("],
    ),
    (
        "the thread has made and started aiokafka's consumer when on_start returns",
        Thread.on_start,
        [r"self\._consumer = self\._create_consumer\(", r"await self\._consumer\.start\(\)"],
    ),
    (
        "the heartbeat is looked up at each beat, so that ours takes effect after the start",
        GroupCoordinator._heartbeat_routine,
        [r"success = await self\._do_heartbeat\(\)", r"if success"],
    ),
    (
        "the coordinator is looked up by the client, an error that can be retried is, and any other ends the task",
        (GroupCoordinator.ensure_coordinator_known, GroupCoordinator._coordination_routine),
        [r"await self\._client\.coordinator_lookup\(", r"if err\.retriable:", r"continue", r"except Exception as exc:",
         r"raise kafka_exc"],
    ),
    (
        "_do_heartbeat answers True for taken and False for not",
        GroupCoordinator._do_heartbeat,
        [r"return False", r"error_type is Errors\.NoError", r"return True", r"RebalanceInProgressError", r"return True",
         r"IllegalGenerationError", r"UnknownMemberIdError", r"return False"],
    ),
    (
        "a static member does not leave the group when it stops",
        GroupCoordinator._maybe_leave_group,
        [r"self\._group_instance_id is None", r"LeaveGroupRequest"],
    ),
    (
        "the settings we give reach aiokafka's consumer",
        Thread._create_worker_consumer,
        [r"group_instance_id=conf\.consumer_group_instance_id", r"enable_auto_commit=False",
         r"auto_offset_reset=conf\.consumer_auto_offset_reset", r"max_poll_records=conf\.broker_max_poll_records",
         r"max_partition_fetch_bytes=conf\.consumer_max_fetch_size",
         r"session_timeout_ms=int\(session_timeout \* 1000\.0\)",
         r"heartbeat_interval_ms=int\(conf\.broker_heartbeat_interval \* 1000\.0\)"],
    ),
    (
        "a topic decodes by what its schema compiles",
        Topic._compile_decode,
        [r"self\.decode = self\.schema\.compile\("],
    ),
    (
        "a crash sets _crashed and keeps its reason",
        Service,
        [r"self\._crashed\.set\(\)", r"def crash_reason"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("assumption", "where", "steps"), SOURCES, ids=[each[0] for each in SOURCES])
def test_sources(assumption: str, where: Any, steps: list[str]) -> None:
    places = where if isinstance(where, tuple) else (where,)
    source = "\n".join(inspect.getsource(inspect.unwrap(getattr(place, "fun", place))) for place in places)
    at = 0
    for step in steps:
        found = re.compile(step).search(source, at)
        assert found is not None, (
            f"no longer true: {assumption}. `{step}` is not (or no longer in this order) in "
            f"{', '.join(getattr(place, '__qualname__', repr(place)) for place in places)}"
        )
        at = found.end()


@pytest.mark.parametrize(
    "name",
    [
        "_drain_messages", "ack", "_filter_tps_with_pending_acks", "_new_offset", "_should_commit", "_commit_offsets",
        "on_partitions_revoked", "on_partitions_assigned", "on_stop", "_new_consumer_thread",
    ],
)  # fmt: skip
def test_what_is_overridden_is_there_to_be_overridden(name: str) -> None:
    assert hasattr(driver.Consumer, name), f"Faust's consumer has no {name} any more; ours is never called"
    ours, theirs = getattr(BatchConsumer, name), getattr(driver.Consumer, name)
    assert ours is not theirs, f"{name} is not overridden any more; take it off this list"
    wanted = list(inspect.signature(inspect.unwrap(theirs)).parameters)
    assert list(inspect.signature(ours).parameters) == wanted, f"ours of {name} is not called as Faust's is"


def test_classes_are_where_the_transport_looks_for_them() -> None:
    assert issubclass(BatchTransport, driver.Transport)
    assert issubclass(BatchConsumer, driver.Consumer)
    assert issubclass(HeartbeatThread, driver.AIOKafkaConsumerThread)
    assert issubclass(driver.Consumer, ThreadDelegateConsumer)
    assert driver.Transport.Consumer is driver.Consumer, "a transport's consumer is no longer its class attribute"
    made = inspect.getsource(driver.Transport.create_consumer)
    assert "self.Consumer(" in made, "the transport no longer makes its consumer from that attribute"


def test_consumer_message_takes_what_a_batch_gives() -> None:
    tp = TP("t", 0)
    message = ConsumerMessage("t", 0, 7, 1.5, 0, None, None, "value", None, None, None, tp, generation_id=3)
    assert (message.topic, message.partition, message.offset, message.timestamp) == ("t", 0, 7, 1.5)
    assert (message.value, message.tp, message.generation_id, message.acked) == ("value", tp, 3, False)


async def test_the_highwater_of_a_partition_that_is_not_assigned_is_an_assertion() -> None:
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
    with pytest.raises(AssertionError, match="not assigned"):
        consumer.highwater(TP("somewhere", 0))


async def test_schema_hands_the_value_on_untouched() -> None:
    app = faust.App("contract", broker="kafka://127.0.0.1:1", store="memory://", web_enabled=False)
    tp = TP("t", 0)
    value = object()
    message = ConsumerMessage("t", 0, 0, 0.0, 0, None, None, value, None, None, None, tp)
    topic = app.topic("t", schema=BatchSchema())
    event = await topic.decode(message)
    assert event.value is value, "Topic.decode no longer is what the schema compiled"
    assert event.message is message


def test_settings_that_are_given_are_known() -> None:
    names = dir(faust.Settings)
    given = {
        "broker", "store", "datadir", "consumer_auto_offset_reset", "consumer_group_instance_id",
        "consumer_max_fetch_size", "broker_max_poll_records", "broker_commit_interval", "broker_session_timeout",
        "broker_heartbeat_interval", "stream_wait_empty", "topic_disable_leader", "topic_allow_declare", "web_enabled",
    }  # fmt: skip
    assert given <= set(names), f"Faust takes any keyword in silence, and no longer knows {given - set(names)}"
