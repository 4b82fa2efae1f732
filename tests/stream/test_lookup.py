"""A profile as the log has it: whom it is, its newest record, its parts, and the definitions in force."""

from itertools import pairwise

import msgspec
import pytest

from app.definitions.model import Catalog, Definition
from app.embedded.broker import EmbeddedBroker
from app.identity import codec as graph_codec
from app.identity.graph import Node
from app.identity.rules import Identifier
from app.ids import profile_id
from app.kafka.admin import Admin, TopicSpec
from app.kafka.consumer import ReadError
from app.kafka.producer import Producer
from app.profiles import codec
from app.profiles.merging import Merging
from app.profiles.state import Profile
from app.profiles.store import META, PROFILE, part_key
from app.stages.link_state import NODE
from app.stages.meta import CATALOG_KEY
from app.stream.lookup import Known, Sought, SoughtNode, look_up, look_up_account
from app.topics import Topics, partition_of

KEY = b"prf_1"


def profile(w: int, times: int = 0) -> Profile:
    made = Profile()
    made.w = w
    made.cells = {"c": list(range(times))}
    return made


def test_the_newest_is_the_one_that_has_applied_most() -> None:
    sought = Sought("prf_1")
    for w in (3, 9, 7):
        sought.take(PROFILE + KEY, codec.encode(profile(w), 1))
        sought.take(PROFILE + b"prf_12", codec.encode(profile(50), 1))
        sought.take(META, b"of no interest")
    found = sought.profile()
    assert sought.catalog() is None
    assert found is not None
    assert found.w == 9


def test_nobody_and_the_last_catalogue() -> None:
    sought = Sought("prf_1")
    for key in ("old", "new"):
        catalog = Catalog((Definition(key, "trait", "event('A').count()"),))
        sought.take(CATALOG_KEY, msgspec.json.encode(catalog))
    catalogue = sought.catalog()
    assert sought.profile() is None
    assert catalogue is not None
    assert [each.key for each in catalogue.definitions] == ["new"]


def test_parts_come_back_into_their_places() -> None:
    made = profile(1, times=5_000)
    data, parts = codec.encode_in_parts(made, 1)
    assert parts
    sought = Sought("prf_1")
    for name, part in parts.items():
        sought.take(part_key(KEY, name), part)
        sought.take(part_key(KEY, name), None)
    sought.take(PROFILE + KEY, data)
    found = sought.profile()
    assert found is not None
    assert found.cells == made.cells


def test_a_missing_part_is_told() -> None:
    data, _ = codec.encode_in_parts(profile(1, times=5_000), 1)
    sought = Sought("prf_1")
    sought.take(PROFILE + KEY, data)
    with pytest.raises(codec.CorruptProfile, match="missing"):
        sought.profile()


USER, MAIL, DEVICE, OTHER = ("user_id", "u"), ("email", "u@x"), ("anonymous_id", "a"), ("anonymous_id", "b")


def node(*identifiers: Identifier, absorbed: str = "") -> Node:
    return Node(1, dict.fromkeys(identifiers, 5), [(absorbed, 7, "m")] if absorbed else [], {0})


def asked(wanted: list[Identifier] | str, *records: tuple[str, Node | None, int]) -> Known | None:
    sought = SoughtNode(wanted)
    for profile, held, w in records:
        sought.take(NODE + profile.encode(), graph_codec.encode(held, w) if held is not None else None)
    sought.take(META, b"of no interest")
    return sought.found()


def test_a_profile_is_found_by_each_of_its_identifiers_and_by_its_id() -> None:
    records = [("prf_1", node(DEVICE), 1), ("prf_2", node(OTHER), 2), ("prf_1", node(DEVICE, USER, MAIL), 3)]
    for identifier in (DEVICE, USER, MAIL):
        known = asked([identifier], *records)
        assert known is not None
        assert (known.profile, known.identifier, list(known.node.ids)) == ("prf_1", identifier, [DEVICE, USER, MAIL])
    known = asked("prf_2", *records)
    assert known is not None
    assert (known.profile, known.identifier) == ("prf_2", None)
    assert asked([("user_id", "a")], *records) is None, "the value alone is nobody's"
    assert asked("prf_3", *records) is None


def test_of_several_the_first_that_is_anybodys_counts() -> None:
    records = [("prf_1", node(DEVICE), 1), ("prf_2", node(OTHER), 2)]
    for wanted, profile in (([OTHER, DEVICE], "prf_2"), ([DEVICE, OTHER], "prf_1"), ([USER, OTHER], "prf_2")):
        known = asked(wanted, *records)
        assert known is not None
        assert known.profile == profile


def test_who_lost_an_identifier_to_a_split_is_not_found_by_it() -> None:
    records = [("prf_1", node(USER, DEVICE), 1), ("prf_1", node(USER), 2), ("prf_2", node(DEVICE), 2)]
    known = asked([DEVICE], *records)
    assert known is not None
    assert known.profile == "prf_2"


@pytest.mark.parametrize("late", [False, True], ids=["", "a late write of a worker that was replaced"])
@pytest.mark.parametrize("wanted", [[OTHER], [USER], "prf_1", "prf_2"], ids=str)
def test_what_became_part_of_another_is_found_there(wanted: list[Identifier] | str, late: bool) -> None:
    records: list[tuple[str, Node | None, int]] = [
        ("prf_1", node(USER), 1),
        ("prf_2", node(OTHER), 2),
        ("prf_1", node(USER, OTHER, absorbed="prf_2"), 3),
        ("prf_2", None, 3),
    ]
    known = asked(wanted, *records, *([("prf_2", node(OTHER, DEVICE), 4), ("prf_1", node(USER), 2)] if late else []))
    assert known is not None
    assert (known.profile, list(known.node.ids)) == ("prf_1", [USER, OTHER])


@pytest.mark.parametrize("wanted", ["prf_1", "prf_2", [USER]], ids=str)
async def test_what_became_part_of_another_is_followed_without_the_graph(
    broker: EmbeddedBroker, topics: Topics, wanted: list[Identifier] | str
) -> None:
    """A deployment whose graph is gone, or that has none yet; a user id alone then names the profile that it made."""
    target, first = "prf_3", profile_id(*USER)
    chain = ["prf_1", "prf_2", first, target]
    async with Admin(broker.bootstrap) as admin, Producer(broker.bootstrap) as producer:
        await admin.ensure_topics([TopicSpec(topics.profiles_changelog, 2, 1)])
        records: dict[tuple[str, int], list[tuple[bytes, bytes, tuple[()]]]] = {}
        for name, into in pairwise([*chain, ""]):
            made = profile(5)
            made.merging = Merging(redirect=into) if into else None
            place = topics.profiles_changelog, partition_of(name.encode(), 2)
            records.setdefault(place, []).append((PROFILE + name.encode(), codec.encode(made, 1), ()))
        await producer.send(records)
    found = await look_up(broker.bootstrap, topics, wanted)
    assert (found.profile_id, found.known) == (target, None)
    assert found.profile is not None
    assert found.profile.merging is None


async def test_an_account_is_found_in_its_own_changelog(broker: EmbeddedBroker, topics: Topics) -> None:
    made = profile(3)
    made.identifiers = [("group_id", "acme")]
    async with Admin(broker.bootstrap) as admin, Producer(broker.bootstrap) as producer:
        with pytest.raises(ReadError, match="there is no topic"):
            await look_up_account(broker.bootstrap, topics, "acme")
        await admin.ensure_topics([TopicSpec(topics.accounts_changelog, 2, 1)])
        to_come = profile(4)
        to_come.identifiers = []
        for name, held in ((b"acme", made), (b"acme-2", made), (b"other", to_come)):
            place = topics.accounts_changelog, partition_of(name, 2)
            await producer.send({place: [(PROFILE + name, codec.encode(held, 1), ())]})
    found = await look_up_account(broker.bootstrap, topics, "acme")
    assert (found.profile_id, found.collection, found.known) == ("acme", "accounts", None)
    assert found.profile is not None
    assert found.profile.identifiers == made.identifiers
    assert (await look_up_account(broker.bootstrap, topics, "other")).profile is None, "all that makes it waits"
    assert (await look_up_account(broker.bootstrap, topics, "another")).profile is None


async def test_without_the_topics_it_is_told(broker: EmbeddedBroker, topics: Topics) -> None:
    with pytest.raises(ReadError, match="there is no topic"):
        await look_up(broker.bootstrap, topics, "prf_1")


def test_whoever_was_erased_is_nobody() -> None:
    made = profile(9)
    made.erased = True
    sought = Sought("prf_1")
    sought.take(PROFILE + KEY, codec.encode(profile(3), 1))
    sought.take(PROFILE + KEY, codec.encode(made, 1))
    assert sought.profile() is None
    gone = Sought("prf_1")
    gone.take(PROFILE + KEY, codec.encode(profile(3), 1))
    gone.take(PROFILE + KEY, None)
    assert gone.profile() is None
    node = SoughtNode([("user_id", "ann")])
    node.take(NODE + KEY, graph_codec.encode(Node(1, {("user_id", "ann"): 5}), 7))
    assert node.found() is not None
    node.take(NODE + KEY, None)
    assert node.found() is None
