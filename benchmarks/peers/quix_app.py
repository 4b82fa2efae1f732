"""What the jobs on Quix Streams share: an application with the defaults, at least once."""

import argparse

from quixstreams import Application  # type: ignore[import-not-found]


def application(job: argparse.Namespace) -> Application:
    """A new application for a job's arguments."""
    return Application(
        broker_address=job.brokers,
        consumer_group=job.group,
        state_dir=job.data,
        auto_offset_reset="earliest",
        processing_guarantee="at-least-once",
        loglevel="WARNING",
    )
