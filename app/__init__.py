"""Headwater: customer events on Kafka in, audience memberships and computed traits out, in the stream."""

__version__ = "0.1.0"
