import random

from aiokafka.partitioner import DefaultPartitioner

from app.topics import partition_of


def test_a_key_goes_where_kafkas_own_clients_put_it() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    drawn = random.Random(seed)
    kafkas = DefaultPartitioner()
    for length in range(64):
        key = drawn.randbytes(length)
        for partitions in (1, 4, 7, 128):
            everywhere = list(range(partitions))
            assert partition_of(key, partitions) == kafkas(key, everywhere, everywhere), (key, partitions)
