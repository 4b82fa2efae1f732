"""Puts a configuration's definitions and connections into effect: one control record in every partition's log."""

from __future__ import annotations

from app import configuration
from app.kafka.producer import Producer
from app.settings import Settings
from app.stages import envelope
from app.topics import Topics


async def announce(settings: Settings, brokers: str) -> None:
    """Append the catalogue to every partition of `profiles.in`; it is in force from there on. Twice is harmless."""
    topic = Topics(settings.kafka.topic_prefix).profiles_in
    value = envelope.catalog(configuration.catalog(settings))
    record = (None, value, (("content-type", b"application/json"),))
    async with Producer(brokers, settings.kafka.security) as producer:
        await producer.send({(topic, partition): [record] for partition in range(settings.kafka.partitions)})
