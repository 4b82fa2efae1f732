"""A simulator of the vendors: what their documentation says of them, written without a look at what we send.

`vendor` holds what all have in common: limits on the simulator's own clock, a ledger of what was taken and from whom,
faults by lot. `events`, `records`, `generic` hold the vendors; `server` serves them all, each below its name.
"""
