"""`headwater lists`: what is on the lists of list destinations, by our own ledger; whether the vendors agree, and what
to do where they do not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Annotated

import typer

from app import configuration
from app.activation.lists.drift import Drift
from app.activation.lists.overview import ListView
from app.activation.lists.state import Entry
from app.activation.wire import iso
from app.cli import brokers as broker_address
from app.cli.options import CONFIG_DEFAULT, DATA_DEFAULT, Brokers, Config, Data, Json
from app.cli.output import DONE, FAILED, WRONG_USAGE, CommandError, answer
from app.delivery.list_reading import Compared, compare, order_repairs, read
from app.settings import Settings
from app.topics import Topics


class Action(StrEnum):
    """What to do with them."""

    STATUS = "status"
    CHECK = "check"


def lists(
    action: Annotated[Action, typer.Argument(help="What to do with them.", show_default=False)],
    destination: Annotated[str, typer.Argument(help="Only this destination's.", show_default=False)] = "",
    repair: Annotated[
        bool, typer.Option("--repair", help="Of check: have each list's next update mend what was found.")
    ] = False,
    config: Config = CONFIG_DEFAULT,
    data: Data = DATA_DEFAULT,
    brokers: Brokers = "",
    as_json: Json = False,
) -> None:
    """Show the lists of list destinations, from their changelogs; delivery may run meanwhile.

    status: each list's members, what waits for its next update, whom the vendor refused, and its last updates.
    check: asks the vendor who is on each list, and compares with what we put there. Only some types tell; the others
    are named as such. With --repair, whoever is missing is put on again and whoever came back is taken off again; it is
    done by delivery, with the list's next update. Who was never put on from here is left alone.

    Exit code 0: shown, and the vendors' lists are as they have to be, or are to be mended; 1: something is missing or
    came back, or a vendor could not be asked.

    \b
    Examples:
      headwater lists status
      headwater lists status klaviyo --json | jq '.lists[].runs[-1]'
      headwater lists check klaviyo
      headwater lists check klaviyo --repair
    """
    if repair and action is not Action.CHECK:
        raise CommandError("--repair goes with check", code=WRONG_USAGE)
    loaded = configuration.open_configuration(config, os.environ)
    settings = loaded.settings
    names = [name for name in configuration.list_intervals(settings) if destination in ("", name)]
    if not names:
        known = ", ".join(configuration.list_intervals(settings)) or "none"
        raise CommandError(f"no list destination is called {destination!r}; there are: {known}", code=WRONG_USAGE)
    address = broker_address.resolve(settings, data, brokers)
    if action is Action.STATUS:
        views = asyncio.run(_views(settings, address, names))
        if as_json:
            answer({"lists": [view_value(name, view) for name, found in views.items() for view in found]})
        else:
            print(
                "\n\n".join(view_text(name, view) for name, found in views.items() for view in found) or "no lists yet"
            )
        return
    compared = asyncio.run(_compared(settings, address, names, repair=repair))
    if as_json:
        answer({"lists": [drift_value(*each) for each in compared], "repair": repair})
    else:
        print("\n".join(drift_text(*each) for each in compared) or "no lists yet")
        if repair and any(isinstance(each.found, Drift) and not each.sound for _, each in compared):
            print("what differs is mended with each list's next update")
    good = all(each.sound or (repair and isinstance(each.found, Drift)) for _, each in compared)
    raise typer.Exit(DONE if good else FAILED)


async def _views(settings: Settings, address: str, names: list[str]) -> Mapping[str, list[ListView]]:
    topics = Topics(settings.kafka.topic_prefix)
    return {name: (await read(address, settings.kafka.security, topics, name)).views() for name in names}


async def _compared(settings: Settings, address: str, names: list[str], *, repair: bool) -> list[tuple[str, Compared]]:
    found: list[tuple[str, Compared]] = []
    topics, security = Topics(settings.kafka.topic_prefix), settings.kafka.security
    for name, configured in configuration.destinations(settings).items():
        if name in names:
            ledger = await read(address, security, topics, name)
            compared = await compare(configured, ledger, settings.delivery.allow_networks)
            if repair:
                await order_repairs(address, security, topics.destination(name), compared)
            found += [(name, each) for each in compared]
    return found


def view_value(destination: str, view: ListView) -> dict[str, object]:
    """A list for machines."""
    return {
        "destination": destination,
        "audience": view.audience,
        "name": view.name,
        "vendor_id": view.external or None,
        "wanted": view.wanted,
        "held": view.held,
        "in_doubt": view.in_doubt,
        "to_add": view.to_add,
        "to_remove": view.to_remove,
        "unreported": view.unreported,
        "refused": [
            {"member": one.key, "wanted": one.wanted, "reason": one.reason, "at": iso(one.at_ms)}
            for one in view.refused
        ],
        "runs": [
            {
                "started": iso(run.started_ms),
                "ended": iso(run.ended_ms) if run.ended_ms else None,
                "status": run.status,
                "added": run.added,
                "removed": run.removed,
                "refused": run.refused,
                "requests": run.requests,
                "reason": run.reason or None,
            }
            for run in view.runs
        ],
    }


def view_text(destination: str, view: ListView) -> str:
    """The same for people."""
    there = f"the vendor's {view.external}" if view.external else "not made yet"
    waits = f"to add {view.to_add}, to remove {view.to_remove}, in doubt {view.in_doubt}, refused {len(view.refused)}"
    lines = [
        f"{destination} / {view.audience}: {view.name} ({there})",
        f"  {view.held} on the list, {view.wanted} wanted; {waits}",
    ]
    if view.unreported:
        lines.append(f"  {view.unreported} accepted requests of which the vendor has yet to say what it made of them")
    for run in view.runs[-3:]:
        refused = ", ".join(f"{count} refused ({reason})" for reason, count in run.refused.items())
        told = [f"{run.added} added", f"{run.removed} removed", *([refused] if refused else [])]
        lines.append(f"  {iso(run.started_ms)} {run.status}: {', '.join(told)} in {run.requests} requests"
                     + (f"; {run.reason}" if run.reason else ""))  # fmt: skip
    for one in view.refused[:REFUSED_SHOWN]:
        lines.append(f"  refused: {one.key} ({one.reason}, {iso(one.at_ms)})")
    return "\n".join(lines)


REFUSED_SHOWN = 5


def drift_value(destination: str, compared: Compared) -> dict[str, object]:
    """A comparison for machines."""
    about: dict[str, object] = {"destination": destination, "audience": compared.audience}
    found = compared.found
    if isinstance(found, str):
        return about | {"compared": False, "reason": found}
    return about | {
        "compared": True,
        "held": found.held,
        "shown": found.shown,
        "others": found.others,
        "missing": len(found.missing),
        "sample": _keys(found.missing),
        "back": len(found.back),
        "back_sample": _keys(found.back),
    }


def drift_text(destination: str, compared: Compared) -> str:
    """The same for people."""
    found = compared.found
    if isinstance(found, str):
        return f"{destination} / {compared.audience}: not compared: {found}"
    differ = [
        f"{len(entries)} {what}" + (f": {', '.join(_keys(entries))}" if entries else "")
        for what, entries in (("missing", found.missing), ("came back", found.back))
    ]
    return (
        f"{destination} / {compared.audience}: {found.held} by our ledger, {found.shown} at the vendor, "
        f"{found.others} of them put there by others; {'; '.join(differ)}"
    )


KEYS_SHOWN = 20


def _keys(entries: Sequence[Entry]) -> list[str]:
    return [entry.key for entry in entries[:KEYS_SHOWN]]
