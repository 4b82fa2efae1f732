"""The shop job: events/s of engines that keep the same 30 definitions, and whether they say the same of everybody."""

from collections.abc import Iterator

from benchmarks.bench import Bench, rounds
from benchmarks.cluster import create_topic, fill_stamped, read
from benchmarks.count import Counted, Source, report, timed
from benchmarks.engines import Engine
from benchmarks.events import Truth as Size
from benchmarks.shop.answers import Truth, faults, fold, oracle_faults
from benchmarks.shop.events import events

SAMPLE = 200


async def make_source(bench: Bench, *, events_after_warm: int, warm: int) -> tuple[Source, Truth]:
    """Creates and fills the topic, keyed by user; a record's timestamp is its event's time."""
    topic, count, truth = f"{bench.prefix}-shop", warm + events_after_warm, Truth(SAMPLE)

    def records() -> Iterator[tuple[bytes, bytes, int]]:
        for event in events(bench.seed, count):
            truth.add(event)
            yield event.user.encode(), event.value, event.at_ms

    bench.status.tell(f"producing {count:,} events of the shop to {topic}")
    await create_topic(bench.brokers, topic, of_the_past=True)
    await fill_stamped(bench.brokers, topic, records())
    return Source(topic, warm, Size(events=count)), truth


async def measure(bench: Bench, engine: Engine, source: Source, truth: Truth, name: str) -> Counted:
    """One engine over the whole topic, from an empty disk and a new group."""

    async def check(out: str) -> str:
        found, records = await fold(read(bench.brokers, out), truth.last_at_ms)
        bench.status.tell(f"{engine.title}: {records:,} changes; by the hand-written fold {truth.changes:,}")
        return faults(found, truth.answers)

    out = f"{name}-out"
    await create_topic(bench.brokers, out, of_the_past=True)
    return await timed(bench, engine, "shop", name, source, out, check)


async def run(bench: Bench, *, events_after_warm: int, warm: int) -> str:
    """All rounds; gives the table, and what the oracle says."""
    source, truth = await make_source(bench, events_after_warm=events_after_warm, warm=warm)
    sample = truth.take_sample()
    bench.status.tell(f"asking the oracle about {len(sample)} customers")
    wrong = oracle_faults(truth.answers, sample)
    outcomes = await rounds(
        bench, "shop", bench.engines, lambda engine, name: measure(bench, engine, source, truth, name)
    )
    table = report(bench.engines, outcomes, dict.fromkeys(bench.engines, source))
    verdict = f"**wrong**: {wrong}" if wrong else "right"
    return (
        f"{table}\n\n- {len(truth.last_at_ms):,} customers, {len(truth.answers):,} answers compared,"
        f" {truth.changes / truth.events:.2f} changes an event\n- the oracle on {len(sample)} customers: {verdict}"
    )
