"""Splits and erasures in either order: what was erased does not come back by a split, and what is not, stays."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from app.identity.regulations import RegulationType
from app.identity.rules import Identifier
from app.ids import profile_id
from app.profiles import codec
from app.profiles.store import PROFILE, SPLIT
from app.stages import envelope, link_state, links
from app.stages.records import Work
from app.stages.under_way import UnderWay
from app.topics import partition_of
from tests.simulation.store import SimStore
from tests.stages.splits import START_MS, TOPICS, Parted
from tests.stages.test_link import AT_MS, Rig, profiles_in, user

ANN, BO = profile_id("user_id", "ann"), profile_id("user_id", "bo")
INTO = profile_id("\0split", "2")
PHONE, TABLET = ("device", "phone"), ("device", "tablet")
SPLIT_ID = f"spl_{1:024x}"
HOUR_MS = 3_600_000


def order(cluster: Parted, profile: str, number: int, *ids: Identifier) -> None:
    cluster.tell(profile, START_MS + number, f"m:{number}", [*ids], event="Order", properties={"price": 1})


def erase(cluster: Parted, profile: str, id_: str = "reg_1") -> None:
    cluster.send(profile, envelope.erase(START_MS + HOUR_MS, id_))


def is_erased(cluster: Parted, profile: str) -> bool:
    key = profile.encode()
    data = cluster.stores[partition_of(key, cluster.partitions)].get(PROFILE + key)
    return data is not None and codec.is_erased(data)


def pending(cluster: Parted) -> list[bytes]:
    return [key for store in cluster.stores for key in store.keys(SPLIT)]


def kept(stores: Iterable[SimStore], changelog: Iterable[tuple[bytes | None, bytes | None]]) -> bytes:
    """All that is in the stores, and in a changelog once it is compacted."""
    newest = dict(changelog)
    entries = [each for store in stores for each in store.data.items()]
    return b"".join(key + value for key, value in entries) + b"".join(
        (key or b"") + value for key, value in newest.items() if value is not None
    )


def kept_of(cluster: Parted) -> bytes:
    changelog = cluster.log.all_of(TOPICS.profiles_changelog)
    return kept(cluster.stores, [(record.key, record.value) for record in changelog])


def two() -> Parted:
    """Ann: three orders of a phone, two of a tablet, from two profiles that became one."""
    cluster = Parted(2, drops=0.2)
    for number in range(3):
        order(cluster, ANN, number, PHONE)
    for number in range(3, 5):
        order(cluster, BO, number, TABLET)
    cluster.merge(ANN, BO, START_MS + 5)
    cluster.run()
    assert cluster.profile(ANN).emitted["orders"] == 5
    return cluster


def test_who_is_erased_while_parted_with_goes_and_the_other_stays() -> None:
    cluster = two()
    cluster.part(ANN, INTO, TABLET, START_MS + 10, SPLIT_ID)
    order(cluster, ANN, 11, PHONE)
    for profile in (ANN, BO):  # as the linker erases all of the family
        erase(cluster, profile)
    order(cluster, ANN, 12, PHONE)
    order(cluster, ANN, 13, TABLET)  # by somebody who has not heard of the split
    cluster.run()
    held = cluster.profile(ANN).merging
    assert held is not None
    assert [type(envelope.decode(each.value)) for each in held.parked] == [envelope.Event, envelope.Erase]
    assert not is_erased(cluster, ANN), "what the split takes out has to come to its own first"
    cluster.settle()
    assert is_erased(cluster, ANN)
    assert cluster.profile(INTO).emitted["orders"] == 3, "what was the tablet's is not erased"
    assert pending(cluster) == []
    told = [each for each in cluster.changes() if each["profile"] == ANN and each["key"] == "orders"]
    assert (told[-1]["value"], told[-1]["origin"]) == (None, "erasure")


def test_who_was_taken_out_is_erased_before_its_part_has_come() -> None:
    cluster = two()
    cluster.part(ANN, INTO, TABLET, START_MS + 10, SPLIT_ID)
    erase(cluster, INTO)
    cluster.settle()
    assert is_erased(cluster, INTO)
    assert cluster.profile(ANN).emitted["orders"] == 3
    assert pending(cluster) == []


def test_one_that_is_merged_and_erased_while_parted_with() -> None:
    cluster = two()
    other = profile_id("user_id", "cleo")
    order(cluster, other, 6, ("user_id", "cleo"))
    cluster.part(ANN, INTO, TABLET, START_MS + 10, SPLIT_ID)
    cluster.merge(other, ANN, START_MS + 11)
    for profile in (other, ANN, BO):
        erase(cluster, profile)
    cluster.settle()
    assert is_erased(cluster, other)
    assert cluster.profile(INTO).emitted["orders"] == 2
    held = cluster.profile(ANN)
    assert held.armed_due > 0, "a redirect whose time will be over"
    assert (held.identifiers, held.cells) == ([], {})


def test_an_import_behind_the_erasure_is_waited_for() -> None:
    cluster = two()
    other = profile_id("user_id", "cleo")
    order(cluster, other, 6, ("user_id", "cleo"))
    cluster.part(ANN, INTO, TABLET, START_MS + 10, SPLIT_ID)
    cluster.send(ANN, envelope.absorb(START_MS + 11, "m:link", other))
    erase(cluster, ANN)
    cluster.run()
    cluster.send(other, envelope.merge(START_MS + 11, "m:link", ANN))
    cluster.settle()
    assert is_erased(cluster, ANN)
    assert cluster.profile(INTO).emitted["orders"] == 2


def test_a_key_of_a_split_that_came_back_goes_with_the_erased() -> None:
    cluster = two()
    own = partition_of(ANN.encode(), 2)
    late = UnderWay(ANN, 3, envelope.Part(START_MS, SPLIT_ID, [TABLET], INTO, 1))
    others = UnderWay(INTO, 3, envelope.Part(START_MS, SPLIT_ID, [PHONE], ANN, 1))
    cluster.stores[own].write({SPLIT + b"late": late.encode(), SPLIT + b"other": others.encode()}, 0)
    erase(cluster, ANN)
    cluster.run()
    assert pending(cluster) == [SPLIT + b"other"]


@pytest.mark.parametrize("identifier", [TABLET, PHONE])
def test_what_was_erased_is_not_folded_again(identifier: Identifier) -> None:
    """The tablet leaves, is erased, and comes back as a new one; then somebody is taken out once more."""
    cluster = two()
    cluster.part(ANN, INTO, TABLET, START_MS + 10, SPLIT_ID)
    cluster.settle()
    erase(cluster, INTO)
    back_ms = START_MS + 2 * HOUR_MS
    cluster.send(ANN, envelope.part(back_ms, "m:20", TABLET, ANN, 2))
    cluster.tell(ANN, back_ms, "m:20", [TABLET, ("user_id", "ann")], event="Order", properties={"price": 1})
    cluster.run()
    assert cluster.profile(ANN).emitted["orders"] == 4, "the new one's are its"
    second, id_ = profile_id("\0split", "3"), f"spl_{3:024x}"
    part = envelope.part(back_ms + 5, id_, identifier, second, 3, {"device:tablet": back_ms})
    cluster.send(ANN, part)
    cluster.send(second, envelope.absorb(back_ms + 5, id_, f"{id_}/taken"))
    cluster.settle()
    left, taken = cluster.profile(ANN).emitted["orders"], cluster.profile(second).emitted["orders"]
    assert (left, taken) == ((3, 1) if identifier == TABLET else (1, 3))


def test_what_came_back_as_an_import_and_was_erased_then_is_not_folded_again() -> None:
    cluster = two()
    cluster.part(ANN, INTO, TABLET, START_MS + 10, SPLIT_ID)
    cluster.settle()
    other = profile_id("user_id", "cleo")  # takes in the tablet, with the state that was taken out
    order(cluster, other, 11, ("user_id", "cleo"))
    cluster.merge(other, INTO, START_MS + 12)
    second = profile_id("\0split", "3")
    cluster.part(other, second, TABLET, START_MS + 13, f"spl_{3:024x}")
    cluster.settle()
    assert (cluster.profile(other).emitted["orders"], cluster.profile(second).emitted["orders"]) == (1, 2)
    erase(cluster, second)
    back_ms = START_MS + 2 * HOUR_MS
    cluster.send(other, envelope.part(back_ms, "m:20", TABLET, other, 3))
    cluster.tell(other, back_ms, "m:20", [TABLET], event="Order", properties={"price": 1})
    cluster.run()
    third, id_ = profile_id("\0split", "4"), f"spl_{4:024x}"
    cluster.send(other, envelope.part(back_ms + 5, id_, TABLET, third, 4, {"device:tablet": back_ms}))
    cluster.send(third, envelope.absorb(back_ms + 5, id_, f"{id_}/taken"))
    cluster.settle()
    assert (cluster.profile(other).emitted["orders"], cluster.profile(third).emitted["orders"]) == (1, 1)


def test_of_who_was_taken_out_and_erased_no_text_stays_with_the_other() -> None:
    cluster = two()
    cluster.part(ANN, INTO, TABLET, START_MS + 10, SPLIT_ID)
    cluster.settle()
    other = profile_id("user_id", "cleo")  # whoever takes in the other takes over what it knows of the tablet
    order(cluster, other, 11, ("user_id", "cleo"))
    cluster.merge(other, ANN, START_MS + 12)
    cluster.run()
    assert b"tablet" in kept_of(cluster)
    erase(cluster, INTO)
    cluster.run()
    assert b"tablet" not in kept_of(cluster)
    order(cluster, other, 13, TABLET)  # by somebody who has not heard of it
    order(cluster, other, 14, PHONE)
    cluster.run()
    assert cluster.profile(other).emitted["orders"] == 5, "what comes late of the erased is nobody's"
    assert b"tablet" not in kept_of(cluster)
    assert b"phone" in kept_of(cluster)


class Linked:
    """Ann with a phone, which is taken out, erased and named again."""

    def __init__(self) -> None:
        self.rig = Rig()
        self.ann, self.phone = user("ann"), ("anonymous_id", "phone")
        self.profile = profile_id(*self.ann)
        self.say(AT_MS - 9, self.ann, self.phone)

    def say(self, at_ms: int, *ids: Identifier) -> Work:
        return self.rig.take(links.link(1, 50, at_ms, f"m:{at_ms}", "track", "Seen", ids, None, b"{}"))

    def split(self, number: int) -> link_state.Answer:
        id_ = f"spl_{number:024x}"
        self.last = self.rig.take(links.split(id_, self.phone))
        return link_state.answer_of(self.rig.store.get(link_state.answer_key(id_)))

    def regulate(self, kind: RegulationType) -> Work:
        return self.rig.take(links.regulation(f"reg_{kind}", kind, AT_MS, self.phone))

    def kept(self) -> bytes:
        return kept([self.rig.store], self.rig.changelog)

    def since(self) -> dict[str, int]:
        bodies = [body for profile, body in profiles_in(self.last) if body["kind"] == "part"]
        return msgspec.convert(bodies[0]["since"], dict[str, int])


@pytest.mark.parametrize("alone_first", [True, False])
def test_the_linker_says_since_when_an_erased_one_is_new(alone_first: bool) -> None:
    linked = Linked()
    first = linked.split(1)
    assert linked.since() == {}
    linked.regulate(RegulationType.DELETE_ONLY)
    if alone_first:
        linked.say(AT_MS + 20, linked.phone)
    work = linked.say(AT_MS + 30, linked.ann, linked.phone)
    back = [body["into"] for profile, body in profiles_in(work) if body["kind"] == "part"]
    assert back == ([] if alone_first else [linked.profile]), "a merge brings back by itself"
    second = linked.split(2)
    assert first.into != second.into
    assert linked.since() == {"anonymous_id:phone": AT_MS + (20 if alone_first else 30)}


@pytest.mark.parametrize("kind", [RegulationType.DELETE_ONLY, RegulationType.SUPPRESS_WITH_DELETE])
def test_the_linker_forgets_the_text_of_who_was_taken_out_and_erased(kind: RegulationType) -> None:
    linked = Linked()
    linked.split(1)
    linked.say(AT_MS + 20, linked.ann, ("anonymous_id", "tv"))
    assert b"phone" in linked.kept()
    linked.regulate(kind)
    linked.say(AT_MS + 30, linked.ann)
    assert b"phone" not in linked.kept()
    assert b"tv" in linked.kept()


def test_who_comes_back_without_having_been_erased_is_not_new() -> None:
    linked = Linked()
    linked.split(1)
    linked.say(AT_MS + 30, linked.ann, linked.phone)
    assert linked.split(2).into
    assert linked.since() == {}


def test_a_suppressed_identifier_is_not_taken_out() -> None:
    linked = Linked()
    linked.regulate(RegulationType.SUPPRESS_ONLY)
    answer = linked.split(1)
    assert (answer.into, "suppressed" in answer.refused, linked.last.outputs) == ("", True, {})
