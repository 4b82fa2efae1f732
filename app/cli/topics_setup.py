"""The topics a configuration needs, and their creation."""

from __future__ import annotations

from app.kafka.admin import Admin, TopicSpec
from app.settings import Settings
from app.topics import Topics

MESSAGE_BYTES_MAX = 8 * 1024 * 1024
"""More than the 5 MB that a malformed record may have, so that its dead letter fits too."""


def specs(settings: Settings) -> list[TopicSpec]:
    """Every topic with its partition count and its settings."""
    topics = Topics(settings.kafka.topic_prefix)
    large = {"max.message.bytes": str(MESSAGE_BYTES_MAX)}
    # "Now" is a record's append time, so the broker has to stamp it, not whoever produced the record.
    stamped = large | {"message.timestamp.type": "LogAppendTime"}
    wanted = {
        topics.events_raw: stamped,
        topics.profiles_in: stamped,
        topics.accounts_in: stamped,
        topics.events_dead: large,
        topics.profiles_changelog: large | {"cleanup.policy": "compact"},
        topics.accounts_changelog: large | {"cleanup.policy": "compact"},
        topics.identity_links: large,
        topics.identity_assignments: {"cleanup.policy": "compact"},
        topics.identity_changelog: {"cleanup.policy": "compact"},
        topics.changes: {},
    }
    for destination in settings.destinations:
        wanted[topics.destination(destination.name)] = {}
        wanted[topics.destination_dead(destination.name)] = large
    single = (topics.identity_links, topics.identity_changelog)
    return [
        TopicSpec(name, 1 if name in single else settings.kafka.partitions, settings.kafka.replication, config)
        for name, config in wanted.items()
    ]


async def ensure(settings: Settings, brokers: str) -> None:
    """Create what is missing and check what is there.

    Raises:
        HeadwaterError: a topic exists with another partition count.
    """
    async with Admin(brokers, settings.kafka.security) as admin:
        await admin.ensure_topics(specs(settings))
