"""A record and a profile in, changes out. Pure.

Takes one profile and one record of its log; gives the changes that the record, and the time before it, brought about.
Promises: the same log gives the same changes with the same ids, wherever and however often it is applied.
"""
