"""What workers have left behind on a broker, in the form in which a simulated stream's is checked."""

from __future__ import annotations

from app.identity.rules import IdentityRules
from app.stages import envelope, links
from tests.faults.deployment import Deployment
from tests.simulation.log import Log, Record
from tests.simulation.remains import TOPICS, Remains, Sent
from tests.simulation.store import SimStore

OF_EACH_PARTITION = ("events_raw", "events_dead", "profiles_in", "identity_assignments", "changes")


async def remains_of(deployment: Deployment, rules: IdentityRules, crashes: int) -> Remains:
    """All of stopped workers that were killed so many times."""
    log = await _log_of(deployment)
    partitions = range(deployment.partitions)
    raw = [record for partition in partitions for record in log.partitions[TOPICS.events_raw, partition]]
    return Remains(
        partitions=len(partitions),
        log=log,
        # Within a partition in its order: the sort is stable.
        received=sorted(raw, key=lambda record: record.timestamp),
        taken=_taken(log),
        rules=[rules],
        graph=_store(deployment, "graph"),
        known=[_store(deployment, f"identifiers-{partition}") for partition in partitions],
        profiles={key: data for store in deployment.stored() for key, data in store.profiles.items()},
        crashes=crashes,
        resolve_crashes=crashes,
    )


async def _log_of(deployment: Deployment) -> Log:
    """What the checks look at, under the topics' names without a prefix."""
    log = Log()
    places = dict.fromkeys(OF_EACH_PARTITION, deployment.partitions) | {"identity_links": 1}
    for name, partitions in places.items():
        topic = getattr(deployment.topics, name)
        for partition, records in enumerate(await deployment.read(topic, partitions)):
            log.partitions[getattr(TOPICS, name), partition] = [
                Record(each.offset, each.key, each.value, each.timestamp, each.headers) for each in records
            ]
    return log


def _taken(log: Log) -> list[Sent]:
    """Messages in the order of their decisions: of two with one time stamp, what went straight may know of the other.

    A request has the time of whoever asked, which is before the broker's, and only its place says which was first.
    """
    found: list[tuple[int, int, Sent]] = []
    newest_ms = 0
    for record in log.partitions[TOPICS.identity_links, 0]:
        asked = links.decode(record.value)
        newest_ms = max(newest_ms, record.timestamp)
        if type(asked) is links.Link:
            found.append((newest_ms, 0, (asked.id, asked.at)))
    for record in log.all_of(TOPICS.profiles_in):
        body = envelope.decode(record.value)
        if type(body) is envelope.Event:
            found.append((record.timestamp, 1, (body.id, body.at)))
    found.sort(key=lambda each: each[:2])
    return list(dict.fromkeys(sent for _, _, sent in found))


def _store(deployment: Deployment, name: str) -> SimStore:
    store = SimStore()
    store.data = deployment.held(name)
    return store
