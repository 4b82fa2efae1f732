"""Records go out in order, none before its time, those of one tick together."""

from collections.abc import Sequence

from app.cli.demo.board import Board
from app.cli.demo.feeder import BATCH_RECORDS_MAX, KeyValue, feed
from app.cli.demo.shop import DELAY_MS_MAX
from app.cli.demo.truth import truth_of
from app.clock import SystemClock
from app.ids import TimeMs


class HandClock:
    """Moves when it is moved."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def now_ms(self) -> TimeMs:
        return TimeMs(int(self.at_s * 1_000))

    def monotonic_s(self) -> float:
        return self.at_s


async def test_records_go_out_in_order_and_not_before_their_time() -> None:
    board = Board(truth_of(()), clock=SystemClock())
    records = [(at_ms, b"k%d" % at_ms, None if at_ms % 2 else b"v") for at_ms in (0, 1, 5, 60, 61, 130)]
    sent: list[tuple[int, list[bytes]]] = []

    async def post(batch: Sequence[KeyValue]) -> None:
        sent.append((board.elapsed_ms, [key for key, _ in batch]))

    board.start()
    await feed(records, post, board)
    assert [keys for _, keys in sent] == [[b"k0", b"k1", b"k5"], [b"k60", b"k61"], [b"k130"]]
    for at_ms, keys in sent:
        assert at_ms + 1 >= max(int(key[1:]) for key in keys)
    assert board.sent_count == board.in_time_count == 6


async def test_after_a_stall_batches_are_bounded() -> None:
    board = Board(truth_of(()), clock=SystemClock())
    sizes: list[int] = []

    async def post(batch: Sequence[KeyValue]) -> None:
        sizes.append(len(batch))

    board.start()
    await feed([(0, b"k", b"v")] * (2 * BATCH_RECORDS_MAX + 1), post, board)
    assert sizes == [BATCH_RECORDS_MAX, BATCH_RECORDS_MAX, 1]


async def test_what_a_slow_broker_confirms_too_late_is_not_in_time() -> None:
    clock = HandClock()
    board = Board(truth_of(()), clock=clock)

    async def post(batch: Sequence[KeyValue]) -> None:
        if batch[0][0] == b"slow":
            clock.at_s += 0.1 + DELAY_MS_MAX / 1_000

    board.start()
    await feed([(0, b"fast", b"v"), (20, b"slow", b"v")], post, board)
    assert (board.sent_count, board.in_time_count) == (2, 1)
