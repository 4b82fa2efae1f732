"""`headwater explain`: why a profile is in an audience or out of it, or has a trait's value, and until when."""

from __future__ import annotations

import asyncio
from difflib import get_close_matches
from typing import Annotated

import typer

from app.cli import brokers as broker_address
from app.cli import explanation_view as view
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Brokers, Config, Data, Json
from app.cli.output import WRONG_USAGE, CommandError, answer
from app.cli.sought import HELP, check_named, look
from app.clock import SystemClock
from app.compute.explain import explain as explained
from app.definitions.checker import Parsed, compile_ready
from app.definitions.model import Scope
from app.stream.lookup import Found
from app.topics import Topics


def explain(
    definition: Annotated[str, typer.Argument(metavar="DEFINITION", help="Its key.", show_default=False)],
    identifier: Annotated[str, typer.Argument(metavar="IDENTIFIER", help=HELP, show_default=False)],
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    as_json: Json = False,
) -> None:
    """Tell why a profile or an account is in an audience or out of it, or has a trait's value: clause by clause, with
    the events and traits behind each, and the next instant at which it flips if nothing happens.

    Reads the changelogs, so it can be asked while the stream runs. It tells of this moment, and of the events that have
    been applied by now.

    Exit code 0: explained; 1: nobody is known under that identifier; 2: there is no such definition.

    \b
    Examples:
      headwater explain big_spenders ann
      headwater explain big_spenders email:ann@example.com
      headwater explain big_spenders anonymous_id:8f14e45f --json | jq .value
      headwater explain trial_accounts group_id:acme
    """
    check_named(identifier)
    settings = broker_address.settings(config, brokers)
    address = broker_address.resolve(settings, data, brokers)
    topics = Topics(settings.kafka.topic_prefix)
    found, owner = asyncio.run(look(identifier, address, topics, settings.kafka.security))
    ready = definitions_for(definition, found)
    if found.profile is None:
        reason = (
            "no group call of it has been applied yet" if found.collection == "accounts"
            else "no event of theirs has been applied yet that a definition looks at"
        )  # fmt: skip
        raise CommandError(f"nobody is known as {owner}: {reason}")
    explanation = explained(ready, definition, found.profile, SystemClock().now_ms(), _scope(found))
    if as_json:
        answer({"profile": found.profile_id, **view.as_value(explanation)})
    else:
        print(view.as_text(explanation, owner, styled=view.is_styled()), flush=True)


def _scope(found: Found) -> Scope:
    return "ACCOUNTS" if found.collection == "accounts" else "USERS"


def definitions_for(key: str, found: Found) -> list[Parsed]:
    """The definitions in force, in the order of dependence; the one that is asked for is among them."""
    if found.catalog is None:
        raise CommandError(
            "no definitions are in effect yet: `headwater apply` and `headwater up` put them into effect"
        )
    ready, errors = compile_ready(found.catalog.definitions)
    scope = _scope(found)
    if any(definition.key == key and definition.scope == scope for definition, _ in ready):
        return ready
    for error in errors:
        if error.key == key:
            raise CommandError(f"{key} is not evaluated: {error}")
    if any(definition.key == key for definition, _ in ready):
        other = "users: name one" if scope == "ACCOUNTS" else "accounts: name one, as group_id:VALUE"
        raise CommandError(f"{key!r} is a definition of {other}", code=WRONG_USAGE)
    close = get_close_matches(key, [definition.key for definition, _ in ready if definition.scope == scope], n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise CommandError(f"no definition {key!r} is in effect{hint}", code=WRONG_USAGE)
