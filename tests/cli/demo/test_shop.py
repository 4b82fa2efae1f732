"""The stream is realistic, the same for a seed, and keeps clear of the windows' edges."""

from collections import Counter, defaultdict

import orjson
import pytest

from app.cli.demo.sample import CART_WINDOW_MS, PRESENT_WINDOW_MS
from app.cli.demo.shop import DELAY_MS_MAX, MARGIN_MS, Plan, plan
from app.errors import InvalidEvent
from app.events.codec import decode
from app.identity.identifiers import Identifiers
from app.identity.rules import IdentityRules
from app.stages.resolve_simple import owner_of

START_MS = 1_767_225_600_000
VIEWED, CART = frozenset({"Product Viewed"}), frozenset({"Product Added", "Order Completed"})
WINDOWS_MS = {VIEWED: PRESENT_WINDOW_MS, CART: CART_WINDOW_MS}


@pytest.fixture(params=range(3), ids="seed {}".format)
def planned(request: pytest.FixtureRequest) -> Plan:
    return plan(seed=request.param, rate=100, seconds=45)


def test_a_seed_gives_the_same_stream_again() -> None:
    assert plan(seed=5, rate=60, seconds=20) == plan(seed=5, rate=60, seconds=20)
    assert plan(seed=5, rate=60, seconds=20) != plan(seed=6, rate=60, seconds=20)


def test_every_kind_of_event_of_a_shop_is_there(planned: Plan) -> None:
    found = Counter(str(sent.message.get("event", sent.message["type"])) for sent in planned.sent)
    wanted = {"page", "identify", "Products Searched", "Product Viewed", "Product Added", "Checkout Started"}
    assert wanted | {"Order Completed", "Signed Up"} == set(found)
    assert min(found.values()) > 20


def test_the_rate_is_steady(planned: Plan) -> None:
    by_second = Counter(sent.at_ms // 1_000 for sent in planned.sent)
    assert all(80 <= by_second[second] <= 160 for second in range(45))


def test_valid_messages_are_valid_and_broken_ones_are_not(planned: Plan) -> None:
    for sent in planned.sent:
        owner = owner_of(Identifiers(IdentityRules()).of(decode(orjson.dumps(sent.stamped(START_MS)))))
        assert f"{':'.join(owner)}" == sent.who
    assert len(planned.broken) >= 10
    for broken in planned.broken:
        with pytest.raises(InvalidEvent):
            owner_of(Identifiers(IdentityRules()).of(decode(broken.value)))


def test_some_messages_come_twice_and_some_out_of_order(planned: Plan) -> None:
    ids = Counter(sent.message["messageId"] for sent in planned.sent)
    assert sum(count == 2 for count in ids.values()) > 20
    last: dict[str, int] = {}
    out_of_order = 0
    for sent in planned.sent:
        out_of_order += sent.happened_ms < last.get(sent.who, 0)
        last[sent.who] = max(last.get(sent.who, 0), sent.happened_ms)
    assert out_of_order > 20


def test_visitors_who_sign_up_carry_their_user_id_from_then_on(planned: Plan) -> None:
    signed_up: dict[object, int] = {}
    for sent in planned.sent:
        if sent.message.get("event") == "Signed Up":
            signed_up.setdefault(sent.message["anonymousId"], sent.happened_ms)
    was_anonymous = set()
    for sent in planned.sent:
        at_ms = signed_up.get(sent.message["anonymousId"])
        if at_ms is not None and sent.happened_ms > at_ms:
            assert "userId" in sent.message
        if at_ms is not None and "userId" not in sent.message:
            was_anonymous.add(sent.message["anonymousId"])
    assert len(was_anonymous) > 10


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
            sendings[sent.who].append(sent.at_ms)
            edges[sent.who].append(sent.happened_ms + WINDOWS_MS[events])
    assert sum(map(len, edges.values())) > 300
    for who, at_ms in sendings.items():
        assert not [(at, edge) for at in at_ms for edge in edges[who] if -DELAY_MS_MAX < at - edge < MARGIN_MS]
