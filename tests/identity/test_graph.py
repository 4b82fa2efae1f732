"""The graph's rules that the oracle does not have: windows, caps, who has to be told."""

from __future__ import annotations

from app.identity import codec
from app.identity.graph import MERGE_ID_CHARS_MAX, NODE_BYTES_MAX, Apart, Graph, Node
from app.identity.regulations import identifier_hash
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


def test_a_split_gives_a_profile_of_its_own_and_a_journal_of_it() -> None:
    graph = Graph(LinkRules())
    profile = graph.resolve([*users("u"), *anonymous("a")], 5, "m", 3).profile
    (a,) = anonymous("a")
    into = graph.split(a, 9, "spl_1")
    assert graph.owners == {("user_id", "u"): profile, a: into}
    node, new = graph.nodes[profile], graph.nodes[into]
    assert (node.ids, node.parted) == ({("user_id", "u"): 5}, [("anonymous_id", identifier_hash(a), into, 9, "spl_1")])
    assert (new.ids, new.apart, new.origin, new.met) == ({a: 5}, {a: Apart(9, profile, 9)}, (profile, "spl_1"), {3})
    assert (node.size_bytes, new.size_bytes) == (codec.decode(codec.encode(node, 1))[0].size_bytes, 16 + 12 + 1)
    assert codec.decode(codec.encode(new, 9)) == (new, 9)
    assert codec.decode(codec.encode(node, 9)) == (node, 9)


def test_what_was_said_before_a_split_links_nothing() -> None:
    graph = Graph(LinkRules())
    both = [*users("u"), *anonymous("a")]
    profile = graph.resolve(both, 5, "m", 0).profile
    into = graph.split(both[1], 9, "spl_1")
    for said_ms in (0, 9):
        found = graph.resolve(both, 20, "m", 0, said_ms)
        # The profile passes it on.
        assert (found.profile, found.losers, found.holds, found.lasts) == (profile, (), tuple(both), False)
    # What nobody knows goes with the one that left.
    found = graph.resolve([*both, *anonymous("new")], 20, "m", 0, 9)
    assert (found.profile, found.gained) == (into, tuple(anonymous("new")))
    found = graph.resolve(both, 20, "m", 0, 10)
    assert (found.profile, found.losers) == (profile, (into,))
    assert graph.nodes[profile].apart == {both[1]: Apart(9, profile, 9)}
    # Out of a profile that it came back to: the newer split counts.
    again = graph.split(both[1], 30, "spl_2")
    assert graph.nodes[again].apart == {both[1]: Apart(30, profile, 9)}
    assert graph.resolve(both, 20, "m", 0).losers == ()


def test_a_split_never_gives_a_name_twice() -> None:
    graph = Graph(LinkRules())
    both = [*users("u"), *anonymous("a")]
    names = {graph.resolve(both, 0, "m", 0).profile}
    for number in range(20):
        names.add(graph.split(both[number % 2], number, f"spl_{number}"))
        graph.resolve(both, number + 1, "m", 0)
    assert len(names) == 21
