"""The topic itself is the delivery: one Segment call a record, key = profile id, to be deduplicated by `id`."""

from dataclasses import dataclass

from app.activation.destination import Destination, Limits


@dataclass(frozen=True, slots=True)
class Settings:
    """None of its own."""


DESTINATION = Destination(
    name="kafka", settings=Settings, limits=Limits(requests_per_s=0.0, in_flight_max=0), calls=None
)
