"""A simulator of the vendors: what their documentation says of them, as far as our destinations use it.

It was written by those who wrote the destinations, from the same documentation, and knows only the calls that these
make. So it finds what a destination does against that reading (limits, order, losses, repeats, what it makes of
answers), and not where the reading is wrong or a vendor does other than it says: only the vendor itself shows that.

`vendor` holds what all have in common: limits on the simulator's own clock, a ledger of what was taken and from whom,
faults by lot. `events`, `records`, `generic` hold the vendors; `server` serves them all, each below its name. `lists`
and `list_sites` hold the vendors of lists, on the running loop's clock; `list_receiver` puts one behind HTTP.
"""
