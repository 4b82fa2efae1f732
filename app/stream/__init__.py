"""The state runtime: Faust agents that fold events into profiles, and everything that makes a crash harmless.

Takes `events.raw` and `profiles.in`; gives changes and payloads; keeps one RocksDB per partition and its changelog.
"""
