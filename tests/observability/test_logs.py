"""Logs are JSON lines, from every library, and no secret is on one."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from app.observability import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    handlers, level = logging.getLogger().handlers[:], logging.getLogger().level
    stream = io.StringIO()
    logs.configure("stream-0", stream=stream)
    yield stream
    logging.captureWarnings(False)
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    logs._hidden.clear()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_what_where_and_when(stream: io.StringIO) -> None:
    logs.get("restore").info("restored", partition=3)
    (line,) = lines(stream)
    assert line.pop("at")
    assert line == {
        "event": "restored",
        "partition": 3,
        "level": "info",
        "logger": "headwater.restore",
        "role": "stream-0",
    }


def test_debug_is_off_and_libraries_speak_from_warning_up(stream: io.StringIO) -> None:
    logs.get("restore").debug("detail")
    logging.getLogger("aiokafka").info("chatter")
    logging.getLogger("faust.transport").warning("trouble with %s", "a broker")
    (line,) = lines(stream)
    assert line["event"] == "trouble with a broker"
    assert line["logger"] == "faust.transport"


def test_no_secret_is_on_any_line(stream: io.StringIO) -> None:
    canary = "canary-31f0"
    logs.hide([canary])
    log = logs.get("api")
    log.info(f"called with {canary}", headers={"X-Custom": canary}, items=[("a", canary)], raw=canary.encode())
    log.info("called", authorization="Basic short", nested={"api_token": "x1"}, write_key="k")
    try:
        raise ValueError(f"bad value {canary}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("aiohttp.server").exception("failed too")
    logging.getLogger("mode").error("with args %s", canary, extra={"more": canary})
    text = stream.getvalue()
    assert canary not in text
    assert "Basic short" not in text
    assert "x1" not in text
    assert "ValueError: bad value ***" in text
    assert len(lines(stream)) == 5


def test_a_short_secret_is_hidden_by_its_key_only(stream: io.StringIO) -> None:
    logs.hide(["demo"])
    logs.get("api").info("space spa_demo", token="demo")
    (line,) = lines(stream)
    assert (line["event"], line["token"]) == ("space spa_demo", "***")


def test_an_object_that_cannot_be_json_is_shown_by_its_repr(stream: io.StringIO) -> None:
    logs.get("api").info("odd", value=object)
    assert lines(stream)[0]["value"] == "<class 'object'>"


def test_a_terminal_gets_words(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    logs.configure("api", stream=stream, terminal=True)
    logs.get("api").info("listening", port=1)
    assert "listening" in stream.getvalue()
    assert "{" not in stream.getvalue()
    assert "\x1b" not in stream.getvalue()
