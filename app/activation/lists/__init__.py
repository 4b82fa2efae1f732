"""Lists that a vendor keeps: who is to be on one, who is, and what to send so that the two become the same.

Takes the payloads of a destination. Keeps a table (`state`, by way of `draft`): for each list its members with what
is wanted and what the vendor has by our own doing, the ledger. `membership` takes payloads into it, `run` takes from
it what to send next and puts down what came of that, `drift` compares the ledger with what a vendor shows.
Promises: the newest state of a member wins, whatever came between two runs; only what was added from here is removed;
what may or may not have reached the vendor is sent again; a crash between any two steps changes none of this.
"""
