"""The topics that a configuration needs, on a real broker."""

import pytest

from app.cli.topics_setup import ensure, specs
from app.embedded.broker import EmbeddedBroker
from app.kafka.admin import Admin, TopicError
from app.settings import Destination, Kafka, Settings
from app.topics import Topics


def settings(prefix: str, partitions: int = 3) -> Settings:
    return Settings(
        kafka=Kafka(topic_prefix=prefix, partitions=partitions), destinations=(Destination("crm", "webhook"),)
    )


def test_every_topic_has_its_settings() -> None:
    found = {spec.name: dict(spec.config) for spec in specs(settings("p."))}
    large = {"max.message.bytes": "8388608"}
    stamped = large | {"message.timestamp.type": "LogAppendTime"}
    compacted = {"cleanup.policy": "compact", "max.compaction.lag.ms": "604800000"}
    assert found == {
        "p.events.raw": stamped,
        "p.profiles.in": stamped,
        "p.accounts.in": stamped,
        "p.events.dead": large,
        "p.headwater.profiles.changelog": large | compacted,
        "p.headwater.accounts.changelog": large | compacted,
        "p.identity.links": large,
        "p.identity.assignments": compacted,
        "p.headwater.identity.changelog": compacted,
        "p.regulations": compacted,
        "p.changes": {},
        "p.headwater.dead.settled": {"cleanup.policy": "compact"},
        "p.destinations.crm": {},
        "p.destinations.crm.dead": large,
    }


async def test_they_are_made_and_doing_it_again_changes_nothing(broker: EmbeddedBroker, topics: Topics) -> None:
    wanted = settings(topics.prefix)
    await ensure(wanted, broker.bootstrap)
    async with Admin(broker.bootstrap) as admin:
        before = await admin.describe([spec.name for spec in specs(wanted)])
        await ensure(wanted, broker.bootstrap)
        after = await admin.describe([spec.name for spec in specs(wanted)])
    assert len(before) == 14
    single = {topics.identity_links, topics.identity_changelog, topics.regulations, topics.dead_settled}
    assert {name for name, facts in before.items() if facts.partitions == 1} == single
    assert {facts.partitions for name, facts in before.items() if name not in single} == {3}
    assert before == after


async def test_another_partition_count_is_refused(broker: EmbeddedBroker, topics: Topics) -> None:
    await ensure(settings(topics.prefix), broker.bootstrap)
    with pytest.raises(TopicError, match="3 partitions"):
        await ensure(settings(topics.prefix, partitions=4), broker.bootstrap)


def test_a_list_destination_is_kept_in_one_place() -> None:
    wanted = Settings(kafka=Kafka(topic_prefix="p.", partitions=3), destinations=(Destination("ads", "http_lists"),))
    found = {spec.name: (spec.partitions, dict(spec.config)) for spec in specs(wanted)}
    assert found["p.destinations.ads"] == (1, {})
    assert found["p.headwater.lists.ads.changelog"] == (
        1,
        {"max.message.bytes": "8388608", "cleanup.policy": "compact"},
    )
    assert found["p.destinations.ads.dead"][0] == 3
