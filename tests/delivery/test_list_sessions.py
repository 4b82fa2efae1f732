"""Requests of one update as a vendor wants to be told of them: which belong together, and which is the last."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from app.activation.destinations import DESTINATIONS
from app.activation.outcome import Failure, Reason, Response
from tests.delivery.jumping import run_jumping
from tests.delivery.list_rig import HOUR_S, ListRig, serving, told
from tests.vendors.lists import Facebook

SETTINGS = {"access_token": "canary-fb", "ad_account_id": "123"}


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten members share a request."""
    whole = DESTINATIONS["facebook_audiences"]
    assert whole.lists is not None
    small = replace(whole, lists=replace(whole.lists, add_max=10, remove_max=10))
    monkeypatch.setitem(DESTINATIONS, "facebook_audiences", small)  # type: ignore[arg-type]


def rig_of(vendor: Facebook) -> ListRig:
    return ListRig(vendor, type_="facebook_audiences", **SETTINGS)


def people(*numbers: int) -> set[str]:
    return {f"p{number}" for number in numbers}


async def tell(rig: ListRig, *numbers: int, inside: bool, first: int = 0) -> None:
    await rig.lane.take(0, [told(first + at, f"p{n}", inside=inside) for at, n in enumerate(numbers)])


def test_an_update_of_several_requests_is_a_session_and_one_of_one_request_is_none() -> None:
    async def main() -> None:
        vendor = Facebook()
        rig = rig_of(vendor)
        async with serving(rig):
            await tell(rig, *range(25), inside=True)
            await asyncio.sleep(200)
            assert vendor.lists == {"700": people(*range(25))}
            ((id_, requests),) = vendor.sessions.items()
            assert 0 < id_ < 2**53
            assert requests == [("POST", 1, False, 25, 10), ("POST", 2, False, 25, 10), ("POST", 3, True, 25, 5)]
            await tell(rig, 50, inside=True, first=30)
            await tell(rig, *range(12), inside=False, first=40)
            await asyncio.sleep(HOUR_S)
            assert vendor.lists == {"700": people(*range(12, 25), 50)}
            _, removed = vendor.sessions.values()
            assert removed == [("DELETE", 1, False, 12, 10), ("DELETE", 2, True, 12, 2)]

    run_jumping(main())


def test_a_request_that_is_sent_again_keeps_its_number() -> None:
    async def main() -> None:
        vendor = Facebook()
        vendor.script.extend([None, Failure(Reason.TIMEOUT, "as it may be"), Response(503), None, Response(500)])
        rig = rig_of(vendor)
        async with serving(rig):
            await tell(rig, *range(25), inside=True)
            await asyncio.sleep(900)
            assert vendor.lists == {"700": people(*range(25))}
            (requests,) = vendor.sessions.values()
            assert [(number, last) for _, number, last, _, _ in requests] == [
                (1, False), (2, False), (2, False), (2, False), (3, True), (3, True),
            ]  # fmt: skip

    run_jumping(main())


def test_who_comes_behind_the_last_request_begins_another_session() -> None:
    async def main() -> None:
        vendor = Facebook()
        rig = rig_of(vendor)
        async with serving(rig):
            await tell(rig, *range(15), inside=True)
            await vendor.until(3)  # the audience is made, and the second of two uploads is on its way
            await tell(rig, *range(20, 80), inside=True, first=20)
            await asyncio.sleep(2 * HOUR_S)
            assert vendor.lists == {"700": people(*range(15), *range(20, 80))}
            first, second, *_ = vendor.sessions.values()
            assert [(number, last) for _, number, last, _, _ in first] == [(1, False), (2, True)]
            assert second[0][1] == 1

    run_jumping(main())


def test_the_rest_of_an_update_after_a_crash_is_another_session() -> None:
    async def main() -> None:
        vendor = Facebook()
        rig = rig_of(vendor)
        async with serving(rig):
            await tell(rig, *range(25), inside=True)
            await vendor.until(3)  # the audience is made, and two uploads are on their way
        later = ListRig(vendor, type_="facebook_audiences", changelog=rig.changelog, **SETTINGS)
        async with serving(later):
            await asyncio.sleep(100)
            assert vendor.lists == {"700": people(*range(25))}
            before, after = vendor.sessions.values()
            assert [number for _, number, _, _, _ in before] == [1, 2]
            assert [(number, last) for _, number, last, _, _ in after] == [(1, False), (2, True)]

    run_jumping(main())


def test_additions_that_are_wanted_no_more_leave_no_session_to_the_removals() -> None:
    async def main() -> None:
        vendor = Facebook()
        rig = rig_of(vendor)
        async with serving(rig):
            await tell(rig, *range(5), inside=True)
            await asyncio.sleep(100)
            await tell(rig, *range(10, 30), inside=True, first=10)
            await tell(rig, *range(5), inside=False, first=40)
            await vendor.until(3)
            sent = {row[0] for _, _, body in vendor.asked[-1:] for row in body["payload"]["data"]}
            await tell(rig, *(n for n in range(10, 30) if f"p{n}" not in sent), inside=False, first=50)
            await asyncio.sleep(HOUR_S)
            assert vendor.lists == {"700": sent}
            (requests,) = vendor.sessions.values()
            assert [method for method, *_ in requests] == ["POST"]

    run_jumping(main())
