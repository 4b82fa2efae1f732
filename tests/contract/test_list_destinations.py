"""What is asked of every list destination: its fixture, and what no fixture has to repeat.

A fixture's `lists` are cases: `do` (make, add, remove, shown, report), `list`, `session`, `payloads`, `settings` (more
of them), `steps` as in `destination_fixtures`, and `outcome` with `items` or `job`, or `made`, `members` or `report`.
`list_replies` are first replies to the case `of`, with what they come to; `unusual` statuses differ from the table.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Generator, Iterator
from typing import Any

import orjson
import pytest

from app.activation.destination import Attempt, Configured, Request
from app.activation.destinations import DESTINATIONS
from app.activation.lists.vendor import ListName, Lists, Member, Report, Session, Upload
from app.activation.outcome import Delivered, Partial, Reason, Response, Retry, unreadable
from app.delivery.dead_letter import Evidence, dead_letter
from app.delivery.exchange import UNEXPECTED
from tests.contract.destination_fixtures import (
    OUTCOMES,
    body_of,
    configured,
    expected_body,
    fixture,
    payload,
    record,
    response,
    revealed,
)  # fmt: skip
from tests.contract.test_destinations import BODIES, STATUSES, anything, by_table, check, keys_of
from tests.contract.test_destinations import test_an_access_token_is_asked_for_and_read_as_documented as token_as_told

LISTS = [name for name, destination in DESTINATIONS.items() if destination.lists is not None]
VENDORS = {
    "amplitude_cohorts": (1, 1, 100, 100), "braze_cohorts": (5, 4, 75, 75),
    "customerio_segments": (10, 5, 1_000, 1_000), "dv360": (4, 4, 10_000, 10_000),
    "facebook_audiences": (5, 2, 10_000, 10_000),
    "google_customer_match": (4, 4, 10_000, 10_000), "http_lists": (10, 4, 1_000, 1_000),
    "hubspot_lists": (5, 5, 100, 100), "iterable_lists": (5, 5, 1_000, 1_000), "klaviyo_lists": (2, 2, 10_000, 100),
    "marketo_static_lists": (5, 4, 10_000, 300), "pinterest_audiences": (5, 4, 10_000, 10_000),
    "sendgrid_lists": (100, 5, 10_000, 100), "sfmc_lists": (20, 2, 10_000, 10_000),
    "snapchat_audiences": (8, 4, 10_000, 10_000), "tiktok_audiences": (5, 2, 1_000, 1_000),
}  # fmt: skip
"""Requests per second, at once; members added and removed in one."""
HOUR_S = 3_600
SLOW = {"google_customer_match": 6 * HOUR_S, "dv360": 6 * HOUR_S}


def cases_of(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = fixture(name)["lists"]
    return found


def cases() -> Iterator[Any]:
    for name in LISTS:
        for case in cases_of(name):
            yield pytest.param(name, case, id=f"{name}: {case['do']}: {case['name']}")


def lists_of(configured_: Configured) -> Lists:
    assert configured_.lists is not None
    return configured_.lists


def members(configured_: Configured, case: dict[str, Any]) -> tuple[Member, ...]:
    found = [lists_of(configured_).member(payload(short)) for short in case.get("payloads", [])]
    assert all(found), "a member of the fixture is nobody"
    return tuple(one for one in found if one is not None)


def begun(configured_: Configured, case: dict[str, Any], now_s: int) -> Generator[Request, Response, Any]:
    lists, attempt = lists_of(configured_), Attempt(now_s)
    who = members(configured_, case)
    match case["do"]:
        case "make":
            assert lists.make is not None
            return lists.make(ListName("vip", case.get("named", "VIP people")), who, attempt)
        case "shown":
            assert lists.shown is not None
            return lists.shown(case["list"], attempt)
        case "report":
            assert lists.report is not None
            return lists.report(case["job"], attempt)
        case what:
            session = Session(**case["session"]) if "session" in case else None
            return lists.change(Upload(case["list"], what == "add", who, session), attempt)


def talk(
    configured_: Configured, case: dict[str, Any], replies: list[Response], now_s: int = 1_769_853_600
) -> tuple[list[Request], object]:
    """The requests, and how it ended; None: it asks for more replies."""
    conversation = begun(configured_, case, now_s)
    requests: list[Request] = []
    try:
        requests.append(next(conversation))
        for reply in replies:
            requests.append(conversation.send(reply))
    except StopIteration as end:
        return requests, end.value
    except UNEXPECTED:
        return requests, unreadable()
    return requests, None


def replies_of(case: dict[str, Any]) -> list[Response]:
    return [response(step["reply"]) for step in case["steps"] if "reply" in step]


def held(name: str, case: dict[str, Any], *, later_s: int = 0) -> tuple[list[Request], object]:
    return talk(configured(name, case), case, replies_of(case), 1_769_853_600 + later_s)


@pytest.mark.parametrize("name", LISTS)
def test_its_fixture_shows_all_that_it_can_do_and_its_file_where_its_facts_come_from(name: str) -> None:
    lists = lists_of(configured(name))
    able = {"make": lists.make, "shown": lists.shown, "report": lists.report}
    assert {case["do"] for case in cases_of(name)} == {"add", "remove", *(what for what, can in able.items() if can)}
    assert bool(lists.report) == bool(lists.reports_s)
    assert lists.sessions == any("session" in case for case in cases_of(name))
    module = sys.modules[DESTINATIONS[name].settings.__module__]
    assert module.__doc__ is not None
    assert "Source" in module.__doc__ or "Shape:" in module.__doc__
    assert "20" in module.__doc__, "with a date"
    assert DESTINATIONS[name].calls == ("identify",)


def test_no_vendor_gets_more_than_it_is_known_to_bear() -> None:
    found = {}
    for name in LISTS:
        limits, lists = configured(name).limits, lists_of(configured(name))
        found[name] = (limits.requests_per_s, limits.in_flight_max, lists.add_max, lists.remove_max)
        least_s = SLOW.get(name, 1 if name == "http_lists" else HOUR_S)
        assert lists.interval_min_s == least_s
        assert lists.interval_s == max(least_s, HOUR_S)
    assert found == VENDORS


@pytest.mark.parametrize(("name", "case"), cases())
def test_an_exchange_goes_as_documented(name: str, case: dict[str, Any]) -> None:
    requests, ended = held(name, case)
    assert len(requests) == len(case["steps"])
    for request, step in zip(requests, case["steps"], strict=True):
        assert (request.method, revealed(request.url)) == (step.get("method", "POST"), step["url"])
        headers = {key: revealed(value) for key, value in request.headers.items()}
        for key, value in step.get("headers", {}).items():
            assert headers[key] == value, key
        assert request.after_s == step.get("after_s", 0)
        expected = expected_body(step)
        assert request.body == b"" if expected is None else body_of(request, step) == expected
    if "made" in case:
        assert ended == case["made"]
    elif "members" in case:
        assert ended == frozenset(case["members"])
    elif "report" in case:
        assert ended == Report(**case["report"])
    else:
        assert isinstance(ended, tuple(OUTCOMES.values()))
        assert isinstance(ended, Delivered) == (case["outcome"] == "delivered")
        assert getattr(ended, "job", "") == case.get("job", "")
        check(ended, case)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "case"), cases())
def test_a_repeat_is_the_same_request_within_limits(name: str, case: dict[str, Any]) -> None:
    (first, _), (later, _) = held(name, case), held(name, case, later_s=4_000)
    if not case.get("tells_time"):
        assert [(one.method, one.url, one.body) for one in first] == [(one.method, one.url, one.body) for one in later]
    for request in first:
        assert len(request.body) <= configured(name, case).limits.body_bytes_max


@pytest.mark.parametrize(("name", "case"), cases())
def test_no_secret_is_shown(name: str, case: dict[str, Any]) -> None:
    configured_ = configured(name, case)
    secrets = [secret.reveal() for secret in configured_.secrets]
    assert secrets, "a vendor without any secret?"
    requests, _ = held(name, case)
    shown = repr(requests) + repr(configured_)
    for request in requests:
        shown += str(request.shown())
        if not fixture(name).get("secret_in_body"):
            shown += request.body.decode()
        echo = " ".join([*secrets, *(secret.reveal() for secret in request.secrets), request.body.decode()])
        evidence = Evidence(request, Response(422, {"x-echo": echo}, echo.encode()))
        shown += dead_letter(
            orjson.dumps(record({"id": "m1", "kind": "entered"})), reason=Reason.REFUSED, message="", attempts=1,
            at_ms=0, evidence=evidence, secrets=configured_.secrets,
        ).decode()  # fmt: skip
    for secret in secrets:
        assert "canary" in secret
        assert secret not in shown


@pytest.mark.parametrize(("name", "case"), cases())
def test_every_request_can_be_sent_elsewhere(name: str, case: dict[str, Any]) -> None:
    base = "http://127.0.0.1:9/there"
    moved = configured(name, {"settings": case.get("settings", {}) | {"base_url": base}})
    requests, _ = talk(moved, case, replies_of(case))
    assert [revealed(one.url).startswith(base + "/") for one in requests] == [True] * len(requests)


def list_replies() -> Iterator[Any]:
    for name in LISTS:
        for index, reply in enumerate(fixture(name).get("list_replies", [])):
            yield pytest.param(name, reply, id=f"{name}: {index} {reply['status']} {reply['outcome']}")


@pytest.mark.parametrize(("name", "reply"), list_replies())
def test_the_reply_is_judged_as_documented(name: str, reply: dict[str, Any]) -> None:
    case = cases_of(name)[reply.get("of", 0)]
    _, ended = talk(configured(name, case), case, [response(reply)])
    assert isinstance(ended, tuple(OUTCOMES.values())), ended
    check(ended, reply)  # type: ignore[arg-type]


@pytest.mark.parametrize(("status", "expected"), by_table())
def test_every_status_class_ends_in_the_outcome_of_the_table(status: int, expected: str) -> None:
    if expected == "delivered":
        pytest.skip("a body may be missing that has to be read")
    for name in LISTS:
        for case in cases_of(name):
            if case["do"] in ("make", "shown") or not case["steps"]:
                continue
            unusual = fixture(name).get("unusual", {}).get(f"{case['do']} {status}")
            unusual = unusual or fixture(name).get("unusual", {}).get(str(status), expected)
            _, ended = talk(configured(name, case), case, [Response(status)])
            assert isinstance(ended, OUTCOMES[unusual]), f"{name}: {case['name']}: {ended}"
    assert status in STATUSES[expected]


@pytest.mark.parametrize("name", LISTS)
def test_no_body_makes_more_of_a_reply_than_an_outcome(name: str) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    words = [word for case in cases_of(name) for word in keys_of(case)]
    for _ in range(100):
        body = chance.choice([*BODIES, orjson.dumps(anything(chance, words, 4))])
        reply = Response(chance.choice([200, 201, 202, 207, 400, 403, 404, 422, 429]), {}, body)
        for case in cases_of(name):
            _, ended = talk(configured(name, case), case, [reply] * 3)
            if isinstance(ended, Partial):
                assert len(ended.items) == len(case["payloads"]), (seed, body)


@pytest.mark.parametrize("name", LISTS)
def test_the_largest_request_is_within_the_vendors_bytes(name: str) -> None:
    configured_ = configured(name)
    lists = lists_of(configured_)
    short = next(case for case in cases_of(name) if case["do"] == "add")["payloads"][0]
    for add, most in ((True, lists.add_max), (False, lists.remove_max)):
        found = [lists.member(payload(numbered(short, index))) for index in range(most)]
        who = tuple(one for one in found if one is not None)
        assert len({one.key for one in who}) == most
        request = next(lists.change(Upload("L" * 20, add, who), Attempt(0)))
        assert len(request.body) <= configured_.limits.body_bytes_max
        assert len(revealed(request.url)) < 8_000


def numbered(short: dict[str, Any], index: int) -> dict[str, Any]:
    """Another person, with everything that this one has."""
    tail = f"{index:07d}"
    ids = {kind: f"somebody.{tail}@example.com" if kind == "email" else f"user-{tail}" for kind in short["ids"]}
    traits = {
        key: f"+1555{tail}" if key == "phone" else f"{value}{tail}" for key, value in short.get("traits", {}).items()
    }
    return short | {"id": f"m{index}", "profile": f"prf_{index}", "ids": ids, "traits": traits}


@pytest.mark.parametrize("name", LISTS)
def test_nobody_is_no_member_and_one_person_is_always_the_same_one(name: str) -> None:
    lists = lists_of(configured(name))
    assert lists.member(payload({"id": "m1", "kind": "entered"})) is None
    ids = {"user_id": "u-17", "email": "Ana@Example.com"}
    traits = {"phone": "+1 (555) 123-4567", "mobile_ad_id": "AB-12"}
    one = lists.member(payload({"id": "m1", "kind": "entered", "ids": ids, "traits": traits}))
    again = lists.member(payload({"id": "m2", "kind": "exited", "ids": ids, "traits": traits}))
    assert one == again
    assert one is not None
    assert one.key


@pytest.mark.parametrize("name", LISTS)
def test_a_token_is_asked_for_as_documented(name: str) -> None:
    token_as_told(name)


def test_a_vendor_that_fails_between_two_requests_is_asked_again() -> None:
    for name in LISTS:
        for case in cases_of(name):
            if case["do"] == "add" and len(case["steps"]) > 1:
                _, ended = talk(configured(name, case), case, [*replies_of(case)[:1], Response(503)])
                assert ended is None or isinstance(ended, Retry), f"{name}: {case['name']}: {ended}"
