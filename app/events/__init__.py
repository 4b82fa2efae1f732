"""Customer events: what one is, when it happened, and the bytes it comes in. Pure: no I/O, no clock.

Takes the bytes of a record and gives a checked message, or says in closed words why it is none.
"""
