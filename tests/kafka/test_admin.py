import uuid

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.embedded.broker import EmbeddedBroker
from app.embedded.home import free_port
from app.kafka.admin import Admin, AdminError, TopicError, TopicSpec, setting_faults
from app.kafka.producer import Producer
from app.topics import Topics


async def test_topics_are_made_as_specified_and_making_them_again_changes_nothing(
    broker: EmbeddedBroker, topics: Topics
) -> None:
    specs = [
        TopicSpec(topics.events_raw, 3, 1, {"message.timestamp.type": "LogAppendTime"}),
        TopicSpec(topics.profiles_changelog, 2, 1, {"cleanup.policy": "compact"}),
    ]
    async with Admin(broker.bootstrap) as admin:
        await admin.ensure_topics(specs)
        first = await admin.describe([spec.name for spec in specs])
        await admin.ensure_topics(specs)
        assert await admin.describe([spec.name for spec in specs]) == first
    assert [first[spec.name].partitions for spec in specs] == [3, 2]
    assert first[topics.events_raw].topic_id != first[topics.profiles_changelog].topic_id


async def test_what_is_not_there_is_not_described(broker: EmbeddedBroker, topics: Topics) -> None:
    async with Admin(broker.bootstrap) as admin:
        assert await admin.describe([topics.changes]) == {}
        assert await admin.describe([]) == {}


async def test_a_topic_made_anew_has_another_id(broker: EmbeddedBroker, topics: Topics) -> None:
    spec = TopicSpec(topics.profiles_in, 1, 1)
    async with Admin(broker.bootstrap) as admin:
        await admin.ensure_topics([spec])
        before = (await admin.describe([spec.name]))[spec.name]
        await admin.delete_topic(spec.name)
        assert await admin.describe([spec.name]) == {}
        await admin.ensure_topics([spec])
        after = (await admin.describe([spec.name]))[spec.name]
    assert after.topic_id != before.topic_id
    assert uuid.UUID(after.topic_id).int != 0


async def test_every_fault_of_every_topic_is_told_at_once(broker: EmbeddedBroker, topics: Topics) -> None:
    async with Admin(broker.bootstrap) as admin:
        await admin.ensure_topics([TopicSpec(topics.events_raw, 2, 1), TopicSpec(topics.profiles_changelog, 2, 1)])
        with pytest.raises(TopicError) as told:
            await admin.ensure_topics(
                [
                    TopicSpec(topics.events_raw, 4, 1, {"message.timestamp.type": "LogAppendTime"}),
                    TopicSpec(topics.profiles_changelog, 2, 1, {"cleanup.policy": "compact"}),
                    TopicSpec(topics.changes, 1, 1),
                ]
            )
        # A configuration that does not fit changes nothing.
        assert await admin.describe([topics.changes]) == {}
    partitions, stamps, policy = told.value.faults
    assert "has 2 partitions, but 4 are configured" in partitions
    assert "message.timestamp.type=CreateTime, it must be LogAppendTime" in stamps
    assert "cleanup.policy=delete, it must be compact" in policy


@pytest.mark.parametrize(
    ("found", "faults"),
    [({"max.message.bytes": "999"}, 1), ({"max.message.bytes": "1000"}, 0), ({"max.message.bytes": "1001"}, 0)],
)
def test_a_topic_may_take_larger_records_but_not_only_smaller_ones(found: dict[str, str], faults: int) -> None:
    assert len(setting_faults(TopicSpec("t", 1, 1, {"max.message.bytes": "1000"}), found)) == faults


async def test_what_kafka_refuses_is_an_error_with_its_reason(broker: EmbeddedBroker, topics: Topics) -> None:
    async with Admin(broker.bootstrap) as admin:
        with pytest.raises(AdminError, match=r"(?i)replication"):
            await admin.ensure_topics([TopicSpec(topics.changes, 1, 3)])


async def test_nobody_listening_is_an_error() -> None:
    with pytest.raises(AdminError, match="no broker of"):
        async with Admin(f"127.0.0.1:{free_port()}"):
            raise AssertionError


async def test_offsets_of_the_log_and_of_a_group(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = topics.changes
    places = [(topic, 0), (topic, 1)]
    async with Admin(broker.bootstrap) as admin, Producer(broker.bootstrap) as producer:
        await admin.ensure_topics([TopicSpec(topic, 2, 1)])
        await producer.append(topic, 1, [(None, b"x")] * 5)
        assert await admin.end_offsets(places) == {(topic, 0): 0, (topic, 1): 5}
        assert await admin.beginning_offsets(places) == {(topic, 0): 0, (topic, 1): 0}
        assert await admin.committed(topic, places) == {(topic, 0): None, (topic, 1): None}
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=topic, enable_auto_commit=False)
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, 1)])
            await consumer.commit({TopicPartition(topic, 1): 3})
        finally:
            await consumer.stop()
        assert await admin.committed(topic, places) == {(topic, 0): None, (topic, 1): 3}


async def test_offsets_of_a_group_without_members_are_put_down(broker: EmbeddedBroker, topics: Topics) -> None:
    topic = topics.changes
    places = [(topic, 0), (topic, 1)]
    async with Admin(broker.bootstrap) as admin:
        await admin.ensure_topics([TopicSpec(topic, 2, 1)])
        await admin.commit(topic, {})
        await admin.commit(topic, dict.fromkeys(places, 7))
        await admin.commit(topic, {(topic, 1): 1_769_853_600_000})
        assert await admin.committed(topic, places) == {(topic, 0): 7, (topic, 1): 1_769_853_600_000}


async def test_offsets_of_a_partition_that_is_not_there(broker: EmbeddedBroker, topics: Topics) -> None:
    async with Admin(broker.bootstrap) as admin:
        with pytest.raises(AdminError, match="no partition 0"):
            await admin.end_offsets([(topics.changes, 0)])


async def test_deleting_a_topic_that_is_not_there_is_no_error(broker: EmbeddedBroker, topics: Topics) -> None:
    async with Admin(broker.bootstrap) as admin:
        await admin.delete_topic(topics.changes)
