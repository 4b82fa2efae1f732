"""The steps of the stream as plain objects: a batch of records in; writes, outputs and their order out.

Takes records of one partition, in order; gives a `Work`. Promises: nothing has happened yet when a Work is returned,
and the same records on the same state give the same Work. The runtime and the simulation commit it by one protocol.
"""
