"""The HTTP process: Segment's tracking calls in, and what operators ask.

Takes HTTP; gives records of `events.raw`. Promises: 200 on a tracking call only after Kafka's acknowledgement; nothing
but liveness and readiness without a credential; never a redirect, since the SDKs take one for delivered; bounded
memory whatever is sent.
"""
