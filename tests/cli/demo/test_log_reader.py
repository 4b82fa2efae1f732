"""What is read back from the log."""

from base64 import b64encode

import orjson
import pytest

from app.cli.demo.log_reader import DeadLetter, LogRead


def _change(value: object, *identifiers: tuple[str, str]) -> bytes:
    held = [{"type": kind, "value": text} for kind, text in identifiers]
    return orjson.dumps({"profile": "prf_1", "identifiers": held, "key": "vip", "value": value, "previous": None})


def test_changes_are_kept_in_order_and_repeats_left_out() -> None:
    log = LogRead()
    user, device = ("user_id", "u1"), ("anonymous_id", "a1")
    for event_id, value in ((b"1", True), (b"2", False), (b"1", True)):
        log.take_change(_change(value, user, device, ("email", "e")), [("ce_id", event_id)])
    log.take_change(_change(3, device, ("anonymous_id", "a2")), [("ce_id", b"3")])
    assert log.changes == {("user_id:u1", "vip"): [True, False], ("anonymous_id:a1", "vip"): [3]}
    assert log.changes_count == 3


def test_what_is_no_change_is_an_error() -> None:
    with pytest.raises(KeyError):
        LogRead().take_change(_change(True, ("user_id", "u1")), [])


def test_dead_letters_give_back_their_originals() -> None:
    log = LogRead()
    original = b64encode(b"\xff{").decode()
    log.take_dead(orjson.dumps({"reason": "not_json", "message": "cut", "original": original}))
    log.take_dead(orjson.dumps({"reason": "null_value", "message": "empty", "original": None}))
    assert log.dead == [DeadLetter(b"\xff{", "not_json: cut"), DeadLetter(None, "null_value: empty")]
