"""An offset is committable exactly when everything below it is settled."""

from hypothesis import given
from hypothesis import strategies as st

from app.delivery.progress import Progress


@given(st.sets(st.integers(5, 200), max_size=40).map(sorted), st.randoms(use_true_random=False))
def test_committable_is_the_lowest_unsettled_whatever_the_order(offsets, random):
    progress = Progress(0, 5)
    assert progress.committable == 5
    for offset in offsets:
        progress.taken(offset)
        progress.stamp(f"{offset:03}")
    left = set(offsets)
    for offset in random.sample(offsets, len(offsets)):
        assert progress.committable == min(left)
        assert progress.unsettled == len(left)
        assert progress.oldest_at == f"{min(left):03}"
        progress.settle(offset)
        left.remove(offset)
    assert progress.committable == (offsets[-1] + 1 if offsets else 5)
    assert progress.unsettled == 0
    assert progress.oldest_at == ""
