"""The shop job: 20 audiences and 10 computed traits over a shop's events, which use all of the language for users.

Takes: engines that run the job (`benchmarks.engines.shop`). Gives: sections of benchmarks/README.md, shop and growth.
Promises: engines that disagree, or differ from the oracle for a sample of users, are marked as wrong.
"""
