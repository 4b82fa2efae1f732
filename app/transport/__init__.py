"""Faust, as far as it is used: agents, topics, assignment and rebalance over micro-batches. The only home of Faust.

Takes an agent per topic; gives it batches, one partition's records each. Promises: in order, with back-pressure,
nothing committed that the work on it has not said, and a checkpoint before a partition is given up.
"""
