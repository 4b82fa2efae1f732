"""`headwater regulation`: erase a person, keep a person out, and what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from app.cli import brokers as broker_address
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Brokers, Config, Data, Json
from app.cli.output import WRONG_USAGE, CommandError, answer, say
from app.cli.regulation_receipt import Elsewhere, as_text, as_value, headline
from app.clock import SystemClock
from app.delivery.list_reading import departures
from app.identity.identifiers import type_text
from app.identity.regulations import RegulationType
from app.identity.rules import Identifier
from app.settings import Settings
from app.stages.receipts import Receipt, State
from app.stream import regulate
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
    receipt, elsewhere = asyncio.run(desk.show(wanted, timeout if wait else 0.0))
    if as_json:
        answer(as_value(receipt, elsewhere))
    else:
        print(as_text(receipt, elsewhere), flush=True)
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

    async def show(self, id_: str, wait_s: float) -> tuple[Receipt, Elsewhere]:
        """A receipt, and what remains; it is waited for until its end, or for so long."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_s
        while True:
            receipt = (await self.all()).get(id_)
            if receipt is None:
                raise CommandError(f"there is no regulation {id_}; `headwater regulation list` names them")
            if receipt.state.is_final or loop.time() >= deadline_s:
                return receipt, await self._elsewhere(receipt)
            await asyncio.sleep(POLL_S)

    async def _elsewhere(self, receipt: Receipt) -> Elsewhere:
        remains = await regulate.remains(self._brokers, self._settings, receipt)
        erased = receipt.decided.profiles if receipt.decided is not None else []
        lists = await departures(self._brokers, self._settings, erased) if erased else {}
        return Elsewhere(remains, [(name, each) for name, several in lists.items() for each in several])


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
        print(headline(each), flush=True)
