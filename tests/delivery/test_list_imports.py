"""A whole list as a file that the vendor imports, and a few members without one."""

from __future__ import annotations

import asyncio

from tests.delivery.jumping import run_jumping
from tests.delivery.list_rig import HOUR_S, ListRig, serving, told
from tests.vendors.lists import MarketoLists

SETTINGS = {
    "account_id": "123-ABC-456", "client_id": "app", "client_secret": "canary-marketo", "folder_name": "Lists",
}  # fmt: skip
IMPORT = "POST /bulk/v1/leads.json"


def emails(*numbers: int) -> set[str]:
    return {f"{number}@x.org" for number in numbers}


async def enter(rig: ListRig, *numbers: int, first: int = 0) -> None:
    people = [told(first + at, f"p{n}", inside=True, email=f"{n}@x.org") for at, n in enumerate(numbers)]
    await rig.lane.take(0, people)


def test_a_whole_list_is_one_file_rows_that_it_names_are_refused_and_later_changes_are_none() -> None:
    async def main() -> None:
        vendor = MarketoLists()
        vendor.bad, vendor.waiting = emails(7), 10
        rig = ListRig(vendor, type_="marketo_static_lists", **SETTINGS)
        async with serving(rig):
            await enter(rig, *range(400))
            await asyncio.sleep(600)
            assert vendor.lists == {"11": emails(*range(400)) - vendor.bad}
            first, second = vendor.times(IMPORT)
            assert second - first >= 60, "ten files waited"
            view = rig.view()
            assert (view.runs[0].added, view.runs[0].refused) == (399, {"refused": 1})
            assert [one.key for one in view.refused] == ["7@x.org"]
            await enter(rig, 400, first=500)
            await rig.lane.take(0, [told(600, "p0", inside=False)])
            await asyncio.sleep(HOUR_S)
            assert vendor.lists == {"11": emails(*range(1, 401)) - vendor.bad}
            assert len(vendor.times(IMPORT)) == 2

    run_jumping(main())


def test_a_file_whose_failed_rows_are_not_all_told_is_sent_in_smaller_ones() -> None:
    async def main() -> None:
        vendor = MarketoLists()
        vendor.bad, vendor.silent = emails(7), True
        rig = ListRig(vendor, type_="marketo_static_lists", **SETTINGS)
        async with serving(rig):
            await enter(rig, *range(400))
            await asyncio.sleep(600)
            assert vendor.lists == {"11": emails(*range(400))}, "an upsert takes him"
            assert len(vendor.times(IMPORT)) == 1
            assert rig.view().runs[0].added == 400

    run_jumping(main())
