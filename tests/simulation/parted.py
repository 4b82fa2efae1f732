"""Dense worlds: little else than one person who is split, linked and split again, while resolvers are killed.

What a message counts with is one profile, whoever sent it how often and whatever it had heard.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import orjson

from app.definitions.model import Catalog, Definition
from app.identity.rules import Identifier, IdentityRules
from app.stages import links
from tests.simulation import regulated
from tests.simulation.hosts import TOPICS, Host
from tests.simulation.regulated import DAY_MS, HOUR_MS, PARTITIONS, START_MS, names_of
from tests.simulation.stories import StoryWorld, profiles_of
from tests.simulation.world import Arrival, Faults, Group

CATALOG = Catalog(
    definitions=(
        Definition("orders", "trait", "event('Order').count()"),
        Definition("notes", "trait", "event('Order').unique(property('note'))"),
    ),
    destination_types=(("lake", "kafka"),),
)
MOSTLY_RESOLVERS: tuple[Group, ...] = ("resolve", "resolve", "resolve", "all", "link", "compute")
SHAPES = (
    Faults(crash=0.05, dies=("resolve",), lag=0.3, slow=("news",), slow_commits=True),
    Faults(crash=0.03, wipe=0.3, dies=MOSTLY_RESOLVERS, lag=0.2, slow=("compute",), slow_commits=True),
    Faults(crash=0.03, wipe=0.3, dies=MOSTLY_RESOLVERS, lag=0.2, slow=("link",), slow_commits=True),
    Faults(crash=0.02, wipe=0.3, dies=MOSTLY_RESOLVERS, lag=0.2, slow=("news", "compute"), slow_commits=True),
    Faults(crash=0.05, wipe=0.3, dies=MOSTLY_RESOLVERS, lag=0.05, slow_commits=True),
    Faults(
        crash=0.02, wipe=0.5, dies=MOSTLY_RESOLVERS, lag=0.3, slow=("news", "link", "compute"), slow_commits=True,
        resend=True,
    ),
)  # fmt: skip


def arrivals(random: Random) -> Sequence[Arrival]:
    """One person's messages by all of their names, and splits of any of these."""
    share, longest_ms = random.choice((0.1, 0.2, 0.3)), random.choice((1_000, HOUR_MS // 2))
    made: list[Arrival] = []
    at_ms = START_MS
    for number in range(random.choice((12, 25, 40))):
        at_ms += random.choice((1, 1, 2, 1_000, longest_ms))
        if random.random() < share:
            made.append(Arrival(at_ms, -1, links.split(f"spl_{number:024x}", random.choice(names_of(0)))))
        else:
            raw = orjson.dumps(regulated.message(random, 0, number))
            made.append(Arrival(at_ms, random.randrange(PARTITIONS), raw))
    return made


def run_parted(seed: int) -> Counter[str]:
    """One world; gives how many splits and kills there were, and in how many somebody was split more than once."""
    told = arrivals(Random(seed))
    world = StoryWorld(
        seed, CATALOG, list(told), told[-1].at_ms + DAY_MS, partitions=PARTITIONS, faults=SHAPES[seed % len(SHAPES)],
        rules=IdentityRules(),
    )  # fmt: skip
    try:
        world.run()
        return check(world)
    except Exception as error:
        error.add_note(f"replay with: SEED={seed} python -m pytest tests/simulation -k one_parted")
        raise


class Told(StoryWorld):
    """A world in which everything comes to rest after each thing that happens; what resolvers have read is never
    committed, so who is killed reads all of it again."""

    def __init__(self) -> None:
        super().__init__(0, CATALOG, [], START_MS, partitions=PARTITIONS, rules=IdentityRules())
        self.splits = 0
        self.hears = True
        """Whether resolvers hear what `link` tells them."""
        self._rest()

    def say(self, id_: str, **fields: object) -> None:
        """An order."""
        body = {"messageId": id_, "type": "track", "event": "Order", "properties": {"note": id_}, **fields}
        self.now_ms += 1_000
        offset = self.log.append(TOPICS.events_raw, 0, None, orjson.dumps(body), self.now_ms)
        self.received.append(self.log.partitions[TOPICS.events_raw, 0][offset])
        self._rest()

    def split(self, identifier: Identifier) -> None:
        """An identifier leaves its profile."""
        self.splits += 1
        self.now_ms += 1_000
        self.log.append(TOPICS.identity_links, 0, None, links.split(f"spl_{self.splits:024x}", identifier), self.now_ms)
        self._rest()

    def kill_resolvers(self) -> None:
        self._kill([*self.feeders, *self.resolvers])
        self._rest()

    def _rest(self) -> None:
        while True:
            while any(self._go_on(host) for host in self.hosts):
                pass
            under_way = [(host, each) for host in self.computers for each in self._under_way(host)]
            if not under_way:
                return
            self._carry_out(*under_way[0])

    def _go_on(self, host: Host) -> bool:
        if not host.has_more or (host in self.feeders and not self.hears):
            return False
        host.begin(1_000)
        while host.running:
            host.carry_on()
        if host not in self.resolvers:
            host.committed = host.committable
        return True


def check(world: StoryWorld) -> Counter[str]:
    """That each message counts with one profile; gives how often what came out."""
    bodies = (orjson.loads(record.value or b"") for record in world.received)
    sent = {body["properties"]["note"] for body in bodies if body.get("event") == "Order"}
    graph, users = world.remains().identity(), profiles_of(world.computers)
    living = [users[profile].emitted for profile in graph.nodes if profile in users]
    notes = Counter(note for emitted in living for note in emitted.get("notes") or ())
    wrong = {note: notes[note] for note in sent if notes[note] != 1}
    assert not wrong, f"with how many profiles they count: {wrong}"
    counted = sum(emitted.get("orders") or 0 for emitted in living)
    assert counted == len(sent), f"{counted} orders are counted instead of {len(sent)}"
    splits = sum(len(node.parted) for node in graph.nodes.values())
    return Counter(splits=splits, kills=world.resolve_crashes, split_again=splits > 1)
