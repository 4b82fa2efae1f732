"""The simulator itself: what it must find, and what it must not hold against the sender."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

import aiohttp
import pytest

from app.activation.destinations import DESTINATIONS
from app.activation.lists.overview import ListView, RefusedMember
from tests.vendors.server import SETTINGS, Vendors
from tests.vendors.test_whole_system import judge
from tests.vendors.vendor import Ask, Taken, Vendor
from tests.vendors.whole_lists import judge_lists


@pytest.fixture
def vendors() -> Vendors:
    return Vendors(1)


def paced(vendor: Vendor, per_s: float) -> list[float]:
    return [100 + number / per_s for number in range(60)]


def test_a_rate_that_is_passed_is_found(vendors: Vendors) -> None:
    mailchimp = vendors.all["mailchimp"]
    mailchimp.stamps = paced(mailchimp, 9.5)
    assert vendors.too_fast(mailchimp) == []
    mailchimp.stamps = paced(mailchimp, 10.5)
    assert vendors.too_fast(mailchimp)
    vendors.late = [(103.0, 0.01), (130.0, 5.0)]
    assert vendors.too_fast(mailchimp), "ten milliseconds explain nothing of that, and far away they explain nothing"


def test_a_burst_is_excused_by_lateness_of_that_moment_only(vendors: Vendors) -> None:
    mailchimp = vendors.all["mailchimp"]
    mailchimp.stamps = sorted([*paced(mailchimp, 9.5), 102.0])
    assert vendors.too_fast(mailchimp)
    vendors.late = [(120.0, 0.2)]
    assert vendors.too_fast(mailchimp)
    vendors.late = [(102.0, 0.2)]
    assert vendors.too_fast(mailchimp) == []


def test_a_vendor_turns_away_what_is_above_its_own_window(vendors: Vendors) -> None:
    iterable = vendors.all["iterable"]
    ask = Ask("POST", "/api/users/bulkUpdate", "", {}, b"{}")
    answers = [iterable.receive(ask).status for _ in range(30)]
    assert answers[-1] == 429
    assert iterable.too_fast


def test_one_change_that_is_taken_twice_shows(vendors: Vendors) -> None:
    slack = vendors.all["slack"]
    sent = {"a": {"payload": {"type": "identify", "userId": "u-1", "traits": {"n17": 1}}}}
    slack.taken = [Taken("identify", 1, 1, 0.0, told=False), Taken("identify", 1, 1, 1.0)]
    assert judge(slack, [1], sent, {}) == []
    slack.taken = [Taken("identify", 1, 1, 0.0), Taken("identify", 1, 1, 1.0)]
    assert judge(slack, [1], sent, {}) == [0.0]
    slack.taken = []
    with pytest.raises(AssertionError, match="lost"):
        judge(slack, [1], sent, {})
    two = {str(n): {"payload": {"type": "identify", "userId": "u-1", "traits": {"n17": n}}} for n in (1, 2)}
    slack.taken = [Taken("identify", 1, 2, 0.0), Taken("identify", 1, 1, 1.0)]
    with pytest.raises(AssertionError, match="in the order"):
        judge(slack, [1, 1], two, {})


def test_a_member_who_is_lost_kept_or_taken_though_refused_shows(vendors: Vendors) -> None:
    klaviyo = vendors.lists["klaviyo_lists"]
    klaviyo.site.bad = {"p7@example.com"}
    id_ = klaviyo.site.made(members=["p1@example.com", "p2@example.com"])
    refused = RefusedMember("p7@example.com", True, "refused", 1)
    view = ListView("aud_1", "few", "few", id_, [], held=2, refused=[refused])
    wanted = {"few": {1, 2, 7}}
    judge_lists(klaviyo, [view], wanted)
    there = klaviyo.site.lists[id_]
    for wrong, said in (
        (there - {"p2@example.com"}, "lost {'p2@example.com'}, kept set()"),
        (there | {"p3@example.com"}, "lost set(), kept {'p3@example.com'}"),
        (there | {"p7@example.com"}, "lost set(), kept {'p7@example.com'}"),
    ):
        klaviyo.site.lists[id_] = wrong
        with pytest.raises(AssertionError, match=re.escape(said)):
            judge_lists(klaviyo, [view], wanted)
    klaviyo.site.lists[id_] = there
    for other in (replace(view, held=1), replace(view, refused=[])):
        with pytest.raises(AssertionError, match="the ledger"):
            judge_lists(klaviyo, [other], wanted)


async def test_a_vendor_of_lists_answers_those_who_sign_and_forgets_nobody() -> None:
    async with Vendors(1) as vendors, aiohttp.ClientSession() as session:
        any_lists = vendors.lists["http_lists"]
        url, key = f"http://127.0.0.1:{vendors.port}/http_lists/lists", {"Authorization": "Bearer canary-token"}
        async with session.post(url, json={"name": "few"}) as reply:
            assert reply.status == 401
        assert len(any_lists.odd) == 1
        statuses = set()
        while not any_lists.site.lists:
            async with session.post(url, json={"name": "few"}, headers=key) as reply:
                statuses.add(reply.status)
        assert statuses <= {201, 503}
        while "down" not in any_lists.told or "lost" not in any_lists.told:
            with suppress(aiohttp.ClientError):
                async with session.post(f"{url}/1/members", json={"members": ["a@x.org"]}, headers=key) as reply:
                    assert reply.status in (200, 503)
        assert any_lists.site.lists == {"1": {"a@x.org"}}


def test_every_destination_that_sends_has_a_vendor(vendors: Vendors) -> None:
    assert SETTINGS.keys() == vendors.all.keys()
    sends = {name for name, destination in DESTINATIONS.items() if destination.sends}
    assert vendors.all.keys() <= sends
    for name in vendors.all:
        assert DESTINATIONS[name].configure(vendors.settings(name)).sends
