"""How far time has passed for users is known to every worker, as offsets of a group that has no members."""

from __future__ import annotations

from app.embedded.broker import EmbeddedBroker
from app.kafka.admin import Admin, TopicSpec
from app.stream.passed import Passed
from app.topics import Topics

PARTITIONS = 3


async def test_each_worker_knows_its_own_and_what_the_others_told(broker: EmbeddedBroker, topics: Topics) -> None:
    async with Admin(broker.bootstrap) as admin:
        await admin.ensure_topics([TopicSpec(topics.profiles_in, PARTITIONS, 1)])
        group = f"{topics.prefix}headwater.stream"
        asked = [True]
        one, other = (Passed(topics, PARTITIONS, admin, group, lambda: asked[0]) for _ in range(2))
        one.reached({0: 1_769_853_600_000, 1: 700})
        other.reached({2: 900})
        assert sorted(await other.all()) == [0, 0, 900], "nobody has told anything"
        await one.tell()
        await other.tell()
        assert sorted(await one.all()) == sorted(await other.all()) == [700, 900, 1_769_853_600_000]
        one.reached({0: 1_769_853_600_001, 1: 700})
        asked[0] = False
        await one.tell()
        assert max(await other.all()) == 1_769_853_600_000, "told although nobody asks"
        asked[0] = True
        await one.tell()
        other.reached({1: 800, 2: 900})
        assert sorted(await other.all()) == [800, 900, 1_769_853_600_001], "a partition that changes hands is its own"
