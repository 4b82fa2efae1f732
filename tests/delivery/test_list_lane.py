"""A list lane over hours: what goes out when, and what of it survives."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest

from app.activation.lists.drift import drift
from app.activation.lists.overview import Ledger
from app.activation.lists.repair import MEMBERS_MAX, read_repair, repairs
from app.activation.lists.state import Entry
from app.activation.outcome import Reason, Response
from app.delivery.work import Record
from app.ids import definition_id
from tests.contract.destination_fixtures import fixture
from tests.delivery.jumping import run_jumping
from tests.delivery.list_rig import HOUR_S, ListRig, ListVendor, failing, serving, told
from tests.vendors.list_sites import SITES


def jumping(main: Coroutine[Any, Any, None]) -> None:
    run_jumping(main)


def test_the_first_update_sends_the_whole_list_and_later_ones_only_what_changed() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor)
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(4)])
            assert rig.lane.committable(0) == 4
            await asyncio.sleep(30)
            assert vendor.requests == [], "whoever comes in the first minute goes along"
            await rig.lane.take(0, [told(4, "p4", inside=True, email="4@x.org")])
            await asyncio.sleep(60)
            assert vendor.lists == {"l1": {f"{n}@x.org" for n in range(5)}}
            assert [len(members) for _, members in vendor.changes] == [3, 2]
            await rig.lane.take(0, [told(5, "p0", inside=False), told(6, "p9", inside=True, email="9@x.org")])
            await asyncio.sleep(HOUR_S - 120)
            assert len(vendor.changes) == 2, "not before its interval"
            await asyncio.sleep(120)
            assert vendor.changes[2:] == [("l1/add", ["9@x.org"]), ("l1/remove", ["0@x.org"])]
            first, second = rig.view().runs
            assert (first.added, first.removed, first.status) == (5, 0, "done")
            assert (second.added, second.removed, second.requests) == (1, 1, 2)
            await asyncio.sleep(5 * HOUR_S)
            assert len(rig.view().runs) == 2, "nothing to do is no update"

    jumping(main())


def test_whoever_comes_and_goes_within_an_interval_is_never_sent() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor)
        async with serving(rig):
            await rig.lane.take(0, [told(0, "p0", inside=True, email="0@x.org")])
            await asyncio.sleep(100)
            await rig.lane.take(0, [told(1, "p1", inside=True, email="1@x.org"), told(2, "p0", inside=False)])
            await rig.lane.take(0, [told(3, "p1", inside=False), told(4, "p0", inside=True, email="0@x.org")])
            await asyncio.sleep(2 * HOUR_S)
            assert vendor.changes == [("l1/add", ["0@x.org"])]

    jumping(main())


def test_a_member_of_two_profiles_goes_when_both_have_left_and_not_before() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor, interval_s=60)
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email="Both@x.org") for n in range(2)])
            await asyncio.sleep(100)
            await rig.lane.take(0, [told(2, "p0", inside=False, email="both@x.org")])
            await asyncio.sleep(200)
            assert vendor.lists == {"l1": {"both@x.org"}}
            await rig.lane.take(0, [told(3, "p1", inside=False, email="both@x.org")])
            await asyncio.sleep(200)
            assert vendor.lists == {"l1": set()}

    jumping(main())


def test_whom_the_vendor_refuses_is_told_of_and_not_sent_again() -> None:
    async def main() -> None:
        vendor = ListVendor()
        vendor.refuses = {"1@x.org"}
        rig = ListRig(vendor, interval_s=60)
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(3)])
            await asyncio.sleep(500)
            view = rig.view()
            assert [(one.key, one.reason, one.wanted) for one in view.refused] == [("1@x.org", "refused", True)]
            assert (view.held, view.wanted, view.to_add) == (2, 3, 0)
            assert view.runs[0].refused == {"refused": 1}
            assert len(vendor.changes) == 1
            await rig.lane.take(0, [told(3, "p1", inside=False), told(4, "p1", inside=True, email="1@x.org")])
            await asyncio.sleep(100)
            assert len(vendor.changes) == 2, "it left and came again: another request than the one that was refused"

    jumping(main())


def test_a_request_that_is_refused_as_a_whole_is_taken_apart() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor, interval_s=60, batch=8, errors_path=None)

        def refuse() -> Response | None:
            return Response(422) if "5@x.org" in vendor.requests[-1][2] else None

        vendor.script = [lambda: None] + [refuse] * 100
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(20)])
            await asyncio.sleep(100)
        assert vendor.lists == {"l1": {f"{n}@x.org" for n in range(20) if n != 5}}
        assert [one.key for one in rig.view().refused] == ["5@x.org"]
        assert len(vendor.changes) < 20

    jumping(main())


@pytest.mark.parametrize("at", range(1, 7))
def test_killed_in_the_middle_of_a_run_it_goes_on_where_it_was(at: int) -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor)
        people = [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(15)]
        async with serving(rig):
            await rig.lane.take(0, people)
            await vendor.until(at)
        whole = [(path, members) for path, members in vendor.changes]
        again = ListRig(vendor, changelog=rig.changelog)
        async with serving(again):
            await asyncio.sleep(5)
            assert vendor.lists[f"l{vendor.made}"] == {f"{n}@x.org" for n in range(15)}
            (run,) = again.view().runs
            assert (run.status, run.added) == ("done", 15)
            repeated = [members for path, members in vendor.changes[len(whole) :] if members in [m for _, m in whole]]
            assert len(repeated) <= 1, "only the request that nobody heard of is sent again"

    jumping(main())


def test_who_left_while_a_request_was_in_doubt_is_taken_off() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor)
        async with serving(rig):
            await rig.lane.take(0, [told(0, "p0", inside=True, email="0@x.org")])
            await vendor.until(2)
        assert vendor.lists == {"l1": {"0@x.org"}}, "the vendor has it, and nobody has heard of that"
        again = ListRig(vendor, changelog=rig.changelog)
        async with serving(again):
            await again.lane.take(0, [told(1, "p0", inside=False)])
            await asyncio.sleep(10)
            assert vendor.lists == {"l1": set()}

    jumping(main())


def test_who_left_while_his_list_was_made_with_him_is_taken_off() -> None:
    """This vendor makes no empty list: the first members go along."""

    async def main() -> None:
        site = SITES["pinterest_audiences"]()
        rig = ListRig(site, type_="pinterest_audiences", **fixture("pinterest_audiences")["settings"])
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(2)])
            while not site.lists:
                await site.until(len(site.asked) + 1)
            assert [len(members) for members in site.lists.values()] == [2]
            await rig.lane.take(0, [told(2, "p0", inside=False, email="0@x.org")])
            await asyncio.sleep(2 * HOUR_S)
            assert site.lists == {"1": {sha256(b"1@x.org").hexdigest()}}
            assert (rig.view().held, rig.view().in_doubt) == (1, 0)

    jumping(main())


def test_a_throttled_vendor_is_left_alone_and_a_paused_one_probed() -> None:
    async def main() -> None:
        vendor = ListVendor()
        vendor.script = [
            lambda: None, lambda: Response(429, {"retry-after": "40"}), failing(Reason.TIMEOUT), lambda: Response(401),
            lambda: Response(401),
        ]  # fmt: skip
        rig = ListRig(vendor)
        async with serving(rig):
            await rig.lane.take(0, [told(0, "p0", inside=True, email="0@x.org")])
            await asyncio.sleep(900)
            times = [at for at, path, _ in vendor.requests if path == "l1/add"]
            waits = [round(later - earlier) for earlier, later in pairwise(times)]
            assert waits[0] >= 40
            assert waits[1] < 5
            assert 10 <= waits[2] < 13, waits
            assert 20 <= waits[3] < 23, waits
            assert vendor.lists == {"l1": {"0@x.org"}}
            assert rig.view().runs[0].status == "done"

    jumping(main())


def test_a_list_tells_its_account_of_a_throttle_and_keeps_to_what_others_were_told() -> None:
    async def main() -> None:
        loop, vendor, held = asyncio.get_running_loop(), ListVendor(), []
        vendor.script = [lambda: None, lambda: Response(429, {"retry-after": "40"})]
        rig = ListRig(vendor, interval_s=60)
        rig.account.listen(held.append)
        async with serving(rig):
            await rig.lane.take(0, [told(0, "p0", inside=True, email="0@x.org")])
            await vendor.until(2)
            await asyncio.sleep(1)
            assert (held, rig.account.part, rig.account.in_flight) == ([40.0], 0.5, 0)
            await vendor.until(3)
            await asyncio.sleep(60)
            assert rig.account.part > 0.5
            throttled_s = loop.time()
            rig.account.throttled(sent_s=throttled_s, now_s=throttled_s, after_s=200.0)
            await rig.lane.take(0, [told(1, "p1", inside=True, email="1@x.org")])
            await vendor.until(4)
            assert 200 <= loop.time() - throttled_s < 203
            await asyncio.sleep(100)
            while rig.account.in_flight < rig.account.allowed:  # all of the account's slots are somebody else's
                await rig.account.take()
            await rig.lane.take(0, [told(2, "p2", inside=True, email="2@x.org")])
            before = len(vendor.requests)
            await asyncio.sleep(300)
            assert len(vendor.requests) == before
            rig.account.give_back()
            await vendor.until(before + 1)
        assert vendor.lists == {"l1": {f"{n}@x.org" for n in range(3)}}

    jumping(main())


def test_a_list_that_the_vendor_lost_is_made_anew_with_everybody_on_it() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor, interval_s=60)
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(4)])
            await asyncio.sleep(100)
            vendor.lists.clear()
            await rig.lane.take(0, [told(9, "p0", inside=False)])
            await asyncio.sleep(200)
            assert vendor.lists == {"l2": {f"{n}@x.org" for n in range(1, 4)}}
            assert rig.view().external == "l2"

    jumping(main())


def test_a_list_that_somebody_named_is_never_made_anew() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor, interval_s=60, lists={"vip": "mine"})
        async with serving(rig):
            await rig.lane.take(0, [told(0, "p0", inside=True, email="0@x.org")])
            await asyncio.sleep(100)
            assert vendor.made == 0
            run = rig.view().runs[0]
            assert run.status == "failed"
            assert "not there" in run.reason

    jumping(main())


def test_additive_only_never_takes_anybody_off() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor, interval_s=60, additive_only=True)
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(2)])
            await asyncio.sleep(100)
            await rig.lane.take(0, [told(2, "p0", inside=False), told(3, "p3", inside=True, email="3@x.org")])
            await asyncio.sleep(200)
            assert vendor.lists == {"l1": {"0@x.org", "1@x.org", "3@x.org"}}
            assert rig.view().to_remove == 1

    jumping(main())


def test_from_a_journeys_list_nobody_is_taken_and_steps_that_are_events_are_dead_letters() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor, interval_s=60, audiences=("vip", "j_o_7"))
        journey = {"class": "journey_step", "id": definition_id("audience", "vip"), "key": "j_o_7"}
        event = {"type": "track", "userId": "p1", "event": "Cart left", "properties": {"journey_metadata": {}}}
        async with serving(rig):
            await rig.lane.take(0, [told(0, "p0", inside=True, email="0@x.org", computation=journey)])
            await asyncio.sleep(100)
            await rig.lane.take(0, [told(1, "p0", inside=False, computation=journey),
                                    told(2, "p1", inside=True, payload=event, computation=journey)])  # fmt: skip
            await asyncio.sleep(200)
            assert vendor.lists == {"l1": {"0@x.org"}}
            assert rig.view().to_remove == 0
            assert [one["error"]["message"] for one in rig.dead] == [
                "p1-2: only memberships go to a list, not what was reached"
            ]

    jumping(main())


def test_a_step_that_may_or_may_not_have_been_written_is_read_back() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor)
        async with serving(rig):
            await asyncio.sleep(1)
            rig.append_fails = 1
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(4)])
            assert rig.opened == 2
            assert rig.lane.committable(0) == 4
            await asyncio.sleep(61)
            rig.append_fails = 1
            await asyncio.sleep(60)
            assert vendor.lists[f"l{vendor.made}"] == {f"{n}@x.org" for n in range(4)}

    jumping(main())


def test_what_is_no_membership_is_a_dead_letter_and_nobody_is_filtered() -> None:
    async def main() -> None:
        rig = ListRig(ListVendor())
        trait = {"class": "trait", "id": "tra_1", "key": "orders"}
        async with serving(rig):
            await rig.lane.take(
                0, [told(0, "p0", inside=True), told(1, "p1", inside=True, computation=trait)._replace(value=b"{"),
                    told(2, "p2", inside=True, email="2@x.org", computation=trait)],
            )  # fmt: skip
            assert [one["error"]["reason"] for one in rig.dead] == ["unreadable", "unreadable"]
            assert [(one.outcome, one.count) for one in rig.counted] == [
                ("filtered", 1),
                ("rejected", 1),
                ("rejected", 1),
            ]
            assert rig.lane.committable(0) == 3

    jumping(main())


def test_after_it_is_taken_away_nothing_is_sent_or_written() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor)
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(15)])
            await vendor.until(3)
            await rig.lane.suspend()
            sent, written = len(vendor.requests), len(rig.changelog)
            await asyncio.sleep(HOUR_S)
            assert (len(vendor.requests), len(rig.changelog)) == (sent, written)
            rig.lane.own(True)
            await asyncio.sleep(10)
            assert vendor.lists == {"l1": {f"{n}@x.org" for n in range(15)}}

    jumping(main())


def orders(rig: ListRig, shown: set[str]) -> list[Record]:
    """What there is to be mended, as the records that say so."""
    ledger = Ledger()
    ledger.take(rig.changelog)
    (list_,) = ledger.lists
    found = drift(ledger.entries(list_), ledger.past(list_), frozenset(shown))
    return [Record(1_000 + at, None, value) for at, value in enumerate(repairs(list_, found.missing, found.back))]


def test_a_list_that_others_have_changed_is_mended_and_what_is_theirs_is_left_alone() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor)
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(6)])
            await asyncio.sleep(100)
            await rig.lane.take(0, [told(10 + n, f"p{n}", inside=False) for n in (4, 5)])
            await asyncio.sleep(HOUR_S)
            assert vendor.lists["l1"] == {f"{n}@x.org" for n in range(4)}
            # Two are lost, two who had left are back, and somebody was put on by hand.
            vendor.lists["l1"] = {"2@x.org", "3@x.org", "4@x.org", "5@x.org", "by@hand"}
            told_to = orders(rig, vendor.lists["l1"])
            # Before the order is read, one of either comes or goes by itself.
            await rig.lane.take(0, [told(20, "p1", inside=False), told(21, "p5", inside=True, email="5@x.org")])
            await rig.lane.take(0, told_to)
            requests = len(vendor.changes)
            await asyncio.sleep(HOUR_S + 60)
            assert vendor.lists["l1"] == {"0@x.org", "2@x.org", "3@x.org", "5@x.org", "by@hand"}
            mended = {(path, member) for path, members in vendor.changes[requests:] for member in members}
            assert mended == {("l1/add", "0@x.org"), ("l1/add", "5@x.org"), ("l1/remove", "4@x.org")}
            assert rig.dead == []
            assert orders(rig, vendor.lists["l1"]) == []
            await rig.lane.take(0, told_to)  # read once more
            await asyncio.sleep(2 * HOUR_S)
            assert vendor.lists["l1"] == {"0@x.org", "2@x.org", "3@x.org", "5@x.org", "by@hand"}

    jumping(main())


def test_from_a_list_that_only_grows_nobody_is_taken_by_a_repair_either() -> None:
    async def main() -> None:
        vendor = ListVendor()
        rig = ListRig(vendor, additive_only=True)
        async with serving(rig):
            await rig.lane.take(0, [told(n, f"p{n}", inside=True, email=f"{n}@x.org") for n in range(3)])
            await asyncio.sleep(100)
            list_ = definition_id("audience", "vip").encode()
            gone = Entry("9@x.org", "", ("9@x.org",), [])
            values = repairs(list_, [Entry("1@x.org", "", ("1@x.org",), [])], [gone])
            vendor.lists["l1"].add("9@x.org")
            await rig.lane.take(0, [Record(3 + at, None, value) for at, value in enumerate(values)])
            await asyncio.sleep(2 * HOUR_S)
            assert vendor.changes[1:] == [("l1/add", ["1@x.org"])]
            assert (rig.view().to_remove, rig.view().in_doubt) == (0, 0)

    jumping(main())


def test_an_order_of_a_list_that_is_not_there_does_nothing_and_a_broken_one_is_a_dead_letter() -> None:
    async def main() -> None:
        rig = ListRig(ListVendor())
        async with serving(rig):
            (order,) = repairs(b"aud_other", [Entry("a", "", ("a",), [])], [Entry("b", "", ("b",), [])])
            await rig.lane.take(0, [Record(0, None, order), Record(1, None, order[:-9])])
            assert (rig.changelog, [each["error"]["reason"] for each in rig.dead]) == ([], ["unreadable"])
            assert rig.lane.committable(0) == 2

    jumping(main())


def test_orders_are_cut_into_records() -> None:
    entries = [Entry(f"{n}@x.org", "", (f"{n}@x.org",), []) for n in range(MEMBERS_MAX + 2)]
    found = [read_repair(value) for value in repairs(b"aud_1", entries[:3], entries)]
    assert [(len(each.missing), len(each.back)) for each in found if each] == [(3, MEMBERS_MAX), (0, 2)]
    assert read_repair(told(0, "p", inside=True).value) is None
