"""The count job on stock Faust: an agent, a table in RocksDB (rocksdict), at least once, defaults otherwise."""

import signal
import sys

import faust
from faust.sensors import Sensor
from faust.types import AppT

from benchmarks.peers.job import ORDER, Progress, arguments, identify, say

PARTITIONS = 4


class Restoring(Sensor):  # type: ignore[misc]
    """Tells when recovery begins and ends."""

    def on_rebalance_return(self, app: AppT, state: dict[str, object]) -> None:
        say("restoring")

    def on_rebalance_end(self, app: AppT, state: dict[str, object]) -> None:
        say("restored")


def main() -> None:
    job = arguments()
    say("started")
    progress = Progress(events=job.events, warm=job.warm)
    app = faust.App(
        job.group,
        broker=f"kafka://{job.brokers}",
        store="rocksdb://",
        datadir=job.data,
        processing_guarantee="at_least_once",
        topic_partitions=PARTITIONS,
        topic_replication_factor=1,
        web_enabled=False,
    )
    app.sensors.add(Restoring())
    events = app.topic(job.topic, value_serializer="json")
    orders = app.topic(job.out, value_serializer="json")
    counts = app.Table("counts", default=dict, options={"driver": "rocksdict"})

    @app.agent(events)  # type: ignore[untyped-decorator]
    async def count(stream: faust.StreamT) -> None:
        async for event in stream:
            user, name = event["userId"], event["event"]
            counted = counts[user]
            counted[name] = counted.get(name, 0) + 1
            counts[user] = counted  # only an assignment reaches the changelog
            if name == ORDER:
                await orders.send(key=user, value=identify(user, counted[name]))
            if progress.step():
                signal.raise_signal(signal.SIGTERM)  # the worker's own way to stop

    # Its spinner draws on "stdout", which belongs to the harness here.
    faust.Worker(app, loglevel="warning", stdout=sys.stderr, redirect_stdouts=False).execute_from_commandline()


if __name__ == "__main__":
    main()
