"""The topics a configuration needs, and their creation."""

from __future__ import annotations

from app.activation.destinations import DESTINATIONS
from app.kafka.admin import Admin, TopicSpec
from app.settings import Settings
from app.topics import Topics

COMPACTED_AFTER_MS = 7 * 86_400_000
"""What was replaced or deleted in a compacted topic is gone by then; other topics keep their records as long."""
MESSAGE_BYTES_MAX = 8 * 1024 * 1024
"""More than the 5 MB that a malformed record may have, so that its dead letter fits too."""
COMPACTED = {"cleanup.policy": "compact"}


def specs(settings: Settings) -> list[TopicSpec]:
    """Every topic with its partition count and its settings."""
    topics = Topics(settings.kafka.topic_prefix)
    large = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
    # "Now" is a record's append time, so the broker has to stamp it, not whoever produced the record.
    stamped = large | {"message.timestamp.type": "LogAppendTime"}
    # Else the cleaner may leave what was deleted for as long as it likes.
    compacted = {"cleanup.policy": "compact", "max.compaction.lag.ms": str(COMPACTED_AFTER_MS)}
    wanted = {
        topics.events_raw: stamped,
        topics.profiles_in: stamped,
        topics.accounts_in: stamped,
        topics.events_dead: large,
        topics.profiles_changelog: large | compacted,
        topics.accounts_changelog: large | compacted,
        topics.identity_links: large,
        topics.identity_assignments: compacted,
        topics.identity_changelog: compacted,
        topics.regulations: compacted,
        topics.changes: {},
        topics.dead_settled: COMPACTED,
    }
    single = {topics.identity_links, topics.identity_changelog, topics.regulations, topics.dead_settled}
    for destination in settings.destinations:
        wanted[topics.destination(destination.name)] = {}
        wanted[topics.destination_dead(destination.name)] = large
        if DESTINATIONS[destination.type].lists is not None:
            # A list is kept in one place, whoever its members are.
            wanted[topics.lists_changelog(destination.name)] = large | compacted
            single |= {topics.destination(destination.name), topics.lists_changelog(destination.name)}
    return [
        TopicSpec(name, 1 if name in single else settings.kafka.partitions, settings.kafka.replication, config)
        for name, config in wanted.items()
    ]


def dead_settled(settings: Settings) -> TopicSpec:
    """The topic in which it is noted that a dead letter is dealt with; deployments of before do not have it."""
    return TopicSpec(Topics(settings.kafka.topic_prefix).dead_settled, 1, settings.kafka.replication, COMPACTED)


async def ensure(settings: Settings, brokers: str) -> None:
    """Create what is missing and check what is there.

    Raises:
        HeadwaterError: a topic exists with another partition count.
    """
    async with Admin(brokers, settings.kafka.security) as admin:
        await admin.ensure_topics(specs(settings))
