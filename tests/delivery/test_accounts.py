"""Destinations of one vendor account share its limits; the vendor's own clock is the judge."""

from __future__ import annotations

import asyncio
from functools import partial

from app.activation.destination import Configured, Request
from app.activation.destinations import DESTINATIONS
from app.activation.outcome import Failure, Response
from app.clock import SystemClock
from app.delivery.accounts import accounts
from app.delivery.breaker import BreakerSettings
from app.delivery.retry import RetrySettings
from app.delivery.work import LaneSettings
from tests.delivery.jumping import LoopClock, run_jumping
from tests.delivery.records import record, webhook
from tests.delivery.rig import Rig, running
from tests.delivery.test_limiter import most_in_a_second

SETTINGS = LaneSettings(retry=RetrySettings(base_s=0.1, delay_s_max=1.0), breaker=BreakerSettings())


class Busy:
    """A vendor that takes so many requests in any second, and turns the rest away."""

    def __init__(self, per_s: float, *, after_s: int | None = None, took_s: float = 0.05) -> None:
        self.per_s = per_s
        self.after_s = after_s
        self.took_s = took_s
        self.stamps: list[float] = []
        self.turned_away: list[float] = []
        self.at_once_max = 0
        self._at_once = 0

    async def deliver(self, request: Request, timeout_s: float) -> Response | Failure:
        now_s = asyncio.get_running_loop().time()
        self._at_once += 1
        self.at_once_max = max(self.at_once_max, self._at_once)
        full = sum(now_s - stamp < 1.0 for stamp in self.stamps) >= self.per_s
        (self.turned_away if full else self.stamps).append(now_s)
        await asyncio.sleep(self.took_s)
        self._at_once -= 1
        headers = {"retry-after": str(self.after_s)} if self.after_s is not None else {}
        return Response(429, headers) if full else Response(200)


def rigs(destinations: dict[str, Configured], vendor: Busy) -> list[Rig]:
    shared = accounts(destinations, lambda name: 1, LoopClock())
    made = []
    for name, configured in destinations.items():
        account = shared[name]
        account.set_share({each: {0} for each in destinations})
        made.append(
            Rig(
                configured, vendor.deliver, clock=LoopClock(), settings=SETTINGS, name=name,
                turn=partial(account.turn, lambda: True), account=account.slots,
            )
        )  # fmt: skip
        made[-1].sender.assign(0, 0)
    return made


def test_two_destinations_of_one_account_share_its_rate_and_slots_and_take_turns():
    async def main() -> None:
        vendor = Busy(10**9, took_s=1.0)
        same = {name: webhook(requests_per_s=20.0, in_flight_max=8) for name in ("crm", "mail")}
        first, second = rigs(same | {"other": webhook("https://other.example/")}, vendor)[:2]
        async with running(first, second):
            for each in (first, second):
                await each.sender.take(0, [record(offset, f"p{offset}") for offset in range(60)])
            await asyncio.gather(first.settled(0, 60), second.until(lambda: second.count("delivered") >= 50))
        assert vendor.at_once_max == 8
        assert most_in_a_second(vendor.stamps) <= 20

    run_jumping(main())


def test_a_vendor_that_bears_less_than_it_says_is_found_out_and_nothing_is_lost():
    async def main() -> tuple[Busy, float]:
        vendor = Busy(10)
        (made,) = rigs({"crm": webhook(requests_per_s=40.0, in_flight_max=20)}, vendor)
        began_s = asyncio.get_running_loop().time()
        async with running(made):
            await made.sender.take(0, [record(offset, f"p{offset}") for offset in range(2_000)])
            await made.settled(0, 2_000, timeout_s=2_000)
        assert (made.count("delivered"), made.dead) == (2_000, [])
        return vendor, asyncio.get_running_loop().time() - began_s

    vendor, took_s = run_jumping(main())
    print(f"{len(vendor.turned_away)} turned away, {2_000 / took_s:.1f} a second of 10")
    assert len(vendor.turned_away) < 200  # without learning, three of four would be
    assert 2_000 / took_s > 6


def test_a_pause_that_the_vendor_asks_for_holds_every_destination_of_the_account():
    async def main() -> Busy:
        vendor = Busy(5, after_s=30)
        same = {name: webhook(requests_per_s=50.0) for name in ("crm", "mail")}
        first, second = rigs(same, vendor)
        async with running(first, second):
            for each in (first, second):
                await each.sender.take(0, [record(offset, f"p{offset}") for offset in range(8)])
            await asyncio.gather(first.settled(0, 8, timeout_s=600), second.settled(0, 8, timeout_s=600))
        return vendor

    vendor = run_jumping(main())
    asked_s = min(vendor.turned_away)
    took_s = 0.05 + 0.01
    assert not [stamp for stamp in vendor.stamps + vendor.turned_away if asked_s + took_s < stamp < asked_s + 30]


def test_what_makes_an_account():
    def webhook_to(url: str, secret: str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") -> Configured:
        return DESTINATIONS["webhook"].configure({"url": url, "secret": secret})

    here = webhook_to("https://a.example/")
    assert here.account == webhook_to("https://a.example/", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD").account
    assert here.account != webhook_to("https://b.example/").account
    assert "a.example" not in here.account
    klaviyo = {"api_key": "pk_1"}
    accounts_ = {
        DESTINATIONS["klaviyo"].configure(klaviyo | more).account
        for more in ({}, {"revision": "2026-07-15"}, {"base_url": "https://proxy.example"}, {"api_key": "pk_2"})
    }
    assert len(accounts_) == 3


def test_the_lowest_limits_of_an_accounts_destinations_hold_for_all():
    two = {"a": webhook(requests_per_s=20.0, in_flight_max=2), "b": webhook(requests_per_s=5.0, in_flight_max=8)}
    else_ = {"c": webhook("https://else.example/", requests_per_s=7.0)}
    found = accounts(two | else_, lambda name: 4, SystemClock())
    assert found["a"] is found["b"]
    found["a"].set_share({"a": {0, 1}, "b": {3}, "c": {0}})
    assert (found["a"].rate_per_s, found["a"].slots.allowed, [*found["a"].partitions]) == (5.0, 1, ["a", "b"])
    assert found["c"].rate_per_s == 7.0


def test_lists_are_of_the_account_of_events_and_do_not_narrow_its_slots():
    marketo = {"account_id": "1-A-2", "client_id": "a", "client_secret": "s"}
    data = {"client_id": "p", "client_secret": "s", "refresh_token": "r"}
    lists = {
        "vip": DESTINATIONS["marketo_static_lists"].configure(marketo | {"folder_name": "Audiences"}),
        "ads": DESTINATIONS["google_customer_match"].configure(data | {"customer_id": "1234567890"}),
        "tv": DESTINATIONS["dv360"].configure(data | {"advertiser_id": "12345"}),
    }
    leads = {"leads": DESTINATIONS["marketo"].configure(marketo)}
    found = accounts(lists | leads, lambda name: 1 if name in lists else 4, SystemClock())
    assert found["vip"] is found["leads"]
    assert dict(found["vip"].partitions) == {"leads": 4, "vip": 1}
    assert found["ads"] is found["tv"]
    found["vip"].set_share({"leads": range(4), "vip": {0}})
    assert found["vip"].slots.allowed == DESTINATIONS["marketo"].limits.in_flight_max > 4


def test_live_goes_before_a_list_of_the_same_account_which_still_gets_a_tenth():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        (account,) = accounts({"crm": webhook(requests_per_s=100.0)}, lambda name: 1, LoopClock()).values()
        account.set_share({"crm": {0}})
        turns: list[bool] = []

        async def use(live: bool, count: int) -> None:
            for _ in range(count):
                await account.turn(lambda: live)
                turns.append(live)

        lists = asyncio.ensure_future(use(False, 1_000))
        await asyncio.sleep(3)
        asked_s, waits = loop.time(), []
        for _ in range(20):  # now and then something live comes
            asked_s = loop.time()
            await account.turn(lambda: True)
            waits.append(loop.time() - asked_s)
            await asyncio.sleep(0.1)
        assert max(waits) < 0.03, waits
        turns.clear()
        flood = [asyncio.ensure_future(use(True, 100)) for _ in range(3)]  # and now all the time
        await asyncio.gather(*flood)
        assert 0.08 < turns.count(False) / len(turns) < 0.12
        lists.cancel()

    run_jumping(main())
