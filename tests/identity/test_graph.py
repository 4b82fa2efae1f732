"""The graph's rules that the oracle does not have: windows, caps, who has to be told."""

from __future__ import annotations

from app.identity import codec
from app.identity.graph import MERGE_ID_CHARS_MAX, NODE_BYTES_MAX, Graph, Node
from app.identity.rules import DAY_MS, Identifier, Limit, LinkRules


def users(*values: str) -> list[Identifier]:
    return [("user_id", value) for value in values]


def anonymous(*values: str) -> list[Identifier]:
    return [("anonymous_id", value) for value in values]


class Told:
    """Resolves from partition 0 at rising instants."""

    def __init__(self, rules: LinkRules) -> None:
        self.graph = Graph(rules)
        self.resolve = self.graph.resolve

    def link(self, *usable: Identifier, at_ms: int = 0, partition: int = 0) -> tuple[str, bool]:
        found = self.graph.resolve(usable, at_ms, "m", partition)
        return found.profile, found.lasts


def test_a_limit_with_a_window_counts_what_was_added_in_it() -> None:
    told = Told(LinkRules(limits={"anonymous_id": Limit(2, "week")}))
    ann, _ = told.link(*users("ann"), *anonymous("a1"), at_ms=0)
    assert told.link(*users("ann"), *anonymous("a2"), at_ms=DAY_MS) == (ann, False)
    assert told.link(*users("ann"), *anonymous("a3"), at_ms=7 * DAY_MS - 1) == (ann, False)
    assert ("anonymous_id", "a3") not in told.graph.owners
    # The first has left the window: what was left aside fits now, so no verdict was given before.
    told.link(*users("ann"), *anonymous("a3"), at_ms=7 * DAY_MS)
    assert told.graph.owners["anonymous_id", "a3"] == ann


def test_what_a_limit_for_ever_leaves_aside_stays_aside() -> None:
    told = Told(LinkRules())
    told.link(*users("ann"), *anonymous("a"))
    bob, lasts = told.link(*users("bob"), *anonymous("a"))
    assert lasts
    assert told.graph.nodes[bob].ids == {("user_id", "bob"): 0}


def test_a_limit_for_ever_beside_one_with_a_window_makes_it_final() -> None:
    told = Told(LinkRules(limits={"user_id": Limit(1), "anonymous_id": Limit(1, "week")}))
    told.link(*users("ann"), *anonymous("a"))
    told.link(*users("bob"), *anonymous("b"))
    _, lasts = told.link(*users("bob"), *anonymous("a"))
    assert lasts


def test_a_profile_has_no_more_identifiers_than_the_cap() -> None:
    told = Told(LinkRules(default_limit=Limit(1_000), max_identifiers=3))
    ann, _ = told.link(*users("ann"), *anonymous("a", "b", "c", "d"))
    assert list(told.graph.nodes[ann].ids) == [*users("ann"), *anonymous("a", "b")]
    other, _ = told.link(*anonymous("c"))
    assert other != ann
    assert told.link(*users("ann"), *anonymous("c")) == (ann, True)


def test_a_profile_takes_in_no_more_than_the_cap() -> None:
    told = Told(LinkRules(default_limit=Limit(1_000), max_merges=2))
    first, _ = told.link(*anonymous("a0"))
    for number in range(1, 5):
        told.link(*anonymous(f"a{number}"))
    for number in range(1, 5):
        told.link(*anonymous("a0", f"a{number}"), at_ms=number)
    assert [at_ms for _, at_ms, _ in told.graph.nodes[first].absorbed] == [1, 2]
    assert len(told.graph.nodes) == 3


def test_merges_of_the_merged_count_too() -> None:
    told = Told(LinkRules(default_limit=Limit(1_000), max_merges=2))
    for pair in (("a", "b"), ("c", "d")):
        for value in pair:
            told.link(*anonymous(value))
        told.link(*anonymous(*pair))
    _, lasts = told.link(*anonymous("a", "c"))
    assert lasts
    assert len(told.graph.nodes) == 2


def test_a_profile_fits_into_a_batch() -> None:
    told = Told(LinkRules(default_limit=Limit(1_000)))
    ann, _ = told.link(*users("ann"))
    for number in range(40):
        told.link(*users("ann"), ("x", f"{number:02}" + "é" * 8_000))
    node = told.graph.nodes[ann]
    assert 30 < len(node.ids) < 40
    assert len(codec.encode(node, 1)) <= NODE_BYTES_MAX


def test_lowered_limits_take_nothing_away_and_hinder_nothing_else() -> None:
    told = Told(LinkRules())
    ann, _ = told.link(*users("ann"), *anonymous("a", "b", "c"))
    told.graph.rules = LinkRules(limits={"user_id": Limit(1), "anonymous_id": Limit(1)})
    assert told.link(*users("ann"), *anonymous("a", "b")) == (ann, False)
    assert told.link(*users("ann"), ("email", "e"), *anonymous("a")) == (ann, False)
    assert told.graph.owners["email", "e"] == ann
    assert told.link(*users("ann"), *anonymous("d")) == (ann, True)


def test_who_has_to_be_told() -> None:
    graph = Graph(LinkRules())
    found = graph.resolve(anonymous("a"), 0, "m", 3)
    assert (found.gained, found.newcomers) == (tuple(anonymous("a")), {3})
    found = graph.resolve(anonymous("a"), 0, "m", 3)
    assert (found.gained, found.newcomers) == ((), frozenset())
    found = graph.resolve([*users("u"), *anonymous("a")], 0, "m", 1)
    assert (found.gained, found.newcomers) == (tuple(users("u")), {1})
    loser = graph.resolve(anonymous("b"), 0, "m", 2).profile
    found = graph.resolve([*users("u"), *anonymous("b")], 5, "x" * 100, 1)
    # Partition 2 knew the loser only: to it, all of the winner is new.
    assert (found.losers, found.gained, found.newcomers) == ((loser,), tuple(anonymous("b")), {2})
    node = graph.nodes[found.profile]
    assert node.absorbed == [(loser, 5, "x" * MERGE_ID_CHARS_MAX)]
    assert node.met == {1, 2, 3}


def test_a_node_s_bytes_give_the_node() -> None:
    node = Node(7, {("user_id", "é"): 3, ("x", ""): -1}, [("prf_1", 5, "m")], {4, 0}, 16 + 7 + 2 + 16 + 1)
    assert codec.decode(codec.encode(node, 99)) == (node, 99)
