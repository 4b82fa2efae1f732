"""`headwater destinations test`: one real message to a destination, and what its vendor says to it."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from enum import StrEnum
from typing import Annotated

import typer

from app import configuration
from app.activation.destination import Configured
from app.activation.outcome import Reason
from app.activation.payload import Payload, parse_payload
from app.activation.router import Router
from app.cli import brokers as broker_address
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Brokers, Config, Data, Json
from app.cli.output import DONE, FAILED, WRONG_USAGE, CommandError, answer
from app.cli.sought import HELP, named, sought
from app.clock import SystemClock
from app.compute.changes import Change
from app.definitions.model import Catalog, Subscription
from app.delivery.guard import Guard
from app.delivery.transport import Transport
from app.delivery.trial import Said, Trial, try_one
from app.ids import definition_id, derived_id
from app.profiles.state import Profile
from app.settings import Settings
from app.stream.lookup import look_up
from app.topics import Topics


class Action(StrEnum):
    """What to do."""

    TEST = "test"


def destinations(
    action: Annotated[Action, typer.Argument(help="What to do.", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="NAME", help="The destination's name.", show_default=False)],
    profile: Annotated[str, typer.Option("--profile", metavar="ID", help=HELP, show_default=False)],
    definition: Annotated[
        str, typer.Option("--definition", help="A connected audience or trait; without it, the first one.")
    ] = "",
    call: Annotated[str, typer.Option("--call", help="identify or track; without it, the connection's first.")] = "",
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    as_json: Json = False,
) -> None:
    """Send a destination one real message about a real profile, and show request and response, without secrets.

    The message says what is true of the profile at this moment, so the vendor learns nothing that is wrong. It goes
    out at once, whatever waits in the destination's queue.

    Exit code 0: delivered; 1: not, or nobody is known under that identifier; 2: no such destination or definition.

    \b
    Examples:
      headwater destinations test crm --profile ann
      headwater destinations test crm --profile email:ann@example.com --definition vip --call track --json
    """
    settings = configuration.open_configuration(config, os.environ).settings
    configured = _configured(settings, name)
    catalog = configuration.catalog(settings)
    subscription = _subscription(catalog, name, definition, call)
    address = broker_address.resolve(settings, data, brokers)
    wanted = sought(profile)
    found = asyncio.run(
        look_up(address, Topics(settings.kafka.topic_prefix), wanted, settings.kafka.security)
    )  # fmt: skip
    if found.profile is None:
        raise CommandError(f"nobody is known as {named(wanted, found.known)}, or no event of theirs was applied yet")
    payload = message(catalog, subscription, found.profile_id, found.profile)
    place = configured.place(payload)
    if isinstance(place, Reason):
        raise CommandError(f"{name} would not be sent this message: {place}")
    trial = asyncio.run(_send(settings, configured, payload))
    if as_json:
        answer(as_value(payload, trial))
    else:
        print(as_text(name, payload, trial), flush=True)
    raise typer.Exit(DONE if trial.delivered else FAILED)


def message(catalog: Catalog, subscription: Subscription, profile_id: str, profile: Profile) -> Payload:
    """What the destination would be told if the definition's value had become what it is just now.

    Args:
        subscription: With one call; the first of the profile's addressees is told.
    """
    now_ms = SystemClock().now_ms()
    # An audience that nobody was ever in is left, a trait that was never computed is null.
    value = profile.emitted.get(subscription.definition, False if subscription.kind == "audience" else None)
    change = Change(
        id=derived_id("test", subscription.destination, profile_id, str(now_ms)),
        profile=profile_id,
        key=subscription.definition,
        kind=subscription.kind,
        definition_id=definition_id(subscription.kind, subscription.definition),
        value=value,
        previous=value,
        at_ms=now_ms,
        sequence=profile.sequence,
        identifiers=tuple(profile.identifiers),
        traits=profile.traits,
        computed=profile.emitted,
        origin="resync",
    )
    routed = Router(replace(catalog, subscriptions=(subscription,)), Topics()).route(change)
    if not routed:
        raise CommandError(f"a {subscription.calls[0]} call tells of no user", code=WRONG_USAGE)
    return parse_payload(routed[0].value)


def as_value(payload: Payload, trial: Trial) -> dict[str, object]:
    """For machines."""
    return {
        "delivered": trial.delivered,
        "outcome": trial.word,
        "reason": trial.reason,
        "message": trial.message,
        "payload": payload.call,
        "exchanges": [
            {"request": said.request, "response": said.response, "failure": said.failure or None} for said in trial.said
        ],
    }


def as_text(name: str, payload: Payload, trial: Trial) -> str:
    """For people."""
    reason = "" if trial.reason is None else f" ({trial.reason})"
    parts = [part for said in trial.said for part in _exchange(said)]
    return "\n".join([*parts, f"{name}: {trial.word}{reason}: {trial.message or 'done'}"])


def _exchange(said: Said) -> list[str]:
    lines = [f"→ {said.request['method']} {said.request['url']}", *_rest(said.request)]
    if "for" in said.request:
        lines.append(f"  for {said.request['for']}")
    if said.response is None:
        return [*lines, f"← {said.failure}", ""]
    return [*lines, f"← HTTP {said.response['status']}", *_rest(said.response), ""]


def _rest(shown: dict[str, object]) -> list[str]:
    """Headers and body."""
    headers = shown.get("headers")
    lines = [f"  {name}: {value}" for name, value in headers.items()] if isinstance(headers, dict) else []
    body = str(shown.get("body") or "")
    with suppress(ValueError):  # not every vendor speaks JSON
        body = json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    return [*lines, *(f"  {line}" for line in body.splitlines())]


def _configured(settings: Settings, name: str) -> Configured:
    known = configuration.destinations(settings)
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise CommandError(f"no destination is called {name!r}{hint}", code=WRONG_USAGE)
    if not known[name].sends:
        raise CommandError(f"{name}: its topic is the delivery, there is nobody to send to", code=WRONG_USAGE)
    return known[name]


def _subscription(catalog: Catalog, name: str, definition: str, call: str) -> Subscription:
    connected = [each for each in catalog.subscriptions if each.destination == name]
    meant = [each for each in connected if definition in ("", each.definition)]
    if not meant:
        known = ", ".join(each.definition for each in connected) or "nothing"
        raise CommandError(f"{name}: {definition or 'nothing'} is not connected; {known} is", code=WRONG_USAGE)
    if call not in ("", "identify", "track"):
        raise CommandError(f"--call {call}: expected identify or track", code=WRONG_USAGE)
    return replace(meant[0], calls=(call or meant[0].calls[0],))


async def _send(settings: Settings, configured: Configured, payload: Payload) -> Trial:
    transport = Transport(Guard.of(settings.delivery.allow_networks))
    try:
        return await try_one(configured, payload, transport.send, SystemClock())
    finally:
        await transport.close()
