"""Asking for a regulation, and reading what has come of all of them: from the log, beside a stream that runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b

from app.identity.regulations import RegulationType, identifier_hash
from app.identity.rules import Identifier
from app.kafka.admin import Admin
from app.kafka.clients import PLAINTEXT
from app.kafka.consumer import BulkRead, BulkReader, ReadError
from app.kafka.producer import Producer
from app.settings import Security, Settings
from app.stages import links, regulations
from app.stages.receipts import Receipt, receipts
from app.topics import JSON_HEADERS, Topics

_NO_LIMIT_MS = 1 << 62
"""Kafka writes a time without a limit as the largest number there is, or as -1."""


@dataclass(frozen=True, slots=True)
class Remains:
    """A topic that may still have data of an erased person."""

    topic: str
    what: str
    until_ms: int | None
    """When Kafka has deleted it at the latest; None: the topic's settings name no time."""
    why: str
    """The settings that decide it."""


async def ask(
    brokers: str, topics: Topics, kind: RegulationType, subject: Identifier, now_ms: int, security: Security = PLAINTEXT
) -> str:
    """Ask for a regulation; gives its id. It is in force once the linker has decided it.

    Raises:
        ReadError: The deployment has no topics for it yet.
    """
    async with Admin(brokers, security) as admin:
        await _check(admin, topics)
    hashed = identifier_hash(subject).hex()
    id_ = "reg_" + blake2b(f"{kind}:{hashed}:{now_ms}".encode(), digest_size=12).hexdigest()
    asked = regulations.record(regulations.Requested(id_, kind, now_ms, hashed))
    async with Producer(brokers, security) as producer:
        # The receipt first: who is cut off in between sees that it was never decided, and asks again.
        await producer.send({(topics.regulations, 0): [asked]})
        value = links.regulation(id_, kind, now_ms, subject)
        await producer.send({(topics.identity_links, 0): [(None, value, JSON_HEADERS)]})
    return id_


async def read(brokers: str, topics: Topics, security: Security = PLAINTEXT) -> dict[str, Receipt]:
    """All receipts by their ids, in the order of asking.

    Raises:
        ReadError: The deployment has no topics for it yet.
    """
    async with Admin(brokers, security) as admin:
        await _check(admin, topics)
        place = (topics.regulations, 0)
        start = (await admin.beginning_offsets([place]))[place]
    values: list[bytes | None] = []
    async for records in BulkReader(brokers, security).read(BulkRead(topics.regulations, 0, start)):
        values += [record.value for record in records]
    found = receipts(values)
    return dict(sorted(found.items(), key=lambda pair: asked_at_ms(pair[1])))


def asked_at_ms(receipt: Receipt) -> int:
    """When it was asked for; 0 where nothing says so."""
    first = receipt.requested or receipt.decided
    return first.at if first is not None else 0


async def remains(brokers: str, settings: Settings, receipt: Receipt) -> list[Remains]:
    """What topics may still hold of whom a regulation has erased, and until when; nothing where it erases nobody."""
    if receipt.decided is None or not receipt.decided.profiles:
        return []
    held = holding(Topics(settings.kafka.topic_prefix), [each.name for each in settings.destinations])
    async with Admin(brokers, settings.kafka.security) as admin:
        there = await admin.describe(list(held))
        config = await admin.topic_settings(list(there))
    return [remaining(topic, held[topic], config[topic], receipt.decided.at) for topic in held if topic in there]


def holding(topics: Topics, destinations: list[str]) -> dict[str, str]:
    """Topic → what it has of people."""
    held = {
        topics.events_raw: "messages as they came",
        topics.events_dead: "messages that were refused",
        topics.identity_links: "messages that named somebody new, and this request",
        topics.profiles_in: "messages by profile, and states on their way to another profile",
        topics.accounts_in: "messages of users, for their accounts",
        topics.changes: "changes of audiences and traits, the exits among them",
        topics.identity_assignments: "older values of deleted identifiers",
        topics.identity_changelog: "older states of the graph",
        topics.profiles_changelog: "older states of the profile; of its messages' ids hashes, for four days",
        topics.accounts_changelog: "older states of accounts, with what their users have said of them",
    }
    for name in destinations:
        held[topics.destination(name)] = "payloads, the deletion among them"
        held[topics.destination_dead(name)] = "payloads that were refused or given up"
        held[topics.lists_changelog(name)] = "older states of lists, with the members' identifiers"
    return held


def remaining(topic: str, what: str, config: Mapping[str, str], at_ms: int) -> Remains:
    """Until when a topic may have what was appended up to an instant, by Kafka's settings for it."""
    if "delete" in config.get("cleanup.policy", "delete"):
        names = ["retention.ms", "segment.ms"]  # a segment goes as a whole, when its newest record is old enough
    else:
        names = ["max.compaction.lag.ms"]
    values = [int(config.get(name) or -1) for name in names]
    why = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
    has_limit = all(0 <= value < _NO_LIMIT_MS for value in values)
    return Remains(topic, what, at_ms + sum(values) if has_limit else None, why)


async def _check(admin: Admin, topics: Topics) -> None:
    missing = [name for name in (topics.regulations, topics.identity_links) if name not in await admin.describe([name])]
    if missing:
        raise ReadError(f"there is no topic {missing[0]}; `headwater apply` and `headwater up` make the topics")
