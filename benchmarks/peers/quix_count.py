"""The count job on Quix Streams: a stateful `apply`, at least once, defaults otherwise."""

from quixstreams import State  # type: ignore[import-not-found]

from benchmarks.peers.job import ORDER, Progress, arguments, identify, say
from benchmarks.peers.quix_app import application


def main() -> None:
    job = arguments()
    say("started")
    progress = Progress(events=job.events, warm=job.warm)
    app = application(job)
    events = app.topic(job.topic, key_deserializer="bytes", value_deserializer="json")
    orders = app.topic(job.out, key_serializer="bytes", value_serializer="json")

    def count(event: dict[str, str], state: State) -> dict[str, object] | None:
        name = event["event"]
        counted = state.get(name, 0) + 1
        state.set(name, counted)
        if progress.step():
            app.stop()  # after this event; the open checkpoint is committed first
        return identify(event["userId"], counted) if name == ORDER else None

    stream = app.dataframe(events)
    stream.apply(count, stateful=True).filter(lambda order: order is not None).to_topic(orders)
    app.run()


if __name__ == "__main__":
    main()
