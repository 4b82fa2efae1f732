"""Every vendor of lists gets what is for it at the rate that it bears, by its own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from app.activation.destinations import DESTINATIONS
from tests.contract.destination_fixtures import fixture
from tests.delivery.jumping import run_jumping
from tests.delivery.list_rig import HOUR_S, ListRig, serving, told
from tests.vendors.list_sites import AT_ONCE, RATES, SITES
from tests.vendors.lists import DataManager, ListSite, Window

OF_JOBS = {"sendgrid_lists", "sfmc_lists"}
"""Few lists at once, each of which waits for the end of its job: far below a high rate."""
SPANS_S = (1.0, 3.0, 10.0)
LISTS = 40
WAIT_S = 500.0


def rig_of(name: str, site: ListSite, lists: int, **more: Any) -> tuple[ListRig, list[str]]:
    audiences = [f"a{number}" for number in range(lists)]
    interval_s = DESTINATIONS[name].lists.interval_s  # type: ignore[union-attr]
    settings = fixture(name)["settings"]
    return ListRig(
        site, type_=name, audiences=audiences, interval_s=interval_s, paced=True, **settings, **more
    ), audiences


async def enter(rig: ListRig, audiences: Sequence[str]) -> None:
    """Two people into each."""
    people = [
        told(2 * at + person, f"p{person}", inside=True, email=f"{person}@x.org", audience=audience)
        for at, audience in enumerate(audiences)
        for person in range(2)
    ]
    await rig.lane.take(0, people)


def added(rig: ListRig) -> int:
    return sum(one.count for one in rig.counted if one.outcome == "delivered")


def fastest(stamps: Sequence[float], span_s: float) -> int:
    """The most requests in any such span."""
    most, first = 0, 0
    for last, stamp in enumerate(stamps):
        while stamps[first] <= stamp - span_s + 1e-6:
            first += 1
        most = max(most, last - first + 1)
    return most


def test_there_is_a_vendor_and_a_rate_for_each_type_of_list() -> None:
    types = {name for name, one in DESTINATIONS.items() if one.lists is not None}
    assert SITES.keys() == RATES.keys() == types


@pytest.mark.parametrize("name", SITES)
def test_a_vendor_gets_many_lists_within_its_limits(name: str) -> None:
    async def main() -> None:
        site = SITES[name]()
        rig, audiences = rig_of(name, site, LISTS)
        site.takes_s, rig.append_s = 0.004, 0.0005  # no rate is kept because something is slow
        async with serving(rig):
            await enter(rig, audiences)
            await asyncio.sleep(WAIT_S)
        assert added(rig) == 2 * LISTS
        stamps = [at_s for at_s, _, _ in site.asked]
        for span_s in SPANS_S:
            assert fastest(stamps, span_s) <= RATES[name] * span_s
        assert site.too_fast == []
        assert site.at_once_max <= AT_ONCE.get(name, rig.configured.limits.in_flight_max)
        assert name in OF_JOBS or fastest(stamps, 1.0) > RATES[name] / 2, "so slow that nothing was tried"

    run_jumping(main())


class SmallQuota(DataManager):
    """A project with a small quota, and short days."""

    windows: ClassVar = (Window("writes a day", DataManager.WRITES, 4, 2 * HOUR_S),)


def test_a_used_up_day_is_waited_for_an_hour_at_a_time_and_nobody_is_forgotten() -> None:
    async def main() -> None:
        site = SmallQuota()
        rig, audiences = rig_of("google_customer_match", site, 3)
        async with serving(rig):
            await enter(rig, audiences)
            await asyncio.sleep(HOUR_S / 2)
            assert added(rig) < 6
            turned_away = len(site.too_fast)
            assert 1 <= turned_away <= rig.configured.limits.in_flight_max
            await asyncio.sleep(HOUR_S)
            assert 1 <= len(site.too_fast) - turned_away <= rig.configured.limits.in_flight_max
            await asyncio.sleep(2 * HOUR_S)
        assert len(site.lists) == 3
        assert all(len(members) == 2 for members in site.lists.values())

    run_jumping(main())
