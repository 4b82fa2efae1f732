"""From a change to a vendor's request and from its reply to an outcome; all of it pure.

Takes changes (`app.compute.changes`) and the catalogue. Gives payload records for the topics `destinations.<name>`
(`router`), and for a sender: requests built from payloads (`destination`, `destinations`) and outcomes read from
replies (`outcome`). A payload exists before the topic and a request after it, so secrets never reach Kafka.
"""
