"""`headwater dead`: payloads that were refused or given up on: looked at, sent again, dropped."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated

import typer

from app.activation.outcome import Reason
from app.cli import brokers as broker_address
from app.cli import dead_view as view
from app.cli import output, topics_setup
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Brokers, Config, Data, Json
from app.cli.output import WRONG_USAGE, CommandError
from app.clock import SystemClock
from app.delivery.dead_topic import DeadLetters
from app.delivery.letters import Filter, Letter
from app.events.dates import instant
from app.kafka.admin import Admin
from app.kafka.consumer import BulkReader
from app.kafka.producer import Producer
from app.settings import Settings
from app.topics import Topics

LIMIT_DEFAULT = 100


class Action(StrEnum):
    """What to do with them."""

    LIST = "list"
    RETRY = "retry"
    DROP = "drop"


def dead(
    action: Annotated[Action, typer.Argument(help="What to do with them.", show_default=False)],
    destination: Annotated[
        str, typer.Argument(metavar="DESTINATION", help="Its name; without it, all of them.", show_default=False)
    ] = "",
    reason: Annotated[list[str] | None, typer.Option("--reason", help="Given up for this; may be repeated.")] = None,
    status: Annotated[list[int] | None, typer.Option("--status", help="The vendor's answer; may be repeated.")] = None,
    profile: Annotated[str, typer.Option("--profile", help="A profile's id, or its user id or e-mail address.")] = "",
    since: Annotated[str, typer.Option("--since", help="Given up then or later; ISO 8601, UTC without a zone.")] = "",
    until: Annotated[str, typer.Option("--until", help="Given up before then.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="list: show so many, the newest.")] = LIMIT_DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="retry: also what a newer change has overtaken.")] = False,
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    as_json: Json = False,
) -> None:
    """List the dead letters, send their payloads again, or drop them. Those that were sent again or dropped are not
    listed any more.

    A retry goes in order: the payloads of one profile as their changes came, and behind what is on its way to the
    destination. One of which something newer has gone out since is left alone, because an older state must not land
    after a newer one; `--force` sends it all the same.

    Exit code 0: done, also where there was nothing to do; 2: no such destination or reason.

    \b
    Examples:
      headwater dead list
      headwater dead list crm --reason refused --status 422 --json | jq .dead[].error
      headwater dead retry crm --since 2026-01-31T10:00
      headwater dead drop crm --profile ann@example.com
    """
    wanted = Filter(
        reasons=frozenset(map(_reason, reason or ())),
        statuses=frozenset(status or ()),
        profile=profile,
        since_ms=_instant("--since", since),
        until_ms=_instant("--until", until),
    )
    settings = broker_address.settings(config, brokers)
    address = broker_address.resolve(settings, data, brokers)
    names = [destination] if destination else [each.name for each in settings.destinations]
    job = _Job(settings, address, names, wanted)
    match action:
        case Action.LIST:
            letters, total = asyncio.run(job.listed(limit))
            if as_json:
                output.answer({"dead": [letter.shown() for letter in letters], "total": total})
            else:
                print(view.as_text(letters, total), flush=True)
        case Action.RETRY:
            _tell(asyncio.run(job.retry(force=force)), as_json)
        case Action.DROP:
            _tell(asyncio.run(job.drop()), as_json)


@dataclass(frozen=True, slots=True)
class _Job:
    settings: Settings
    brokers: str
    destinations: Sequence[str]
    wanted: Filter

    async def listed(self, limit: int) -> tuple[list[Letter], int]:
        """The newest letters, oldest first, and how many there are in all."""
        async with AsyncExitStack() as stack:
            found = await self._found(await self._letters(stack))
        meant = sorted((each for each in found if self.wanted.takes(each)), key=lambda each: each.at)
        return meant[-limit:], len(meant)

    async def retry(self, *, force: bool) -> Counter[str]:
        done: Counter[str] = Counter(retried=0, overtaken=0, incomplete=0)
        async with AsyncExitStack() as stack:
            letters = await self._letters(stack, writes=True)
            with output.progress("sending again") as bar:
                for name in self.destinations:
                    found = [each async for each in letters.open(name)]
                    meant = [each for each in found if self.wanted.takes(each)]
                    whole = [each for each in meant if each.again is not None]
                    done["incomplete"] += len(meant) - len(whole)
                    overtaken: set[bytes] = set()
                    if not force and whole:
                        overtaken = await letters.overtaken(name, whole, {each.mark for each in found})
                    await letters.send_again([each for each in whole if each.mark not in overtaken], bar.advance)
                    done["overtaken"] += len(overtaken)
                    done["retried"] += len(whole) - len(overtaken)
        return done

    async def drop(self) -> Counter[str]:
        async with AsyncExitStack() as stack:
            letters = await self._letters(stack, writes=True)
            meant = [each for each in await self._found(letters) if self.wanted.takes(each)]
            await letters.note(meant, "dropped")
        return Counter(dropped=len(meant))

    async def _letters(self, stack: AsyncExitStack, *, writes: bool = False) -> DeadLetters:
        security = self.settings.kafka.security
        admin = await stack.enter_async_context(Admin(self.brokers, security))
        topics = Topics(self.settings.kafka.topic_prefix)
        producer = Producer(self.brokers, security)
        if writes:
            await stack.enter_async_context(producer)
            await admin.ensure_topics([topics_setup.dead_settled(self.settings)])
        letters = DeadLetters(admin, BulkReader(self.brokers, security), producer, topics, SystemClock())
        for name in self.destinations:
            if not await letters.has(name):
                known = [each.name for each in self.settings.destinations]
                close = get_close_matches(name, known, n=1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                raise CommandError(f"there is no destination {name!r} on this broker{hint}", code=WRONG_USAGE)
        return letters

    async def _found(self, letters: DeadLetters) -> list[Letter]:
        return [each for name in self.destinations async for each in letters.open(name)]


def _tell(done: Counter[str], as_json: bool) -> None:
    if as_json:
        output.answer(dict(done))
    else:
        print(view.done_text(done), flush=True)


def _reason(text: str) -> str:
    if text not in {reason.value for reason in Reason}:
        close = get_close_matches(text, [reason.value for reason in Reason], n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"one of {', '.join(sorted(Reason))}"
        raise CommandError(f"--reason {text}: there is no such reason; {hint}", code=WRONG_USAGE)
    return text


def _instant(option: str, text: str) -> int | None:
    if not text:
        return None
    at_ms = instant(text)
    if at_ms is None:
        raise CommandError(f"{option} {text}: expected an instant such as 2026-01-31T10:00", code=WRONG_USAGE)
    return at_ms
