"""The simulator itself: what it must find, and what it must not hold against the sender."""

from __future__ import annotations

import pytest

from app.activation.destinations import DESTINATIONS
from tests.vendors.server import SETTINGS, Vendors
from tests.vendors.test_whole_system import judge
from tests.vendors.vendor import Ask, Taken, Vendor


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


def test_every_destination_that_sends_has_a_vendor(vendors: Vendors) -> None:
    assert SETTINGS.keys() == vendors.all.keys()
    sends = {name for name, destination in DESTINATIONS.items() if destination.sends}
    assert vendors.all.keys() <= sends
    for name in vendors.all:
        assert DESTINATIONS[name].configure(vendors.settings(name)).sends
