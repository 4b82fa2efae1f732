"""`headwater regulation`: erase a person, keep a person out, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from app.activation.wire import iso
from app.cli import brokers as broker_address
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Brokers, Config, Data, Json
from app.cli.output import WRONG_USAGE, CommandError, answer, say
from app.clock import SystemClock
from app.identity.identifiers import type_text
from app.identity.regulations import RegulationType
from app.identity.rules import Identifier
from app.settings import Settings
from app.stages.receipts import Receipt, State
from app.stages.regulations import Erased, Failed
from app.stream import regulate
from app.stream.regulate import Remains
from app.topics import Topics

POLL_S = 0.5


class Action(StrEnum):
    """What to do."""

    CREATE = "create"
    LIST = "list"
    SHOW = "show"


def regulation(
    action: Annotated[Action, typer.Argument(help="What to do.", show_default=False)],
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TYPE IDENTIFIER | ID]",
            help="Of create: what is asked for, and of whom, as TYPE:VALUE; VALUE alone is a user id. Of show: which.",
            show_default=False,
        ),
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it has come to its end.")] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="How many seconds to wait.", min=1)] = 300.0,
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    as_json: Json = False,
) -> None:
    """Erase a person, or keep a person out; and read what was erased where, and what remains until when.

    SUPPRESS_ONLY drops whatever comes of the person from now on. SUPPRESS_WITH_DELETE also erases what there is, here
    and at the destinations that can be asked to. DELETE_ONLY erases, and the person may come back. UNSUPPRESS lifts a
    suppression. All identifiers of the person's profile are meant, whichever is named.

    Exit code 0: asked, shown, or with --wait finished; 1: no such regulation, or it failed, or it is not finished
    in time; 2: wrong usage.

    \b
    Examples:
      headwater regulation create SUPPRESS_WITH_DELETE email:ann@example.com --wait
      headwater regulation list
      headwater regulation show reg_3f0c1b7a9d2e4c5f60718293 --json | jq .remains
    """
    kind_and_subject = _asked(words or []) if action is Action.CREATE else None
    wanted = words[0] if action is Action.SHOW and words else ""
    if (action is Action.SHOW and len(words or []) != 1) or (action is Action.LIST and words):
        raise CommandError("show takes one ID, and list nothing", code=WRONG_USAGE)
    settings = broker_address.settings(config, brokers)
    desk = Desk(settings, broker_address.resolve(settings, data, brokers))
    if kind_and_subject is None and action is Action.LIST:
        _list(list(asyncio.run(desk.all()).values()), as_json)
        return
    if kind_and_subject is not None:
        wanted = asyncio.run(desk.ask(*kind_and_subject))
        if not wait:
            _print_id(wanted, as_json)
            return
        say(f"{wanted}: asked; waiting for its end")
    receipt, remains = asyncio.run(desk.show(wanted, timeout if wait else 0.0))
    if as_json:
        answer(as_value(receipt, remains))
    else:
        print(as_text(receipt, remains), flush=True)
    if wait and receipt.state is not State.FINISHED:
        raise CommandError(f"{wanted} is {receipt.state}")


def _print_id(id_: str, as_json: bool) -> None:
    if as_json:
        answer({"id": id_})
    else:
        print(id_, flush=True)


class Desk:
    """Where regulations are asked for and looked up."""

    def __init__(self, settings: Settings, brokers: str) -> None:
        self._settings = settings
        self._brokers = brokers
        self._topics = Topics(settings.kafka.topic_prefix)

    async def ask(self, kind: RegulationType, subject: Identifier) -> str:
        now_ms, security = SystemClock().now_ms(), self._settings.kafka.security
        return await regulate.ask(self._brokers, self._topics, kind, subject, now_ms, security)

    async def all(self) -> dict[str, Receipt]:
        return await regulate.read(self._brokers, self._topics, self._settings.kafka.security)

    async def show(self, id_: str, wait_s: float) -> tuple[Receipt, list[Remains]]:
        """A receipt, and what remains; it is waited for until its end, or for so long."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        while True:
            receipt = (await self.all()).get(id_)
            if receipt is None:
                raise CommandError(f"there is no regulation {id_}; `headwater regulation list` names them")
            if receipt.state.is_final or loop.time() >= deadline_s:
                return receipt, await regulate.remains(self._brokers, self._settings, receipt)
            await asyncio.sleep(POLL_S)


def as_value(receipt: Receipt, remains: Sequence[Remains] = ()) -> dict[str, object]:
    """For machines; instants as texts. The identifier that was named is not in it: only its hash is kept."""
    requested, decided = receipt.requested, receipt.decided
    first = requested or decided
    profiles = [each for each in receipt.profiles.values() if isinstance(each, Erased)]
    return {
        "id": receipt.id,
        "type": first.type if first is not None else None,
        "state": receipt.state,
        "asked_at": iso(first.at) if first is not None else None,
        "subject": requested.subject if requested is not None else None,
        "identifiers": {
            "erased": decided.erased if decided is not None else 0,
            "suppressed": decided.suppressed if decided is not None else 0,
            "lifted": decided.lifted if decided is not None else 0,
        },
        "profiles": [
            {
                "profile": each.profile, "partition": each.partition, "was_part_of_another": each.redirect,
                "identifiers": each.identifiers, "traits": each.traits, "cells": each.cells, "parts": each.parts,
                "timers": each.timers, "changelog_records": each.changelog, "changes_taken_back": each.changes,
            }
            for each in profiles
        ],
        "failed": [
            {"profile": each.profile, "reason": each.reason}
            for each in receipt.profiles.values()
            if isinstance(each, Failed)
        ],
        "destinations": [
            {"destination": name, "asked": asked, "outcomes": outcomes, "payloads_dropped": dropped}
            for name, asked, outcomes, dropped in _destinations(receipt)
        ],
        "in_their_topics": sorted({name for each in profiles for name in each.told}),
        "remains": [
            {
                "topic": each.topic, "what": each.what, "why": each.why,
                "until": iso(each.until_ms) if each.until_ms is not None else None,
            }
            for each in remains
        ],
    }  # fmt: skip


def as_text(receipt: Receipt, remains: Sequence[Remains] = ()) -> str:
    """For people."""
    decided = receipt.decided
    lines = [_line(receipt)]
    if decided is not None:
        counts = (("erased", decided.erased), ("suppressed", decided.suppressed), ("lifted", decided.lifted))
        lines += ["", "identifiers", "  " + (", ".join(f"{n} {what}" for what, n in counts if n) or "nobody is known")]
    rows: list[tuple[str, ...]] = []
    for each in receipt.profiles.values():
        if isinstance(each, Failed):
            rows.append((each.profile, f"FAILED: {each.reason}"))
        elif each.redirect:
            rows.append((each.profile, "was part of another"))
        else:
            told = (
                f"{each.traits} traits, {each.cells} cells, {each.parts} parts, {each.timers} timers, "
                f"{each.changelog} changelog records; {each.changes} changes taken back"
            )
            rows.append((each.profile, told))
    lines += _section("profiles", rows)
    lines += _section(
        "destinations",
        [
            (name, ", ".join(f"{outcome.replace('_', ' ')} {n}" for outcome, n in outcomes.items()) or "waiting",
             f"{dropped} payloads dropped")
            for name, _, outcomes, dropped in _destinations(receipt)
        ],
    )  # fmt: skip
    lines += _section(
        "remains, until at the latest",
        [(each.topic, iso(each.until_ms) if each.until_ms is not None else "no time is set", each.why, each.what)
         for each in remains],
    )  # fmt: skip
    return "\n".join(lines)


def _asked(words: Sequence[str]) -> tuple[RegulationType, Identifier]:
    if len(words) != 2:
        raise CommandError("create takes a TYPE and an IDENTIFIER", code=WRONG_USAGE)
    name, text = words
    if name not in RegulationType.__members__:
        raise CommandError(f"{name} is none of {', '.join(RegulationType)}", code=WRONG_USAGE)
    return RegulationType(name), subject_of(text)


def subject_of(text: str) -> Identifier:
    """The one identifier that a text names: a guess may erase somebody else.

    Raises:
        CommandError: It names none, or a profile.
    """
    kind, colon, value = text.partition(":")
    if not colon and text.startswith("prf_"):
        raise CommandError(
            f"{text} is a profile; name a person by one of their identifiers, such as user_id:{text}", code=WRONG_USAGE
        )
    if not colon:
        kind, value = "user_id", text
    if not value or type_text(kind) is None:
        raise CommandError("IDENTIFIER is TYPE:VALUE, such as email:ann@example.com", code=WRONG_USAGE)
    return kind, value


def _list(found: Sequence[Receipt], as_json: bool) -> None:
    if as_json:
        answer([as_value(each) for each in found])
        return
    for each in found:
        print(_line(each), flush=True)


def _line(receipt: Receipt) -> str:
    first = receipt.requested or receipt.decided
    what = f"{first.type}, asked {iso(first.at)}" if first is not None else "unknown"
    return f"{receipt.id}  {receipt.state}  {what}"


def _destinations(receipt: Receipt) -> list[tuple[str, int, dict[str, int], int]]:
    """Name, deletions asked for, outcome → how many, payloads that were not sent any more."""
    found: list[tuple[str, int, dict[str, int], int]] = []
    for name, asked in receipt.asked.items():
        settled = [each for each in receipt.settled.values() if each.destination == name]
        outcomes: dict[str, int] = {}
        for each in settled:
            outcomes[each.outcome] = outcomes.get(each.outcome, 0) + 1
        found.append((name, asked, outcomes, sum(each.dropped for each in settled)))
    return found


def _section(title: str, rows: Sequence[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(*[row + ("",) * (4 - len(row)) for row in rows], strict=True)]
    return ["", title, *("  " + "  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)]
