"""Structured logs on stderr: JSON lines, or plain words on a terminal; secrets never.

Everything that logs by Python's own logging (faust, mode, aiokafka, aiohttp) goes the same way, from WARNING up.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "***"
_KEYS = ("authorization", "secret", "token", "password", "write_key", "api_key", "cookie", "credential")
_VALUE_CHARACTERS_MIN = 6
"""A shorter secret is hidden by its key only: to hide the word `demo` everywhere would hide what logs are for."""
_DEPTH_MAX = 6

_hidden: set[str] = set()


def hide(values: Iterable[str]) -> None:
    """From now on these texts are replaced wherever they are in a log line."""
    _hidden.update(value for value in values if len(value) >= _VALUE_CHARACTERS_MIN)


def configure(role: str, *, level: str = "INFO", stream: TextIO | None = None, terminal: bool | None = None) -> None:
    """Set up logging for this process; a second call replaces the first.

    Args:
        role: Which process this is: `stream-0`, `delivery`, `api`; on every line.
        terminal: Words instead of JSON; by default when the stream is a terminal.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty() if terminal is None else terminal
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _add_role(role),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        cache_logger_on_first_use=False,
    )
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            colors="NO_COLOR" not in os.environ, exception_formatter=structlog.dev.plain_traceback
        )
        if terminal
        else structlog.processors.JSONRenderer(sort_keys=False, default=repr)
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                # Tracebacks become text before redaction, so that a secret in one is found.
                structlog.processors.format_exc_info,
                redact,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("headwater").setLevel(level)
    logging.captureWarnings(True)


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """The logger of one part of Headwater: `get("restore").info("restored", partition=3, profiles=12_000)`."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(f"headwater.{name}")
    return logger


def redact(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """The line without secrets: values of telling keys, and hidden texts anywhere."""
    return {key: _clean(key, value, 0) for key, value in event.items()}


def _clean(key: str, value: object, depth: int) -> object:
    lowered = key.lower()
    if value not in (None, "", True, False) and any(part in lowered for part in _KEYS):
        return REDACTED
    if isinstance(value, str):
        return _without_hidden(value)
    if isinstance(value, bool | int | float) or value is None:
        return value
    if depth < _DEPTH_MAX:
        if isinstance(value, Mapping):
            return {str(name): _clean(str(name), item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [_clean("", item, depth + 1) for item in value]
    return _without_hidden(value.decode(errors="replace") if isinstance(value, bytes) else repr(value))


def _without_hidden(text: str) -> str:
    for secret in _hidden:
        if secret in text:
            text = text.replace(secret, REDACTED)
    return text


def _add_role(role: str) -> Processor:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["role"] = role
        return event

    return add
