"""The lists of the whole system: two audiences that every type of list has, and what must stand on each in the end."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from app.activation.destinations import DESTINATIONS
from app.activation.lists.overview import Ledger, ListView
from app.activation.lists.state import LIST, encode
from tests.faults.deployment import Deployment
from tests.vendors.list_receiver import ListReceiver
from tests.vendors.list_sites import AT_ONCE, SITES
from tests.vendors.server import Vendors
from tests.vendors.vendor import is_bad

AUDIENCES = {
    "passing": "event('braze').count() >= 1 AND event('kinesis').count() < 2",
    "few": "event('slack').count() >= 1",
}
"""Into the one people come and, about half of them, go again; a small one, that is made and changed in other ways."""
FIRST_WAIT_S = 1.0
AGES_MS = 7 * 3_600_000
"""Longer than any list has to wait for its next update."""
BY_USER = {
    "amplitude_cohorts",
    "braze_cohorts",
    "customerio_segments",
    "facebook_audiences",
    "iterable_lists",
    "sfmc_lists",
}
BY_HASH = {"dv360", "google_customer_match", "pinterest_audiences", "snapchat_audiences", "tiktok_audiences"}
"""How members are known; the others know the e-mail address."""
REFUSING = {
    "amplitude_cohorts", "dv360", "google_customer_match", "http_lists", "hubspot_lists", "iterable_lists",
    "klaviyo_lists", "marketo_static_lists", "sendgrid_lists", "sfmc_lists",
}  # fmt: skip
"""Those who say of a single member that they do not take him; the others tell counts, or nothing."""
ALSO_THERE = {"amplitude_cohorts": {"seed"}}
"""Who is on a list without our doing."""
POLL_S = 0.5


def definitions() -> list[dict[str, Any]]:
    return [{"key": key, "query": query} for key, query in AUDIENCES.items()]


def destinations(vendors: Vendors) -> list[dict[str, Any]]:
    own = {"http_lists": {"interval": "1 second"}}
    return [
        {
            "name": name,
            "type": name,
            "settings": vendors.settings(name),
            "connect": [{"audience": audience} | own.get(name, {}) for audience in AUDIENCES],
        }
        for name in SITES
    ]


def members(plan: Mapping[str, Sequence[int]]) -> dict[str, set[int]]:
    """Audience → who is in it when everything has happened."""
    kinesis = Counter(plan["kinesis"])
    return {"passing": {person for person in plan["braze"] if kinesis[person] < 2}, "few": {*plan["slack"]}}


def known_as(name: str, person: int) -> str:
    """What a vendor calls somebody."""
    email = f"p{person}@example.com"
    if name in BY_HASH:
        return sha256(email.encode()).hexdigest()
    return f"u-{person}" if name in BY_USER else email


def refuse_bad(vendors: Vendors, plan: Mapping[str, Sequence[int]]) -> None:
    """Have those who can refuse the people whom every vendor refuses."""
    bad = {person for people in plan.values() for person in people if is_bad(person)}
    for name in REFUSING:
        vendors.lists[name].site.bad = {known_as(name, person) for person in bad}


async def ledger(deployment: Deployment, name: str) -> Ledger:
    """What `headwater lists status` reads."""
    found = Ledger()
    for partition in await deployment.read(deployment.topics.lists_changelog(name), 1):
        found.take((record.key, record.value) for record in partition)
    return found


async def age(deployment: Deployment) -> None:
    """Let hours have passed, in the ledgers of lists that nobody has just now: all of them are due."""
    await asyncio.gather(*(_age(deployment, name) for name in SITES))


async def _age(deployment: Deployment, name: str) -> None:
    changelog = deployment.topics.lists_changelog(name)
    for list_, kept in (await ledger(deployment, name)).lists.items():
        for run in kept.runs:
            run.started_ms, run.ended_ms = run.started_ms - AGES_MS, max(0, run.ended_ms - AGES_MS)
        for job in kept.jobs:
            job.run_ms, job.at_ms = job.run_ms - AGES_MS, job.at_ms - AGES_MS
        await deployment.producer.append(changelog, 0, [(LIST + list_, encode(kept))])


async def until_updated(deployment: Deployment, vendors: Vendors, within_s: float) -> dict[str, list[ListView]]:
    """Wait until no list has anything left to do; gives what the ledgers say.

    A ledger is read when its vendor has not been asked for a moment: it is long, and this loop is the vendors', too.
    """
    found: dict[str, list[ListView]] = {}
    try:
        async with asyncio.timeout(within_s):
            while found.keys() != SITES.keys():
                await asyncio.sleep(POLL_S)
                still = [name for name in SITES if time.monotonic() - vendors.lists[name].stamps[-1] > POLL_S]
                asked = [name for name in still if name not in found]
                ledgers = await asyncio.gather(*(ledger(deployment, name) for name in asked))
                for name, views in zip(asked, (each.views() for each in ledgers), strict=True):
                    if len(views) == len(AUDIENCES) and all(map(at_rest, views)):
                        found[name] = views
    except TimeoutError:
        left = {name: (await ledger(deployment, name)).views() for name in SITES.keys() - found.keys()}
        raise AssertionError(f"lists are not up to date: {left}") from None
    return found


def at_rest(view: ListView) -> bool:
    return bool(view.runs) and view.runs[-1].status == "done" and not (view.to_add or view.to_remove)


def judge_lists(receiver: ListReceiver, views: Sequence[ListView], wanted: Mapping[str, set[int]]) -> None:
    """Holds a vendor's lists, and what the ledger says of them, to the plan."""
    name, site = receiver.name, receiver.site
    assert {view.audience for view in views} == wanted.keys(), name
    for view in views:
        expected = {known_as(name, person) for person in wanted[view.audience]}
        refused = expected & site.bad
        there = site.lists[view.external] - ALSO_THERE.get(name, set())
        lost, kept = expected - refused - there, there - (expected - refused)
        assert (lost, kept) == (set(), set()), f"{name}, {view.audience}: lost {lost}, kept {kept}"
        assert view.held == len(there), f"{name}, {view.audience}: the ledger's members"
        assert {one.key for one in view.refused} == refused, f"{name}, {view.audience}: whom the ledger has as refused"
        # Whose first request nobody has answered is taken off when he leaves, though the second one was refused.
        assert view.in_doubt <= len(refused), f"{name}, {view.audience}: the ledger's doubts"
    assert receiver.odd == [], name
    at_once_max = AT_ONCE.get(name, DESTINATIONS[name].limits.in_flight_max)
    assert site.at_once_max <= at_once_max, f"{name}: {site.at_once_max} requests at once"


def told_of(receiver: ListReceiver, views: Sequence[ListView]) -> str:
    """One line for people."""
    lists = "; ".join(
        f"{view.audience}: {view.held} members, {sum(run.added for run in view.runs)} added,"
        f" {sum(run.removed for run in view.runs)} removed, {len(view.refused)} refused, {len(view.runs)} updates"
        for view in views
    )
    return f"{receiver.name:20} {len(receiver.stamps):5} requests, {dict(receiver.told)}; {lists}"
