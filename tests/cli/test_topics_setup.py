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
    assert found == {
        "p.events.raw": stamped,
        "p.profiles.in": stamped,
        "p.accounts.in": stamped,
        "p.events.dead": large,
        "p.headwater.profiles.changelog": large | {"cleanup.policy": "compact"},
        "p.headwater.accounts.changelog": large | {"cleanup.policy": "compact"},
        "p.identity.links": large,
        "p.identity.assignments": {"cleanup.policy": "compact"},
        "p.headwater.identity.changelog": {"cleanup.policy": "compact"},
        "p.changes": {},
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
    assert len(before) == 12
    single = {topics.identity_links, topics.identity_changelog}
    assert {name for name, facts in before.items() if facts.partitions == 1} == single
    assert {facts.partitions for name, facts in before.items() if name not in single} == {3}
    assert before == after


async def test_another_partition_count_is_refused(broker: EmbeddedBroker, topics: Topics) -> None:
    await ensure(settings(topics.prefix), broker.bootstrap)
    with pytest.raises(TopicError, match="3 partitions"):
        await ensure(settings(topics.prefix, partitions=4), broker.bootstrap)
