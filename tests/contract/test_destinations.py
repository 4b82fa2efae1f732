"""What is asked of every destination: its fixture, and what no fixture has to repeat."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import orjson
import pytest

from app.activation.destination import Place
from app.activation.destinations import DESTINATIONS
from app.activation.erasure import Erasure, deletes
from app.activation.outcome import (
    Delivered,
    Outcome,
    Partial,
    Pause,
    Reason,
    Rejected,
    Response,
    Retry,
    by_status,
    unreadable,
)
from app.activation.payload import parse_payload
from app.activation.router import Router
from app.activation.token import Token
from app.definitions.model import Catalog
from app.delivery.dead_letter import Evidence, dead_letter
from app.delivery.lane import Lane
from app.delivery.work import LaneSettings, Record
from app.topics import Topics
from tests.activation.changes import catalog, change, subscription
from tests.contract.destination_fixtures import (
    FILES,
    OUTCOMES,
    Talk,
    body_of,
    configured,
    exchanges,
    expected_body,
    fixture,
    held,
    payload,
    record,
    response,
    revealed,
    talk,
)  # fmt: skip

SENDERS = [name for name, destination in DESTINATIONS.items() if destination.sends]
STATUSES: dict[str, set[int]] = {
    "delivered": {200, 201, 202, 204, 207},
    "retry": {408, 423, 425, 429, 500, 502, 503, 504, 507, 511, 599},
    "pause": {401, 403},
    "disabled": {410},
    "rejected": {300, 301, 302, 304, 307, 308, 400, 402, 404, 405, 409, 413, 415, 422, 451, 501, 505},
}
SEEDS = {
    "braze": 100, "customerio": 30, "hubspot": 5, "intercom": 8, "iterable": 500, "mailchimp": 10, "marketo": 5,
    "pardot": 2, "resci": 200, "responsys": 3, "responsys_batch": 3, "sendgrid": 100, "salesforce": 5, "sfmc": 20,
    "zendesk": 50,
}  # fmt: skip
"""Requests per second that the original product allows itself."""
VENDORS = {
    "braze": (50, 75), "customerio": (10, 100), "hubspot": (5, 100), "intercom": (8, 1), "iterable": (50, 1),
    "mailchimp": (8, 1), "marketo": (8, 300), "pardot": (4, 1), "resci": (20, 1), "responsys": (3, 200),
    "responsys_batch": (3, 200), "sendgrid": (10, 1_000), "salesforce": (5, 200), "sfmc": (10, 10), "zendesk": (10, 1),
    "klaviyo": (10, 1), "amplitude": (10, 500), "kinesis": (4, 500), "slack": (1, 1), "webhook": (20, 1),
    "http": (10, 1),
}  # fmt: skip
"""Requests at once, items in one."""


def cases() -> Iterator[Any]:
    for name in SENDERS:
        for case in exchanges(name):
            yield pytest.param(name, case, id=f"{name}: {case['name']}")


def check(outcome: Outcome | None, told: dict[str, Any]) -> None:
    assert isinstance(outcome, OUTCOMES[told["outcome"]]), outcome
    if "after_s" in told:
        assert isinstance(outcome, Retry)
        assert outcome.after_s == told["after_s"]
    if "reason" in told:
        assert isinstance(outcome, Retry | Rejected | Pause)
        assert outcome.reason == told["reason"]
    if isinstance(outcome, Partial):
        assert [one.__class__.__name__.lower() for one in outcome.items] == told["items"]
        waits = [one.after_s if isinstance(one, Retry) else None for one in outcome.items]
        assert waits == told.get("waits_s", [None] * len(waits))


def test_each_destination_has_a_fixture_and_each_fixture_a_destination():
    assert {path.stem for path in FILES.glob("*.json")} == set(DESTINATIONS)
    for name, destination in DESTINATIONS.items():
        assert destination.name == name
        assert bool(exchanges(name)) == destination.sends


@pytest.mark.parametrize("name", SENDERS)
def test_its_file_says_what_it_needs_and_where_its_facts_come_from(name):
    module = sys.modules[DESTINATIONS[name].settings.__module__]
    assert module.__doc__ is not None
    assert "Source" in module.__doc__ or "Shape:" in module.__doc__
    assert "20" in module.__doc__.rpartition("Source")[2], "with a date"


def test_the_rates_are_those_of_the_original_product():
    assert {name: DESTINATIONS[name].limits.requests_per_s for name in SEEDS} == SEEDS


def test_no_vendor_gets_more_at_once_than_it_is_known_to_bear():
    limits = {name: DESTINATIONS[name].limits for name in SENDERS}
    assert {name: (one.in_flight_max, one.batch_items_max) for name, one in limits.items()} == VENDORS


@pytest.mark.parametrize(("name", "case"), cases())
def test_an_exchange_goes_as_documented(name, case):
    done = held(name, case)
    assert len(done.requests) == len(case["steps"])
    for request, step in zip(done.requests, case["steps"], strict=True):
        assert (request.method, revealed(request.url)) == (step.get("method", "POST"), step["url"])
        headers = {key: revealed(value) for key, value in request.headers.items()}
        for key, value in step.get("headers", {}).items():
            assert headers[key] == value, key
        assert request.after_s == step.get("after_s", 0)
        expected = expected_body(step)
        assert request.body == b"" if expected is None else body_of(request, step) == expected
    if "outcome" in case:
        check(done.outcome, case)


@pytest.mark.parametrize(("name", "case"), cases())
def test_a_repeat_is_the_same_message_within_limits(name, case):
    first, later = held(name, case), held(name, case, later_s=4_000)
    assert held(name, case).requests == first.requests
    assert [(one.method, one.url, one.body) for one in first.requests] == [
        (one.method, one.url, one.body) for one in later.requests
    ]
    configured_ = configured(name, case)
    assert len(case["payloads"]) <= configured_.limits.batch_items_max
    for request in first.requests:
        assert isinstance(request.body, bytes)
        assert len(request.body) <= configured_.limits.body_bytes_max


@pytest.mark.parametrize(("name", "case"), cases())
def test_payloads_that_share_a_request_in_the_fixture_may_do_so(name, case):
    places = [configured(name, case).place(payload(short)) for short in case["payloads"]]
    assert all(isinstance(place, Place) for place in places), places
    assert len({place.group for place in places if isinstance(place, Place)}) == 1
    assert len({place.key for place in places if isinstance(place, Place)}) == len(places)


@pytest.mark.parametrize(("name", "case"), cases())
def test_no_secret_is_shown(name, case):
    """Neither in what is printed, nor in dead letters, though the vendor echoes everything that it was sent."""
    configured_ = configured(name, case)
    secrets = [secret.reveal() for secret in configured_.secrets]
    assert secrets, "a sender without any secret?"
    done = held(name, case)
    shown = repr(done.requests) + repr(configured_) + "".join(repr(payload(short)) for short in case["payloads"])
    for request in done.requests:
        shown += str(request.shown())
        if not fixture(name).get("secret_in_body"):
            shown += request.body.decode()
        echo = " ".join([*secrets, *(secret.reveal() for secret in request.secrets), request.body.decode()])
        evidence = Evidence(request, Response(422, {"x-echo": echo}, echo.encode()))
        shown += dead_letter(
            orjson.dumps(record(case["payloads"][0])), reason=Reason.REFUSED, message="", attempts=1, at_ms=0,
            evidence=evidence, secrets=configured_.secrets,
        ).decode()  # fmt: skip
        for secret in request.secrets:
            assert secret.reveal() not in shown
    for secret in secrets:
        assert "canary" in secret or secret.startswith("whsec_") or secret.startswith("AKID"), "a secret of the fixture"
        assert secret not in shown


@pytest.mark.parametrize(("name", "case"), cases())
def test_every_request_can_be_sent_elsewhere(name, case):
    """To a simulator, a proxy or a sandbox; also the one for a token."""
    base = "http://127.0.0.1:9/there"
    moved = configured(name, {"settings": case.get("settings", {}) | {"base_url": base, "timeout_s": 7}})
    assert moved.limits.timeout_s == 7
    payloads = [payload(short) for short in case["payloads"]]
    replies_ = [response(step["reply"]) for step in case["steps"] if "reply" in step]
    requests = [*talk(moved, payloads, replies_, now_s=0).requests, *([moved.token.ask(0)] if moved.token else [])]
    assert [revealed(one.url).startswith(base + "/") for one in requests] == [True] * len(requests)


def replies() -> Iterator[Any]:
    for name in DESTINATIONS:
        for index, reply in enumerate(fixture(name).get("replies", [])):
            yield pytest.param(name, reply, id=f"{name}: {index} {reply['status']} {reply['outcome']}")


def first_reply(name: str, reply: Response, of: int = 0) -> Talk:
    case = exchanges(name)[of]
    payloads = [payload(short) for short in case["payloads"]]
    return talk(configured(name, case), payloads, [reply], now_s=fixture(name).get("now_s", 1_700_000_000))


@pytest.mark.parametrize(("name", "reply"), replies())
def test_the_reply_is_judged_as_documented(name, reply):
    check(first_reply(name, response(reply), reply.get("of", 0)).outcome, reply)


def by_table() -> Iterator[Any]:
    for expected, statuses in STATUSES.items():
        for status in sorted(statuses):
            yield pytest.param(status, expected, id=f"{status} {expected}")


@pytest.mark.parametrize(("status", "expected"), by_table())
def test_every_status_class_ends_in_the_outcome_of_the_table(status, expected):
    assert isinstance(by_status(Response(status), 0), OUTCOMES[expected])
    for name in SENDERS:
        if expected == "delivered":
            continue  # a body may be missing that has to be read
        unusual = fixture(name).get("unusual", {}).get(str(status), expected)
        outcome = first_reply(name, Response(status)).outcome
        assert isinstance(outcome, OUTCOMES[unusual]), f"{name}: {outcome}"


@pytest.mark.parametrize("name", SENDERS)
def test_a_vendor_that_asks_for_time_gets_it_in_both_forms(name):
    if "429" in fixture(name).get("unusual", {}):
        pytest.skip("this vendor says so in the body")
    now_s = fixture(name).get("now_s", 1_700_000_000)
    for headers in ({"retry-after": "7"}, {"retry-after": formatdate(now_s + 7, usegmt=True)}):
        outcome = first_reply(name, Response(429, headers)).outcome
        assert isinstance(outcome, Retry)
        assert outcome.after_s == 7


BODIES = [b"", b"<html>Bad gateway</html>", b"null", b"[]", b"{}", b'{"errors": 5}', b'{"result": [1]}', b"\xff\xfe"]


@pytest.mark.parametrize("name", SENDERS)
def test_no_body_makes_more_of_a_reply_than_an_outcome(name):
    """A proxy's page, another shape than documented, garbage: never an error, never items that were not sent."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    words = [word for case in exchanges(name) for word in keys_of(case)]
    for _ in range(100):
        body = chance.choice([*BODIES, orjson.dumps(anything(chance, words, 4))])
        reply = Response(chance.choice([200, 201, 202, 207, 400, 403, 404, 422, 429]), {}, body)
        for index, case in enumerate(exchanges(name)):
            outcome = first_reply(name, reply, index).outcome
            if isinstance(outcome, Partial):
                assert len(outcome.items) == len(case["payloads"]), (seed, body)


def keys_of(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield key
            yield from keys_of(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from keys_of(inner)


def anything(chance: random.Random, words: list[str], depth: int) -> object:
    plain = [None, True, False, 0, 1, -1, 7, 601, "606", "success", "x", 1.5, 2**40]
    match chance.randrange(3) if depth else 0:
        case 1:
            return {chance.choice(words): anything(chance, words, depth - 1) for _ in range(chance.randrange(6))}
        case 2:
            return [anything(chance, words, depth - 1) for _ in range(chance.randrange(4))]
    return chance.choice(plain)


@pytest.mark.parametrize("name", SENDERS)
def test_a_reply_cut_short_is_no_delivery_where_it_has_to_be_read(name):
    for case in exchanges(name):
        whole = held(name, case)
        last = case["steps"][-1].get("reply")
        if last is None or whole.outcome is None:
            continue
        *before, end = [response(step["reply"]) for step in case["steps"]]
        cut = Response(end.status, end.headers, end.body[: len(end.body) // 2], complete=False)
        payloads = [payload(short) for short in case["payloads"]]
        outcome = talk(configured(name, case), payloads, [*before, cut], now_s=fixture(name).get("now_s", 0)).outcome
        assert outcome == whole.outcome or not isinstance(outcome, Partial) or outcome == unreadable()


@pytest.mark.parametrize("name", SENDERS)
def test_batches_keep_the_limits_and_never_hold_one_key_twice(name):
    for case in exchanges(name):
        configured_ = configured(name, case)
        short = case["payloads"][0]
        lane = Lane(configured_, LaneSettings(), jitter=lambda: 0.5, observe=lambda fact: None)
        lane.assign(0, 0)
        count = 2 * configured_.limits.batch_items_max + 3
        lane.take(0, [Record(index, b"", orjson.dumps(record(numbered(short, index)))) for index in range(count)])
        sizes, sent = [], 0
        while (batch := lane.next_batch(0.0)) is not None:
            lane.in_flight = 0
            places = [item.place for item in batch.items]
            assert len({place.key for place in places}) == len(places) <= configured_.limits.batch_items_max
            assert len({place.group for place in places}) == 1
            request = talk(configured_, batch.payloads, [], now_s=0).requests[0]
            assert len(request.body) <= configured_.limits.body_bytes_max
            sizes.append(len(places))
            sent += len(places)
        assert sent == count
        if len(case["payloads"]) > 1:
            assert sizes[0] > 1, "the fixture says that they share requests"


def numbered(short: dict[str, Any], index: int) -> dict[str, Any]:
    """The payload of another person."""
    id_ = f"00000000-0000-5000-8000-{index:012d}"
    ids = {kind: f"p{index}@example.com" if kind == "email" else f"p{index}" for kind in short.get("ids", {})}
    return short | {"id": id_, "profile": f"prf_{index}"} | ({"ids": ids} if ids else {})


VALUES = [True, False, None, 0, 4.5, "text", ["a", 1], {"a": {"b": None}}, "x" * 5_000, 2**70]
WHO = [
    (("user_id", "u-17"), ("email", "ana@example.com")),
    (("user_id", "u-17"), ("email", "ana@example.com"), ("email", "Ana@Other.example")),
    (("user_id", "u-17"),),
    (("anonymous_id", "a-1"), ("email", "ana@example.com")),
    (("anonymous_id", "a-1"),),
    (("user_id", "ü/ x?#%"), ("email", "not an address")),
    (),
]


@pytest.mark.parametrize("name", SENDERS)
def test_what_the_router_writes_is_sent_or_filtered(name):
    """Every kind of change, value and profile; its name and the traits that go along too."""
    configured_ = configured(name)
    calls = tuple(call for call in DESTINATIONS[name].calls or ("identify", "track") if call != "group")
    sent = filtered = 0
    for kind, value in [("audience", True), ("audience", False), *(("trait", value) for value in VALUES)]:
        made = subscription("big_spenders", kind, calls=calls, traits=("name", "first_name", "plan"))
        router = Router(catalog(made), Topics())
        for identifiers in WHO:
            told = change("big_spenders", kind, value, identifiers=identifiers, custom={"first_name": "Ana", "plan": 3})
            for routed in router.route(told):
                parsed = parse_payload(routed.value)
                place = configured_.place(parsed)
                if isinstance(place, Reason):
                    filtered += 1
                    continue
                sent += 1
                done = talk(configured_, [parsed], [], now_s=1)
                assert done.requests or isinstance(done.outcome, Rejected)
    print(f"{name}: {sent} sent, {filtered} filtered")
    assert sent >= filtered


@pytest.mark.parametrize("name", SENDERS)
def test_a_payload_of_nobody_is_filtered_or_sent_and_never_an_error(name):
    for case in exchanges(name):
        nobody = payload({"id": "00000000-0000-5000-8000-000000000001", "kind": "entered", "track": False})
        place = configured(name, case).place(nobody)
        if isinstance(place, Place):
            assert talk(configured(name, case), [nobody], [], now_s=0).requests
        else:
            assert place in (Reason.NO_IDENTIFIER, Reason.UNSUPPORTED_CALL)


JOURNEYS = [
    {"type": "identify", "traits": {"recent_buyer": "true", "email": "ana@example.com"}},
    {"type": "track", "event": "Audience Exited", "properties": {"audience_key": "j_o_7", "recent_buyer": False}},
    {"type": "track", "event": "Cart left", "properties": {
        "journey_context": {"cart": {"total": 12, "skus": ["a", "b"]}},
        "journey_metadata": {"journey_id": "jrn_1", "epoch_id": "e-1"},
    }},
]  # fmt: skip


@pytest.mark.parametrize("call", JOURNEYS)
@pytest.mark.parametrize("name", SENDERS)
def test_steps_of_journeys_that_others_made_are_sent_or_filtered(name, call):
    whose = {"userId": "u-17", "context": {"traits": {"email": "ana@example.com"}}}
    step = payload(
        {"id": "00000000-0000-5000-8000-000000000001", "class": "journey_step", "key": "j_o_7", "call": call | whose}
    )
    done = configured(name).place(step)
    if isinstance(done, Place):
        told = talk(configured(name), [step], [], now_s=1)
        assert told.requests or isinstance(told.outcome, Rejected)
    else:
        assert done in (Reason.NO_IDENTIFIER, Reason.UNSUPPORTED_CALL)


@pytest.mark.parametrize("name", SENDERS)
def test_a_call_that_it_does_not_know_is_filtered(name):
    destination = DESTINATIONS[name]
    if destination.calls is None:
        pytest.skip("it takes every call")
    odd = payload({"id": "m1", "call": {"type": "alias", "userId": "u-1", "traits": {"vip": True, "email": "a@b.c"}}})
    assert configured(name).place(odd) is Reason.UNSUPPORTED_CALL


ERASERS = ["amplitude", "braze", "customerio", "intercom", "iterable", "kinesis", "klaviyo", "sendgrid", "webhook"]


def test_whoever_can_be_asked_to_forget_a_person_has_a_fixture_for_it():
    can = {name for name, destination in DESTINATIONS.items() if destination.sends and destination.erase is not None}
    assert can == set(ERASERS)
    for name in SENDERS:
        shown = any(short.get("kind") == "erased" for case in exchanges(name) for short in case["payloads"])
        assert shown == (name in ERASERS), name


@pytest.mark.parametrize("name", SENDERS)
def test_a_deletion_is_asked_for_or_it_is_said_why_not(name):
    asked = 0
    for case in exchanges(name):
        configured_ = configured(name, case)
        for identifiers in WHO:
            erasure = Erasure("reg_1", "prf_1", identifiers, None, 0, 7)
            made = deletes(Catalog(destination_types=(("crm", name),)), Topics(), erasure)
            assert made.asked == {"crm": len(made.records)}
            for routed in made.records:
                parsed = parse_payload(routed.value)
                place = configured_.place(parsed)
                assert isinstance(place, Place), "a deletion has its turn, to be settled"
                barred = configured_.bars_erasure(parsed)
                assert (barred is Reason.NOT_SUPPORTED) == (barred is not None and barred is not Reason.NO_IDENTIFIER)
                if barred is None:
                    asked += 1
                    assert talk(configured_, [parsed], [], now_s=1).requests
    assert bool(asked) == (name in ERASERS)


@pytest.mark.parametrize("name", ["amplitude", "braze", "intercom", "iterable", "klaviyo", "sendgrid"])
def test_whom_the_vendor_does_not_know_is_forgotten(name):
    case = next(case for case in exchanges(name) if case["payloads"][0].get("kind") == "erased")
    done = talk(configured(name, case), [payload(case["payloads"][0])], [Response(404)], now_s=0)
    assert isinstance(done.outcome, Delivered if name != "intercom" else Rejected)


@pytest.mark.parametrize("name", [name for name in SENDERS if fixture(name).get("dedupes")])
def test_the_message_id_goes_along_where_the_vendor_drops_repeats(name):
    for case in exchanges(name):
        if case.get("dedupes", True):
            sent = "".join(
                request.body.decode() + str({key: revealed(value) for key, value in request.headers.items()})
                for request in held(name, case).requests
            )
            for short in case["payloads"]:
                assert case.get("dedupe_ids", {}).get(short["id"], short["id"]) in sent


@pytest.mark.parametrize("name", SENDERS)
def test_an_access_token_is_asked_for_and_read_as_documented(name):
    told = fixture(name).get("token")
    flow = configured(name, told).token
    if told is None:
        assert flow is None, "a flow without a fixture"
        return
    assert flow is not None
    request = flow.ask(0)
    assert (request.method, revealed(request.url)) == (told.get("method", "POST"), told["url"])
    if expected_body(told) is not None:
        assert body_of(request, told) == expected_body(told)
    token = flow.read(response(told["reply"]), 0)
    assert isinstance(token, Token)
    assert token.header.reveal() == told["value"]
    assert token.lifetime_s == told["lifetime_s"]
    assert isinstance(flow.read(Response(400, {}, b'{"error": "invalid_grant"}'), 0), Pause)
    assert isinstance(flow.read(Response(401), 0), Pause)
    assert isinstance(flow.read(Response(429, {"retry-after": "3"}), 0), Retry)
    assert isinstance(flow.read(Response(503), 0), Retry)
    assert flow.read(Response(200, {}, b"<html>"), 0) == Retry(Reason.UNREADABLE)
    assert "canary" not in repr(flow)
    configured_ = configured(name, told)
    assert configured_.token_refused(Response(401, {}, orjson.dumps(told.get("refusal", {}))))
    assert not configured_.token_refused(Response(200, {}, b"{}"))
