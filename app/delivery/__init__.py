"""From the topics `destinations.<name>` to the vendors.

Takes payload records, batch by batch. Promises, for each destination: every payload is sent until it is delivered or a
dead letter that the broker has acked; a profile's payloads in their order; never above the rate; never to an address
that the guard refuses; bounded memory, and no effect of one destination's trouble on another.

`lane` decides and does nothing; `sender` does what it decides; `exchange` carries out what a destination has to say,
with the token that `tokens` keeps; `transport` is the only one that speaks HTTP.
"""
