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
from app.cli.sought import HELP, named, sought
from app.clock import SystemClock
from app.compute.explain import explain as explained
from app.definitions.checker import Parsed, compile_ready
from app.definitions.model import Catalog
from app.stream.lookup import look_up
from app.topics import Topics


def explain(
    definition: Annotated[str, typer.Argument(metavar="DEFINITION", help="Its key.", show_default=False)],
    identifier: Annotated[str, typer.Argument(metavar="IDENTIFIER", help=HELP, show_default=False)],
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    as_json: Json = False,
) -> None:
    """Tell why a profile is in an audience or out of it, or has a trait's value: clause by clause, with the events and
    traits behind each, and the next instant at which it flips if nothing happens.

    Reads the changelogs, so it can be asked while the stream runs. It tells of this moment, and of the events that have
    been applied by now.

    Exit code 0: explained; 1: nobody is known under that identifier; 2: there is no such definition.

    \b
    Examples:
      headwater explain big_spenders ann
      headwater explain big_spenders email:ann@example.com
      headwater explain big_spenders anonymous_id:8f14e45f --json | jq .value
    """
    wanted = sought(identifier)
    settings = broker_address.settings(config, brokers)
    address = broker_address.resolve(settings, data, brokers)
    topics = Topics(settings.kafka.topic_prefix)
    found = asyncio.run(look_up(address, topics, wanted, settings.kafka.security))
    owner = named(wanted, found.known)
    ready = _definitions(definition, found.catalog)
    if found.profile is None:
        raise CommandError(
            f"nobody is known as {owner}: no event of theirs has been applied yet that a definition looks at"
        )
    explanation = explained(ready, definition, found.profile, SystemClock().now_ms())
    if as_json:
        answer({"profile": found.profile_id, **view.as_value(explanation)})
    else:
        print(view.as_text(explanation, owner, styled=view.is_styled()), flush=True)


def _definitions(key: str, catalog: Catalog | None) -> list[Parsed]:
    """The definitions in force, in the order of dependence; the one that is asked for is among them."""
    if catalog is None:
        raise CommandError(
            "no definitions are in effect yet: `headwater apply` and `headwater up` put them into effect"
        )
    ready, errors = compile_ready(catalog.definitions)
    if any(definition.key == key and definition.scope == "USERS" for definition, _ in ready):
        return ready
    for error in errors:
        if error.key == key:
            raise CommandError(f"{key} is not evaluated: {error}")
    close = get_close_matches(key, [definition.key for definition, _ in ready], n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise CommandError(f"no definition {key!r} is in effect{hint}", code=WRONG_USAGE)
