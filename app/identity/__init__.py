"""Who an event belongs to: what identifies in a message, and how identifiers make profiles. Pure.

Takes messages, rules and the part of the graph that a batch touches; gives identifiers and decisions. Promises: the
same requests in the same order give the same graph, an identifier belongs to one profile, and no limit is broken.
"""
