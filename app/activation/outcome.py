"""What a reply means for a payload. Judging is apart from the policy of waiting, which is the sender's.

| reply | outcome | who acts |
|---|---|---|
| 2xx | delivered | nobody |
| 408, 423, 425, 429, 5xx but 501 and 505; no reply at all | retry | nobody, until it has gone on for hours |
| 401, 403; an address that may not be connected to | pause | the operator: new credentials, another address |
| 410 | disabled | the operator: the receiver wants nothing more |
| 3xx, other 4xx, 501, 505 | rejected | whoever reads the dead letters |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum
from math import inf


class Reason(StrEnum):
    """Why a payload was not delivered, or not yet; a metric label, so the list is closed."""

    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    TIMEOUT = "timeout"
    CONNECTION = "connection"
    DNS = "dns"
    TLS = "tls"
    ADDRESS_REFUSED = "address_refused"
    UNAUTHORIZED = "unauthorized"
    GONE = "gone"
    REDIRECT = "redirect"
    TOO_LARGE = "too_large"
    REFUSED = "refused"
    NOT_SUPPORTED = "not_supported"
    UNREADABLE = "unreadable"
    NO_IDENTIFIER = "no_identifier"
    UNSUPPORTED_CALL = "unsupported_call"
    REPEATED = "repeated"
    ERASED = "erased"
    EXPIRED = "expired"
    TOO_MANY_DEAD = "too_many_dead"
    LIST_GONE = "list_gone"


@dataclass(frozen=True, slots=True)
class Response:
    """What a vendor answered."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case."""
    body: bytes = b""
    """At most what the transport reads of a reply."""
    complete: bool = True
    """False where the body was cut: too long, too slow, or the connection broke."""


@dataclass(frozen=True, slots=True)
class Failure:
    """There is no answer. After a time-out or a broken connection the vendor may have acted all the same."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """The vendor has it."""

    job: str = ""
    """By what it can be asked, much later, what it has made of it; only lists ask."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now."""

    reason: Reason
    after_s: float | None = None
    """The time that the vendor asked for; none before it."""
    attempts_max: int | None = None
    """Given up after so many tries in all, however short they took; None: the sender's patience decides."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Never: sending the same again would end the same."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing goes through until somebody acts; the queue is kept, and a probe goes out now and then."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class Disabled:
    """The receiver is gone for good. The queue is kept, nothing is sent until somebody resumes by hand."""

    reason: Reason = Reason.GONE


@dataclass(frozen=True, slots=True)
class Partial:
    """A batch whose items fared differently."""

    items: tuple[Delivered | Retry | Rejected, ...]
    """One for each payload of the request, in its order."""


Outcome = Delivered | Retry | Rejected | Pause | Disabled | Partial
UNREADABLE_ATTEMPTS_MAX = 3


def unreadable() -> Retry:
    """An answer that says nothing we understand: a proxy's page, a body cut short. It may have been a passing fault."""
    return Retry(Reason.UNREADABLE, attempts_max=UNREADABLE_ATTEMPTS_MAX)


def by_index(count: int, failed: Mapping[int, Retry | Rejected]) -> Delivered | Partial:
    """What a batch of so many came to: an item that the vendor does not name was delivered."""
    return Partial(tuple(failed.get(index, Delivered()) for index in range(count))) if failed else Delivered()


def by_status(response: Response, now_s: float, *, reset_header: str = "") -> Outcome:
    """The table above.

    Args:
        now_s: Wall-clock time, to read a date in `Retry-After` against.
        reset_header: In lower case; where the vendor says, in Unix seconds, when its limit starts anew.
    """
    match response.status:
        case status if 200 <= status <= 299:
            return Delivered()
        case 408 | 423 | 425 | 429:
            return Retry(Reason.THROTTLED, _after_s(response, now_s, reset_header))
        case 401 | 403:
            return Pause(Reason.UNAUTHORIZED)
        case 410:
            return Disabled()
        case 413:
            return Rejected(Reason.TOO_LARGE)
        case 501 | 505:
            return Rejected(Reason.NOT_SUPPORTED)
        case status if status < 400:
            return Rejected(Reason.REDIRECT)
        case status if status < 500:
            return Rejected(Reason.REFUSED)
        case _:
            return Retry(Reason.SERVER_ERROR, _after_s(response, now_s, reset_header))


def by_failure(failure: Failure) -> Outcome:
    """The same for every destination: a vendor that was not heard cannot be judged by its own rules."""
    if failure.reason is Reason.ADDRESS_REFUSED:
        return Pause(failure.reason)
    return Retry(failure.reason)


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """`Retry-After` as seconds from now; None where it is absent, negative, past or unreadable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return None
    if at.tzinfo is None:  # "-0000": a time in UTC from a clock of unknown zone
        at = at.replace(tzinfo=UTC)
    wait_s = at.timestamp() - now_s
    return wait_s if wait_s >= 0 else None


def _after_s(response: Response, now_s: float, reset_header: str) -> float | None:
    after_s = retry_after_s(response.headers, now_s)
    if after_s is not None:
        return after_s
    try:
        wait_s = float(response.headers.get(reset_header, "")) - now_s
    except ValueError:
        return None
    return wait_s if 0 <= wait_s < inf else None
