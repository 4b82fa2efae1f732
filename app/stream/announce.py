"""Puts a configuration into effect: definitions and connections by one control record in every partition's log, the
rules of identity by one in that of the linker."""

from __future__ import annotations

from app import configuration
from app.kafka.producer import Producer
from app.settings import Settings
from app.stages import envelope, links
from app.topics import JSON_HEADERS, Topics


async def announce(settings: Settings, brokers: str) -> None:
    """Append the catalogue to every partition of `accounts.in` and `profiles.in`, and the rules to `identity.links`;
    they are in force from there on. Twice is harmless.

    Accounts come first: what users tell them by new definitions finds these in force.
    """
    topics = Topics(settings.kafka.topic_prefix)
    headers = JSON_HEADERS
    catalog = (None, envelope.catalog(configuration.catalog(settings)), headers)
    rules = (None, links.rules(configuration.identity_rules(settings).link), headers)
    async with Producer(brokers, settings.kafka.security) as producer:
        await producer.send({(topics.identity_links, 0): [rules]})
        partitions = range(settings.kafka.partitions)
        for topic in (topics.accounts_in, topics.profiles_in):
            await producer.send({(topic, partition): [catalog] for partition in partitions})
