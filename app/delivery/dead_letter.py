"""What `destinations.<name>.dead` holds: the payload that was given up, and what its vendor said to it."""

from base64 import b64encode
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote_plus

import orjson

from app.activation.destination import Request, Secret
from app.activation.outcome import Failure, Reason, Response
from app.activation.wire import encode, iso
from app.topics import JSON_TYPE

SHOWN_BYTES_MAX = 16 * 1024
"""Of a request's or a response's body."""
ORIGINAL_BYTES_MAX = 64 * 1024
"""Of a record that could not be read."""
SECRET_CHARS_MIN = 6
"""Shorter ones are not struck out of what is shown: they would take half the text with them."""
HIDDEN = "[secret]"
SCHEMES = {"Bearer", "Basic", "Klaviyo-API-Key"}
"""Words beside a secret that are none."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The last exchange about a payload. Empty where none took place."""

    request: Request | None = None
    answer: Response | Failure | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """Where the record lies; unique with the destination's name."""

    topic: str
    partition: int
    offset: int


def dead_letter(
    value: bytes | None,
    *,
    reason: Reason,
    message: str,
    attempts: int,
    at_ms: int,
    evidence: Evidence,
    secrets: Sequence[Secret],
) -> bytes:
    """The payload record with `error` added; a record that is no JSON object is kept as base64 in `original`.

    Args:
        message: In words, beside the reason.
        secrets: Struck out wherever a vendor has echoed them.
    """
    hide = Hider([*secrets, *(evidence.request.secrets if evidence.request else ())])
    answer = evidence.answer
    error = {
        "reason": reason.value,
        "message": hide.text(message),
        "status": answer.status if isinstance(answer, Response) else None,
        "request": shown_request(evidence.request, hide) if evidence.request else None,
        "response": shown_response(answer, hide) if isinstance(answer, Response) else None,
        "attempts": attempts,
        "at": iso(at_ms),
    }
    try:
        record = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        record = None
    if not isinstance(record, dict):
        original = b64encode((value or b"")[:ORIGINAL_BYTES_MAX]).decode() if value is not None else None
        record = {"original": original}
    return encode(record | {"error": error})


def position_headers(position: Position, reason: Reason) -> list[tuple[str, bytes]]:
    """Kafka headers by which a dead letter is found and told from another."""
    return [
        JSON_TYPE,
        ("dead-reason", reason.value.encode()),
        ("dead-topic", position.topic.encode()),
        ("dead-partition", str(position.partition).encode()),
        ("dead-offset", str(position.offset).encode()),
    ]


class Brake:
    """Stops a lane whose dead letters outnumber its deliveries: a moved endpoint must not empty the queue."""

    def __init__(self, *, window: int, share_max: float) -> None:
        self._window = window
        self._dead_max = share_max * window
        self._last: deque[bool] = deque(maxlen=window)

    def settled(self, *, dead: bool) -> bool:
        """Whether the lane has to stop: of the last `window` payloads more than the share were dead."""
        self._last.append(dead)
        return dead and len(self._last) == self._window and sum(self._last) > self._dead_max

    def release(self) -> None:
        """Somebody has looked at it; count anew."""
        self._last.clear()


class Hider:
    def __init__(self, secrets: Sequence[Secret]) -> None:
        parts = {part for secret in secrets for part in _parts(secret.reveal())}
        self._parts = sorted((part for part in parts if len(part) >= SECRET_CHARS_MIN), key=len, reverse=True)

    def text(self, text: str) -> str:
        for part in self._parts:
            text = text.replace(part, HIDDEN)
        return text

    def body(self, body: bytes) -> str:
        return self.text(body.decode(errors="replace"))[:SHOWN_BYTES_MAX]  # cut last: half a secret is still one


def _parts(secret: str) -> set[str]:
    """The forms in which a vendor can echo a secret: whole, one of several keys, a URL's path, in a form's coding."""
    parts = {secret, quote_plus(secret), *secret.split()} - SCHEMES
    parts |= {part.removeprefix("whsec_") for part in parts}
    if "://" in secret:
        parts.add("/" + secret.split("://", 1)[1].partition("/")[2])
    return parts


def shown_request(request: Request, hide: Hider) -> dict[str, object]:
    return request.shown() | {"body": hide.body(request.body)}


def shown_response(response: Response, hide: Hider) -> dict[str, object]:
    headers = {name: hide.text(value) for name, value in response.headers.items()}
    return {"status": response.status, "headers": headers, "body": hide.body(response.body)}
