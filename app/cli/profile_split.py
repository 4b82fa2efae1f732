"""`headwater profile split`: what it would do, the request, and what came of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.activation.wire import iso
from app.cli.output import WRONG_USAGE, CommandError
from app.clock import SystemClock
from app.compute.apply import Application
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Catalog
from app.definitions.plan import CONDITION, FACT, Plan
from app.identity.rules import Identifier
from app.kafka.admin import Admin
from app.kafka.consumer import BulkRead, BulkReader, RawRecord
from app.kafka.producer import Producer
from app.profiles import codec
from app.profiles.state import Profile
from app.settings import Settings
from app.stages import link_state, links
from app.stages.envelope import Import, decode
from app.stages.link_state import Answer
from app.stages.splitting import taken_of
from app.stages.under_way import left_of
from app.stream.lookup import Found, look_up
from app.stream.refolding import LogFold, refold
from app.topics import JSON_HEADERS, Topics, partition_of, stream_group

POLL_S = 0.2
UNSAID = CONDITION, FACT
"""What is kept between users and accounts, beside the definitions' keys, begins so."""


@dataclass(frozen=True, slots=True)
class Plans:
    """What a split would do."""

    profile: str
    identifier: Identifier
    remaining: tuple[Identifier, ...]
    found: LogFold
    before: Mapping[str, Any]
    left: Mapping[str, Any]
    """What would be emitted of each; by definition key."""
    taken: Mapping[str, Any]
    kept: tuple[str, ...]
    """Definitions that go on counting what the identifier brought before the log begins."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a split did."""

    id: str
    profile: str
    into: str
    left: Mapping[str, Any]
    taken: Mapping[str, Any]


class Splitter:
    """One request, from the question to the answer.

    Args:
        timeout_s: How long the stream may take.
    """

    def __init__(self, settings: Settings, brokers: str, timeout_s: float) -> None:
        self._settings = settings
        self._brokers = brokers
        self._timeout_s = timeout_s
        self._topics = Topics(settings.kafka.topic_prefix)
        self._reader = BulkReader(brokers, settings.kafka.security)

    async def plan(self, found: Found) -> Plans:
        """What would come of it, by the log as it is.

        Raises:
            CommandError: It cannot be done.
        """
        known = found.known
        if found.collection == "accounts":
            raise CommandError(f"{found.profile_id} is an account: only profiles can be split", code=WRONG_USAGE)
        if known is None:
            raise CommandError("nobody is known under that identifier")
        if known.identifier is None:
            raise CommandError("name the identifier that is to be taken out, not a profile", code=WRONG_USAGE)
        remaining = tuple(each for each in known.node.ids if each != known.identifier)
        if not remaining:
            raise CommandError(f"{':'.join(known.identifier)} is the only identifier of {known.profile}")
        held, catalog = found.profile or Profile(), found.catalog or Catalog()
        now_ms = SystemClock().now_ms()
        async with Admin(self._brokers, self._settings.kafka.security) as admin:
            log = await refold(
                admin, self._reader, self._topics, self._settings.kafka.partitions, found.profile_id, held,
                known.identifier, catalog, until=None, at_ms=now_ms, since=known.node.reborn(),
            )  # fmt: skip
        ready, _ = compile_ready(catalog.definitions)
        plan = compile_plan(ready)
        left, taken = _answers(plan, held, log)
        by_index = {each.index: each.key for each in plan.definitions}
        kept = {by_index[index] for cell in log.folded.kept for index in plan.by_cell.get(cell, ())}
        return Plans(found.profile_id, known.identifier, remaining, log, held.emitted, left, taken, tuple(sorted(kept)))

    async def split(self, identifier: Identifier) -> Done:
        """Ask for it, and wait until both profiles are what they are then.

        Raises:
            CommandError: It was refused, or nobody has answered in time.
        """
        split_id = f"spl_{secrets.token_hex(12)}"
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                Admin(self._brokers, self._settings.kafka.security) as admin,
            ):
                return await self._carried_out(admin, split_id, identifier)
        except TimeoutError as error:
            raise CommandError(
                f"asked for, as {split_id}, and not done after {self._timeout_s:.0f} s. It will be, as soon as stream "
                "workers serve all partitions: do not ask again; `headwater profile show` tells when"
            ) from error

    async def _carried_out(self, admin: Admin, split_id: str, identifier: Identifier) -> Done:
        topics, partitions = self._topics, self._settings.kafka.partitions
        changelog = (topics.identity_changelog, 0)
        starts = await admin.end_offsets([changelog, *((topics.profiles_in, each) for each in range(partitions))])
        request = (None, links.split(split_id, identifier), JSON_HEADERS)
        async with Producer(self._brokers, self._settings.kafka.security) as producer:
            await producer.send({(topics.identity_links, 0): [request]})
        answer = await self._answer(starts[changelog], split_id)
        if answer.refused:
            raise CommandError(answer.refused)
        for profile, name in ((answer.into, taken_of(split_id)), (answer.profile, left_of(split_id))):
            place = topics.profiles_in, partition_of(profile.encode(), partitions)
            await self._applied(admin, place, starts[place], name)
        found = [
            await look_up(self._brokers, topics, each, self._settings.kafka.security)
            for each in (answer.profile, answer.into)
        ]
        left, taken = (each.profile.emitted if each.profile is not None else {} for each in found)
        return Done(split_id, answer.profile, answer.into, left, taken)

    async def _answer(self, start: int, split_id: str) -> Answer:
        key = link_state.answer_key(split_id)
        async for record in self._followed(self._topics.identity_changelog, 0, start):
            if record.key == key:
                return link_state.answer_of(record.value)
        raise AssertionError("a log has no end")

    async def _applied(self, admin: Admin, place: tuple[str, int], start: int, name: str) -> None:
        """Return once an import has been applied."""
        key_part, group = name.encode(), stream_group(self._topics)
        async for record in self._followed(*place, start):
            if record.value is None or key_part not in record.value:
                continue
            body = decode(record.value)
            if type(body) is Import and body.loser == name and body.part == body.parts - 1:
                while True:
                    if ((await admin.committed(group, [place]))[place] or 0) > record.offset:
                        return
                    await asyncio.sleep(POLL_S)

    async def _followed(self, topic: str, partition: int, start: int) -> AsyncIterator[RawRecord]:
        """The records of a partition from an offset on, for ever."""
        position = start
        while True:
            async for records in self._reader.read(BulkRead(topic, partition, position)):
                for record in records:
                    yield record
                position = records[-1].offset + 1
            await asyncio.sleep(POLL_S)


def differences(of: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is another answer than it was; absent, null and False are the same to whoever is told."""
    return [
        {"profile": of, "key": key, "before": before.get(key), "after": after.get(key)}
        for key in sorted(before.keys() | after.keys())
        if not key.startswith(UNSAID) and (before.get(key) or None) != (after.get(key) or None)
    ]


def as_value(plans: Plans, done: Done | None) -> dict[str, object]:
    """For machines; without what was done, what would be."""
    kind, value = plans.identifier
    folded = plans.found.folded
    left, taken = (done.left, done.taken) if done is not None else (plans.left, plans.taken)
    into = done.into if done is not None else None
    return {
        "split": done.id if done is not None else None,
        "dry_run": done is None,
        "identifier": {"type": kind, "value": value},
        "profile": plans.profile,
        "into": into,
        "remaining": [{"type": kind, "value": value} for kind, value in plans.remaining],
        "events": {"left": folded.left_events, "taken": folded.taken_events},
        "accounts": {"left": list(folded.left_accounts), "taken": list(folded.taken_accounts)},
        "log_since": iso(plans.found.since_ms) if plans.found.since_ms is not None else None,
        "kept": list(plans.kept),
        "changes": [
            *differences(plans.profile, plans.before, left),
            *differences(into or "new", plans.before, taken),
        ],
    }  # fmt: skip


def as_text(plans: Plans, done: Done | None) -> str:
    """For people."""
    value, folded = as_value(plans, done), plans.found.folded
    named = ":".join(plans.identifier)
    into = done.into if done is not None else "a new profile"
    lines = [
        f"{named} {'left' if done is not None else 'leaves'} {plans.profile} and is {into}",
        f"  {folded.taken_events} events in the log go with it, {folded.left_events} stay with "
        + ", ".join(":".join(each) for each in plans.remaining),
    ]
    for who, accounts in (("stays", folded.left_accounts), ("goes ", folded.taken_accounts)):
        if accounts:
            lines.append(f"  {who}  belongs to " + ", ".join(accounts))
    if plans.found.since_ms is not None:
        lines.append(f"  the log reaches back to {iso(plans.found.since_ms)}; what came before stays with the profile")
    if plans.kept:
        lines.append(f"  so these go on counting what {named} brought until then: {', '.join(plans.kept)}")
    changes = value["changes"]
    assert isinstance(changes, list)
    for each in changes:
        who = "stays" if each["profile"] == plans.profile else "goes "
        lines.append(f"  {who}  {each['key']}: {each['before']!r} → {each['after']!r}")
    if not changes:
        lines.append("  no answer is another than it was")
    return "\n".join(lines)


def _answers(plan: Plan, held: Profile, log: LogFold) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What would be emitted of what is left and of what is taken out."""
    emitted: list[Mapping[str, Any]] = []
    for profile, other in ((codec.decode(codec.encode(held, 0)), log.folded.left), (Profile(), log.folded.taken)):
        application = Application(plan, profile, "", "", ("", 0, 0))
        application.pass_time(other.clock)
        if other is log.folded.left:
            application.replace(other)
        else:
            application.absorb(other, "split")
        emitted.append(profile.emitted)
    return emitted[0], emitted[1]
