"""The graph against the oracle's directory on random sequences of messages: the same profiles, the same merges.

HEADWATER_SEQUENCES=5000 pytest tests/identity -k equals_oracle
One seed again: SEED=1234 pytest tests/identity -k one_sequence
"""

from __future__ import annotations

import os
from collections import Counter
from random import Random

import pytest

from app.identity.graph import Graph
from app.identity.identifiers import Identifiers, with_previous
from app.identity.rules import Identifier, IdentityRules, Limit, LinkRules
from tests.identity.messages import scenario_messages, tangled_messages
from tests.oracle.profiles import Directory
from tests.oracle.profiles import IdentityRules as OracleRules

BLOCKS = 4
SEQUENCES = int(os.environ.get("HEADWATER_SEQUENCES", "300"))
FIRST_SEED = int(os.environ.get("HEADWATER_SEED", "500000"))


def rules_for(random: Random) -> tuple[LinkRules, OracleRules]:
    """The same rules for both; the usual ones every other time."""
    if random.random() < 0.5:
        return LinkRules(), OracleRules()
    limits = {kind: random.randint(1, 3) for kind in ("user_id", "email", "anonymous_id") if random.random() < 0.7}
    default = random.randint(1, 6)
    priority = tuple(random.sample(("user_id", "email", "anonymous_id", "crm"), random.randint(0, 4)))
    ours = LinkRules({kind: Limit(count) for kind, count in limits.items()}, Limit(default), priority)
    return ours, OracleRules(limits=limits, default_limit=default, priority=priority)


def run_and_check(seed: int) -> Counter[str]:
    """One sequence; gives how often what came out."""
    random = Random(seed)
    link, oracle_rules = rules_for(random)
    tangled = seed % 3 != 0
    messages = tangled_messages(random, 60) if tangled else scenario_messages(seed)
    identifiers, graph, oracle = Identifiers(IdentityRules(link=link)), Graph(link), Directory(oracle_rules)
    ours: dict[str, str] = {}
    """The oracle's profile → ours."""
    counts: Counter[str] = Counter()
    for at, message in enumerate(messages):
        usable = identifiers.of(message)
        if (previous := identifiers.previous(message)) is not None:
            kind = "user_id" if ("user_id", previous) in graph.owners else "anonymous_id"
            usable = with_previous(usable, (kind, previous), link)
        expected = oracle.resolve(message)
        if not usable:
            assert expected is None, f"message {at}: {message}"
            counts["nobody"] += 1
            continue
        assert expected is not None, f"message {at}: {message}"
        found = graph.resolve(usable, at, f"m{at}", random.randrange(4))
        ours.setdefault(expected.profile, found.profile)
        where = f"message {at}: {message}: {found}, expected {expected}"
        assert found.profile == ours[expected.profile], where
        assert list(found.losers) == [ours[loser] for loser in expected.losers], where
        counts["created" if found.is_new else "merged" if found.losers else "added" if found.gained else "known"] += 1
        counts["aside"] += len(found.holds) < len(usable)
        check_invariants(graph)
    held = {profile: list(node.ids) for profile, node in graph.nodes.items()}
    wanted = {ours[one.id]: [(i.type, i.value) for i in one.identifiers] for one in oracle.profiles.values()}
    assert held == wanted
    assert len(set(ours.values())) == len(ours)
    return counts


def check_invariants(graph: Graph) -> None:
    """An identifier in one profile, the index that of the profiles, no limit broken."""
    index: dict[Identifier, str] = {}
    for profile, node in graph.nodes.items():
        assert not index.keys() & node.ids.keys()
        index.update(dict.fromkeys(node.ids, profile))
        kinds = Counter(kind for kind, _ in node.ids)
        assert all(count <= graph.rules.limit(kind).values for kind, count in kinds.items())
    assert index == graph.owners


@pytest.mark.parametrize("block", range(BLOCKS))
def test_the_graph_equals_the_oracle(block: int) -> None:
    # Block by block, so that several processes can share the work.
    seeds = range(FIRST_SEED + block, FIRST_SEED + SEQUENCES, BLOCKS)
    print(f"\n{seeds}")
    counts: Counter[str] = Counter()
    for seed in seeds:
        try:
            counts += run_and_check(seed)
        except Exception as error:
            error.add_note(f"replay with: SEED={seed} python -m pytest tests/identity -k one_sequence")
            raise
    print(dict(counts))
    assert min(counts[each] for each in ("created", "added", "merged", "known", "aside", "nobody")) > len(seeds)


@pytest.mark.skipif("SEED" not in os.environ, reason="for replaying a seed that failed")
def test_one_sequence() -> None:
    run_and_check(int(os.environ["SEED"]))
