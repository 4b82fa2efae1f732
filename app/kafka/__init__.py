"""The only home of aiokafka: connections, a producer of whole batches, a reader of whole partitions, administration.

Takes bytes. Promises: records of one partition in the order given; a failed send is raised, never swallowed; reads with
bounded memory that end at a known offset; topics that are checked, not only created.
"""
