"""The view: plain lines off a terminal, a live page on one."""

from io import StringIO

import pytest
from rich.console import Console

from app.cli.demo.board import Board
from app.cli.demo.receiver import Value
from app.cli.demo.sample import CALLS, TRAITS
from app.cli.demo.shop import plan
from app.cli.demo.truth import truth_of
from app.cli.demo.view import LiveView, PlainView, open_view, sparkline
from app.ids import TimeMs


class HandClock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at_ms = 1_767_225_600_000

    def now_ms(self) -> TimeMs:
        return TimeMs(self.at_ms)

    def monotonic_s(self) -> float:
        return self.at_ms / 1_000


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def board(clock: HandClock) -> Board:
    return Board(truth_of(plan(seed=2, rate=40, seconds=20).sent), clock=clock)


def _run(board: Board, clock: HandClock) -> None:
    board.start()
    for second in range(10):
        clock.at_ms += 1_000
        board.sent_count += 40
        for who in range(second):
            board.on_value(Value(f"user_id:user-{who}", "vip", "identify", second % 2 == 0, second))
        board.sample()


def test_figures_follow_what_comes_in(board: Board, clock: HandClock) -> None:
    _run(board, clock)
    assert board.events_per_s == pytest.approx(40)
    assert list(board.sizes["vip"]) == [0, 0, 2, 0, 4, 0, 6, 0, 8, 0]
    assert board.behind_count > 0
    assert board.last_changes[-1].key == "vip"


def test_latency_is_from_the_truths_instant_to_the_delivery(board: Board, clock: HandClock) -> None:
    truth = truth_of(plan(seed=2, rate=40, seconds=20).sent)
    who, (entered, left) = next(
        (who, flips)
        for who, told in truth.told.items()
        if len(flips := told.get("looking_around", ())) == 2 and flips[1].by_time
    )
    start_ms = board.start()
    clock.at_ms = start_ms + entered.at_ms + 70
    board.on_value(Value(who, "looking_around", "track", True, 0))
    clock.at_ms = start_ms + left.at_ms + 300
    board.on_value(Value(who, "looking_around", "track", False, 1))
    assert board.latency(by_time=False).p50_ms == pytest.approx(70, abs=1)
    assert board.latency(by_time=True).p99_ms == pytest.approx(300, abs=1)


def test_a_person_is_counted_once(board: Board, clock: HandClock) -> None:
    """Also while the anonymous id has heard of an entry, and the user id has just been told of it once more."""
    truth = board.truth
    who, names = next(
        (who, names) for who, names in sorted(truth.before.items()) if "looking_around" in truth.told[who]
    )
    board.start()

    def told(name: str, value: bool) -> tuple[int, int]:
        board.on_value(Value(name, "looking_around", "track", value, 0))
        return board.members_count["looking_around"], len(board.last_changes)

    assert told(names[0], True) == (1, 1)
    assert told(who, True) == (1, 1), "no change"
    assert told(who, False) == (0, 2)
    assert told(who, True) == (1, 3)


def test_sizes_are_right_when_all_has_come(clock: HandClock) -> None:
    truth = truth_of(plan(seed=3, rate=80, seconds=40).sent)
    assert truth.merged_count > 5
    board = Board(truth, clock=clock)
    board.start()
    values = [
        (flip.at_ms, Value(who, key, call, flip.value, position))
        for who, told in truth.told.items()
        for key, flips in told.items()
        for position, flip in enumerate(flips)
        for call in CALLS[key]
    ]
    for _, value in sorted(values, key=lambda each: each[0]):
        board.on_value(value)
    gone = {each for before in truth.before.values() for each in before}
    living = [told for who, told in truth.told.items() if who not in gone]
    for key, count in board.members_count.items():
        assert count == sum(key in told and told[key][-1].value is True for told in living), key
    for key in TRAITS:
        held = {who: told[key][-1].value for who, told in truth.told.items() if key in told and who not in gone}
        assert board.values[key] == held, key


def test_without_a_terminal_there_is_a_plain_line_every_few_seconds(board: Board, clock: HandClock) -> None:
    out = StringIO()
    with open_view(Console(file=out), seconds=20) as view:
        assert isinstance(view, PlainView)
        view.say("starting the broker")
        board.start()
        for _ in range(40):
            clock.at_ms += 250
            view.show(board)
    lines = out.getvalue().splitlines()
    assert lines[0] == "starting the broker"
    assert len(lines) == 3
    assert "events/s" in lines[1]
    assert "looking_around 0" in lines[1]
    assert "\x1b" not in out.getvalue()


def test_on_a_terminal_there_is_a_page(board: Board, clock: HandClock) -> None:
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=120, height=40)
    with open_view(console, seconds=20) as view:
        assert isinstance(view, LiveView)
        view.say("events flow")
        _run(board, clock)
        view.show(board)
    for word in ("looking_around", "events/s", "lag", "latency", "last changes", "revenue_total", "retried"):
        assert word in out.getvalue(), word


def test_no_color_is_honoured(board: Board, clock: HandClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = StringIO()
    with open_view(Console(file=out, force_terminal=True, width=120, height=40), seconds=20) as view:
        _run(board, clock)
        view.show(board)
    assert "\x1b[36m" not in out.getvalue()
    assert "\x1b[1;36m" not in out.getvalue()


def test_a_sparkline_is_scaled_to_its_tallest_bar() -> None:
    assert sparkline([9, 0, 1, 2, 4], width=4) == "▁▃▅█"
    assert sparkline([0, 0], width=4) == "▁▁"
