import pytest

from app.embedded.failure import LAST_LINES, broker_failed, port_clash


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ("java.net.BindException: Address already in use", "port is in use"),
        ("KafkaException: Failed to acquire lock on file .lock in /d", "used by another broker"),
        ("java.lang.OutOfMemoryError: Java heap space", "not enough memory"),
        ("There is insufficient memory for the Java Runtime Environment", "not enough memory"),
        ("java.io.IOException: No space left on device", "disk is full"),
        ("java.nio.file.AccessDeniedException: /d/log", "cannot be written"),
        ("RuntimeException: Invalid cluster.id in: /d/meta.properties", "damaged or another cluster's"),
        ("ConfigException: Invalid value x for configuration log.segment.bytes", "a property is wrong"),
        ("ERROR something nobody foresaw", ""),
    ],
)
def test_the_probable_cause_is_named(words: str, cause: str) -> None:
    message = str(broker_failed("the broker", 1, words))
    assert "exit code 1" in message
    assert words in message
    assert cause in message
    assert ("probably" in message) == bool(cause)


def test_a_broker_that_was_killed_says_by_what() -> None:
    assert "SIGKILL" in str(broker_failed("the broker", -9, ""))
    assert "want of memory" in str(broker_failed("the broker", -9, ""))


def test_a_stack_trace_does_not_hide_the_cause() -> None:
    trace = "\n".join(["ERROR the cause", *["    at some.Class.method(Class.java:1)"] * 100, "\t... 7 more"])
    assert "ERROR the cause" in str(broker_failed("the broker", 1, trace))


def test_the_words_are_bounded() -> None:
    message = str(broker_failed("the broker", None, "\n".join(f"line {at}." for at in range(1000))))
    assert "did not answer in time" in message
    assert "line 999." in message
    assert len(message.splitlines()) == LAST_LINES + 1


def test_only_a_port_in_use_is_a_clash() -> None:
    assert port_clash("Caused by: java.net.BindException: Address already in use")
    assert not port_clash("OutOfMemoryError")
