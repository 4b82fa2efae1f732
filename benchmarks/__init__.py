"""Headwater beside stock Faust, Quix Streams and Kafka Streams: the same job, the same topic, the same run.

Takes: an Apache Kafka (the embedded one, unless told otherwise) and the engines of `benchmarks.engines`.
Gives: the tables in benchmarks/README.md; what each of them measures, and how, stands there too.
Promises: an engine with a wrong answer is marked as wrong, whatever its speed.
"""
