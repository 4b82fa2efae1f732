"""Why a broker did not start: its last words, and what they probably mean."""

import re
import signal

from app.errors import HeadwaterError

LAST_LINES = 15


class BrokerError(HeadwaterError):
    """The embedded broker does not run; the operator mends the cause that the message names."""


CAUSES: tuple[tuple[str, str], ...] = (
    (r"Address already in use|BindException", "a port is in use by another process"),
    (
        r"Failed to acquire lock on file|OverlappingFileLock",
        "its directory is used by another broker; stop that one, or use another data directory",
    ),
    (
        r"OutOfMemoryError|Could not reserve enough space|Cannot allocate memory|insufficient memory|Too small .* heap",
        "not enough memory; give it more (heap_mb), or free some on this machine",
    ),
    (r"No space left on device", "the disk is full; free some space"),
    (r"Permission denied|AccessDeniedException", "its directory cannot be written; check who owns it"),
    (
        r"Corrupt(Record|Index)Exception|[Cc]luster\.?[Ii]d|meta\.properties|KafkaStorage|log dirs .* have failed",
        "its log directory is damaged or another cluster's; bring back a copy, or move it away to start empty",
    ),
    (r"ConfigException|Invalid value .* for configuration", "a property is wrong; see `properties`"),
    (r"UnsatisfiedLinkError|wrong ELF class|GLIBC", "a native library does not fit this machine"),
    (r"ClassNotFoundException|NoClassDefFoundError", "a jar is missing; write the lock file anew"),
)


def port_clash(last_words: str) -> bool:
    """Whether another process took a port between our choosing it and the broker's listening on it."""
    return re.search(CAUSES[0][0], last_words) is not None


def broker_failed(what: str, exit_code: int | None, last_words: str) -> BrokerError:
    """The error for a start that failed.

    Args:
        what: What failed, as in "the broker".
        exit_code: None while it still runs; negative is the signal that ended it.
        last_words: The end of its logs.
    """
    if exit_code is None:
        how = "did not answer in time"
    elif exit_code < 0:
        how = f"was ended by {signal.Signals(-exit_code).name}"
    else:
        how = f"ended with exit code {exit_code}"
    lines = last_words.splitlines()
    # Stack traces push the words that matter out of sight; the cause line stays.
    told = [line for line in lines if not re.match(r"\s+at |\s*\.\.\. \d+ more", line)][-LAST_LINES:]
    cause = next((cause for pattern, cause in CAUSES if re.search(pattern, last_words)), "")
    if not cause and exit_code == -signal.SIGKILL:
        cause = "something killed it, perhaps the kernel for want of memory"
    probable = f"; probably {cause}" if cause else ""
    said = "\n  ".join(told) if told else "(nothing)"
    return BrokerError(f"{what} {how}{probable}. Its last words:\n  {said}")
