"""The stream is realistic, the same for a seed, and keeps clear of the windows' edges."""

from collections import Counter, defaultdict

import orjson
import pytest

from app.cli.demo.sample import CART_WINDOW_MS, PRESENT_WINDOW_MS
from app.cli.demo.shop import DELAY_MS_MAX, MARGIN_MS, Plan, Sent, plan
from app.errors import InvalidEvent
from app.events.codec import decode
from app.identity.identifiers import Identifiers
from app.identity.rules import Identifier, IdentityRules

START_MS = 1_767_225_600_000
IDENTIFIERS = Identifiers(IdentityRules())
VIEWED, CART = frozenset({"Product Viewed"}), frozenset({"Product Added", "Order Completed"})
WINDOWS_MS = {VIEWED: PRESENT_WINDOW_MS, CART: CART_WINDOW_MS}


def _ids(sent: Sent) -> list[Identifier]:
    return IDENTIFIERS.of(decode(orjson.dumps(sent.stamped(START_MS))))


def _visitor(sent: Sent) -> str:
    """Whoever uses the device."""
    return sent.who.rpartition("-")[0]


@pytest.fixture(params=range(3), ids="seed {}".format)
def planned(request: pytest.FixtureRequest) -> Plan:
    return plan(seed=request.param, rate=100, seconds=45)


def test_a_seed_gives_the_same_stream_again() -> None:
    assert plan(seed=5, rate=60, seconds=20) == plan(seed=5, rate=60, seconds=20)
    assert plan(seed=5, rate=60, seconds=20) != plan(seed=6, rate=60, seconds=20)


def test_every_kind_of_event_of_a_shop_is_there(planned: Plan) -> None:
    found = Counter(str(sent.message.get("event", sent.message["type"])) for sent in planned.sent)
    wanted = {"page", "identify", "Products Searched", "Product Viewed", "Product Added", "Checkout Started"}
    assert wanted | {"Order Completed", "Signed Up", "Signed In"} == set(found)
    assert min(found.values()) > 20


def test_the_rate_is_steady(planned: Plan) -> None:
    by_second = Counter(sent.at_ms // 1_000 for sent in planned.sent)
    assert all(80 <= by_second[second] <= 160 for second in range(45))


def test_valid_messages_are_valid_and_broken_ones_are_not(planned: Plan) -> None:
    for sent in planned.sent:
        kinds = [kind for kind, _ in _ids(sent)]
        assert "anonymous_id" in kinds
        assert "email" not in kinds or "user_id" in kinds
        assert f"anonymous_id:{sent.message['anonymousId']}" == sent.who
    assert len(planned.broken) >= 10
    refused_count = 0
    for broken in planned.broken:
        try:
            assert not IDENTIFIERS.of(decode(broken.value)), broken
        except InvalidEvent:
            refused_count += 1
    assert refused_count > 0


def test_some_messages_come_twice_and_some_out_of_order(planned: Plan) -> None:
    ids = Counter(sent.message["messageId"] for sent in planned.sent)
    assert sum(count == 2 for count in ids.values()) > 20
    last: dict[str, int] = {}
    out_of_order = 0
    for sent in planned.sent:
        out_of_order += sent.happened_ms < last.get(sent.who, 0)
        last[sent.who] = max(last.get(sent.who, 0), sent.happened_ms)
    assert out_of_order > 20


@pytest.mark.parametrize("event", ["Signed Up", "Signed In"])
def test_who_signs_up_or_in_carries_the_user_id_from_then_on(planned: Plan, event: str) -> None:
    signed: dict[str, int] = {}
    for sent in planned.sent:
        if sent.message.get("event") == event:
            signed.setdefault(sent.who, sent.happened_ms)
    was_anonymous = set()
    for sent in planned.sent:
        at_ms = signed.get(sent.who)
        if at_ms is not None and sent.happened_ms > at_ms:
            assert "userId" in sent.message
        if at_ms is not None and "userId" not in sent.message:
            was_anonymous.add(sent.who)
    assert len(was_anonymous) > 10


def test_who_signs_in_is_known_from_another_device_that_has_been_quiet(planned: Plan) -> None:
    """Nothing of the older profile is about to run out when the newer one becomes part of it."""
    first_ms: dict[str, int] = {}
    last_ms: dict[str, dict[str, int]] = defaultdict(dict)
    for sent in planned.sent:
        first_ms.setdefault(sent.who, sent.at_ms)
        last_ms[_visitor(sent)][sent.who] = sent.at_ms
    several = [devices for devices in last_ms.values() if len(devices) > 1]
    assert len(several) > 10
    for devices in several:
        one, other = sorted(devices, key=lambda who: first_ms[who])
        before_ms = [sent.at_ms for sent in planned.sent if sent.who == one and sent.at_ms < first_ms[other]]
        assert first_ms[other] - max(before_ms) > DELAY_MS_MAX
        known = {kind for sent in planned.sent if sent.who == one for kind, _ in _ids(sent)}
        assert "user_id" in known


def test_nobody_becomes_known_near_the_end_of_a_window(planned: Plan) -> None:
    """Late by as much as a record may be, whoever is new is still told the same."""
    ends: dict[str, list[int]] = defaultdict(list)
    for sent in planned.sent:
        for events, window_ms in WINDOWS_MS.items():
            if sent.message.get("event") in events:
                ends[_visitor(sent)].append(sent.happened_ms + window_ms)
    known: dict[str, set[Identifier]] = defaultdict(set)
    news_count = 0
    for sent in planned.sent:
        new = set(_ids(sent)) - known[_visitor(sent)]
        known[_visitor(sent)] |= new
        if new and ends[_visitor(sent)]:
            news_count += 1
            assert not [end for end in ends[_visitor(sent)] if -MARGIN_MS < end - sent.at_ms < DELAY_MS_MAX]
    assert news_count > 50


def test_nothing_is_sent_before_it_happened_and_records_are_in_order(planned: Plan) -> None:
    assert all(sent.happened_ms < sent.at_ms for sent in planned.sent)
    times = [at_ms for at_ms, _, _ in planned.records(START_MS)]
    assert times == sorted(times)
    assert len(times) == len(planned.sent) + len(planned.broken)


@pytest.mark.parametrize("events", [VIEWED, CART], ids=["views", "carts"])
def test_no_person_sends_what_counts_near_an_edge_of_its_window(planned: Plan, events: frozenset[str]) -> None:
    """First sendings only: a repeat changes nothing whenever it comes."""
    edges: dict[str, list[int]] = defaultdict(list)
    sendings: dict[str, list[int]] = defaultdict(list)
    seen = set()
    for sent in planned.sent:
        if sent.message["messageId"] not in seen and sent.message.get("event") in events:
            seen.add(sent.message["messageId"])
            sendings[_visitor(sent)].append(sent.at_ms)
            edges[_visitor(sent)].append(sent.happened_ms + WINDOWS_MS[events])
    assert sum(map(len, edges.values())) > 300
    for who, at_ms in sendings.items():
        assert not [(at, edge) for at in at_ms for edge in edges[who] if -DELAY_MS_MAX < at - edge < MARGIN_MS]
