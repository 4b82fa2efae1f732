"""The oracle's scenarios of seconds, played in real time: as a configuration, and message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson

from app.clock import SystemClock
from app.topics import partition_of
from tests.faults.deployment import Deployment
from tests.oracle import scenario_people, scenario_queries, scenario_words
from tests.scenarios import Scenario

STARTING_S = 20
"""Six workers start at once, on two cores."""


async def send(deployment: Deployment, messages: list[tuple[int, dict[str, object]]]) -> None:
    """Each at its time, or as soon after it as it goes."""
    topic = deployment.topics.events_raw
    for at_ms, message in messages:
        await asyncio.sleep(max(0, at_ms - SystemClock().now_ms()) / 1_000)
        key = str(message["userId"]).encode()
        record = (key, orjson.dumps(message), ())
        await deployment.producer.send({(topic, partition_of(key, deployment.partitions)): [record]})


def document(made: Scenario, prefix: str, brokers: str, partitions: int) -> dict[str, Any]:
    """The configuration file's, without destinations."""

    def texts(kind: str) -> list[dict[str, object]]:
        return [
            {
                "key": each.key,
                "query": each.query,
                "type": each.scope,
                "include_anonymous_users": each.include_anonymous_users,
            }
            for each in made.definitions
            if each.kind == kind
        ]

    return {
        "kafka": {"brokers": brokers, "topic_prefix": prefix, "partitions": partitions},
        "audiences": texts("audience"),
        "traits": texts("trait"),
    }


@contextmanager
def happening(start_ms: int, span_ms: int) -> Iterator[None]:
    """Have the generator put its people and its dates at another time than its own."""
    modules = (scenario_people, scenario_queries)
    scales, start = dict(scenario_words.SCALES), scenario_words.START_MS
    scenario_words.SCALES["seconds"] = replace(scales["seconds"], span_ms=span_ms)
    for module in modules:
        module.START_MS = start_ms
    try:
        yield
    finally:
        scenario_words.SCALES.update(scales)
        for module in modules:
            module.START_MS = start
