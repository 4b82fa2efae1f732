"""Uploads that a vendor accepts and works on for hours: asked about, and what follows from what it says."""

from __future__ import annotations

import asyncio
from typing import Any

from app.activation.hashing import hashed_email
from tests.delivery.jumping import run_jumping
from tests.delivery.list_rig import HOUR_S, ListRig, serving, told
from tests.vendors.lists import DataManager

SETTINGS = {
    "client_id": "app", "client_secret": "canary-google", "refresh_token": "canary-refresh",
    "customer_id": "123-456-7890",
}  # fmt: skip
HALF_HOUR_S = 1_800


def rig_of(vendor: DataManager, **more: Any) -> ListRig:
    return ListRig(vendor, type_="google_customer_match", interval_s=6 * HOUR_S, **SETTINGS, **more)


def hashes(*numbers: int) -> set[str]:
    return {hashed_email(f"{number}@x.org", "google") or "" for number in numbers}


async def enter(rig: ListRig, *numbers: int, first: int = 0) -> None:
    people = [told(first + at, f"p{n}", inside=True, email=f"{n}@x.org") for at, n in enumerate(numbers)]
    await rig.lane.take(0, people)


def test_an_upload_is_asked_about_after_half_an_hour_and_until_it_is_done() -> None:
    async def main() -> None:
        vendor = DataManager()
        rig = rig_of(vendor)
        async with serving(rig):
            await enter(rig, 0, 1)
            await asyncio.sleep(100)
            assert vendor.lists == {"L1": hashes(0, 1)}
            run = rig.view().runs[0]
            assert (run.status, run.added, rig.view().unreported) == ("done", 2, 1)
            await asyncio.sleep(5 * HOUR_S)
            first, second = vendor.times(vendor.STATUS)
            (sent,) = vendor.times("POST /v1/audienceMembers:ingest")
            assert 0 <= first - sent - HALF_HOUR_S < 3
            assert 0 <= second - first - HALF_HOUR_S < 3
            assert rig.view().unreported == 0
            assert rig.view().runs[0].added == 2

    run_jumping(main())


def test_what_came_to_nothing_goes_out_once_more_and_no_third_time() -> None:
    async def main() -> None:
        vendor = DataManager()
        vendor.fates.extend([("FAILED", 0), ("FAILED", 0)])
        rig = rig_of(vendor)
        async with serving(rig):
            await enter(rig, 0, 1)
            await asyncio.sleep(2 * HOUR_S)
            view = rig.view()
            assert (view.runs[0].added, view.to_add, view.in_doubt, view.refused) == (0, 2, 2, [])
            await asyncio.sleep(6 * HOUR_S)
            view = rig.view()
            assert [run.added for run in view.runs] == [0, 0]
            assert view.runs[1].refused == {"refused": 2}
            assert {(one.key, one.reason) for one in view.refused} == {(key, "refused") for key in hashes(0, 1)}
            await asyncio.sleep(24 * HOUR_S)
            assert len(vendor.times("POST /v1/audienceMembers:ingest")) == 2
            counted = [(one.outcome, one.reason, one.count) for one in rig.counted if one.reason]
            assert counted == [("retry", "refused", 2), ("rejected", "refused", 2)]

    run_jumping(main())


def test_a_removal_that_came_to_nothing_is_made_good() -> None:
    async def main() -> None:
        vendor = DataManager()
        rig = rig_of(vendor)
        async with serving(rig):
            await enter(rig, 0, 1)
            await asyncio.sleep(3 * HOUR_S)
            vendor.fates.append(("FAILED", 0))
            await rig.lane.take(0, [told(2, "p0", inside=False)])
            await asyncio.sleep(6 * HOUR_S)
            assert vendor.lists == {"L1": hashes(0, 1)}
            assert (rig.view().runs[1].removed, rig.view().to_remove) == (0, 1)
            await asyncio.sleep(6 * HOUR_S)
            assert vendor.lists == {"L1": hashes(1)}
            assert (rig.view().runs[2].removed, rig.view().to_remove, rig.view().unreported) == (1, 0, 0)

    run_jumping(main())


def test_members_that_nobody_names_are_counted() -> None:
    async def main() -> None:
        vendor = DataManager()
        vendor.fates.append(("PARTIAL_SUCCESS", 1))
        rig = rig_of(vendor)
        async with serving(rig):
            await enter(rig, 0, 1, 2)
            await asyncio.sleep(20 * HOUR_S)
            (run,) = rig.view().runs
            assert (run.added, run.refused) == (2, {"refused": 1})
            assert len(vendor.times("POST /v1/audienceMembers:ingest")) == 1

    run_jumping(main())


def test_whoever_comes_after_a_crash_asks_about_what_was_accepted_before_it() -> None:
    async def main() -> None:
        vendor = DataManager()
        vendor.fates.append(("FAILED", 0))
        rig = rig_of(vendor)
        async with serving(rig):
            await enter(rig, 0)
            await asyncio.sleep(100)
        later = rig_of(vendor, changelog=rig.changelog)
        async with serving(later):
            await asyncio.sleep(7 * HOUR_S)
            assert vendor.lists == {"L1": hashes(0)}
            assert [run.added for run in later.view().runs] == [0, 1]
            await asyncio.sleep(HOUR_S)
            assert later.view().unreported == 0

    run_jumping(main())


def test_a_list_that_has_to_be_updated_and_asked_about_at_once_is_both() -> None:
    async def main() -> None:
        vendor = DataManager()
        rig = rig_of(vendor)
        async with serving(rig):
            await enter(rig, 0)
            await asyncio.sleep(100)
            await enter(rig, 1, first=1)
        await asyncio.sleep(7 * HOUR_S)
        later = rig_of(vendor, changelog=rig.changelog)
        async with serving(later):
            await asyncio.sleep(100)
            assert vendor.lists == {"L1": hashes(0, 1)}
            assert [run.added for run in later.view().runs] == [1, 1]
            assert (later.view().unreported, later.opened) == (1, 1)

    run_jumping(main())


def test_a_vendor_that_never_says_is_asked_for_a_day_and_no_longer() -> None:
    async def main() -> None:
        vendor = DataManager()
        vendor.works_s = 1e9
        rig = rig_of(vendor)
        async with serving(rig):
            await enter(rig, 0)
            await asyncio.sleep(72 * HOUR_S)
            asked = vendor.times(vendor.STATUS)
            assert len(asked) == 10
            assert 24 < (asked[-1] - asked[0]) / HOUR_S < 29
            assert (rig.view().unreported, rig.view().runs[0].added) == (0, 1)

    run_jumping(main())
