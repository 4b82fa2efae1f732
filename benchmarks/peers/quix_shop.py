"""The shop job on Quix Streams: a stateful `apply` that gives several records, at least once, defaults otherwise."""

from typing import Any

from quixstreams import State  # type: ignore[import-not-found]

from benchmarks.peers.job import Progress, arguments, say
from benchmarks.peers.quix_app import application
from benchmarks.peers.shop_profile import new_state, step


def main() -> None:
    job = arguments("shop")
    say("started")
    progress = Progress(events=job.events, warm=job.warm)
    app = application(job)
    events = app.topic(job.topic, key_deserializer="bytes", value_deserializer="json")
    changed = app.topic(job.out, key_serializer="bytes", value_serializer="json")

    def evaluate(
        event: dict[str, Any], key: bytes, timestamp: int, headers: object, state: State
    ) -> list[dict[str, object]]:
        customer = state.get("customer") or new_state()
        changes = step(customer, event, timestamp)
        state.set("customer", customer)
        if progress.step():
            app.stop()  # after this event; the open checkpoint is committed first
        user = event["userId"]
        return [{"user": user, "key": definition, "value": value} for definition, value in changes]

    app.dataframe(events).apply(evaluate, stateful=True, expand=True, metadata=True).to_topic(changed)
    app.run()


if __name__ == "__main__":
    main()
