"""A destination is a value: settings, limits, how payloads become a request and how a reply is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit, urlunsplit

from app.activation.outcome import Failure, Outcome, Response, by_failure, by_status
from app.activation.payload import Payload
from app.activation.settings import Secret, read_settings, schema_of, secrets_in
from app.activation.wire import encode

__all__ = ["Build", "Classify", "Configured", "Destination", "Limits", "Request", "Secret", "post", "settings_schema"]

S = TypeVar("S")
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What the vendor bears."""

    requests_per_s: float
    """Of all workers together; each takes its share by the partitions it holds."""
    in_flight_max: int = 10
    """Requests at once."""
    batch_items_max: int = 1
    body_bytes_max: int = MIB
    """Of one request; a batch above it is halved, a single payload above it is rejected."""
    timeout_s: float = 30.0
    """Whole request, reply included."""


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, whole: the body is bytes, so what is signed is what is sent."""

    method: str
    url: str | Secret
    headers: Mapping[str, str | Secret]
    body: bytes

    def shown(self) -> dict[str, object]:
        """For people and dead letters: no secret header, and of a secret URL only its origin."""
        return {
            "method": self.method,
            "url": _origin(self.url.reveal()) if isinstance(self.url, Secret) else self.url,
            "headers": {name: value for name, value in self.headers.items() if not isinstance(value, Secret)},
        }


Build = Callable[[Sequence[Payload], S, int], Request]
"""(payloads, settings, Unix seconds of this attempt) → request. Pure: the same input gives the same bytes."""
Classify = Callable[[Response, float], Outcome]
"""(response, Unix seconds now) → outcome, of the whole request or as Partial of its items."""


def _as_they_are(limits: Limits, settings: object) -> Limits:
    return limits


@dataclass(frozen=True, slots=True)
class Destination(Generic[S]):
    """One type of destination."""

    name: str
    settings: type[S]
    """A frozen dataclass; its fields may be annotated with a `Rule`."""
    limits: Limits
    build: Build[S] | None = None
    """None: there is no sender, the topic itself is the delivery."""
    needs: tuple[str, ...] = ()
    """Identifier types without which a payload is filtered, and counted with that reason."""
    classify: Classify = by_status
    limits_for: Callable[[Limits, S], Limits] = field(default=_as_they_are)
    """The limits under given settings, where a setting decides one of them."""

    def configure(self, raw: Mapping[str, object], *, rate_per_s: float | None = None) -> Configured:
        """Raises SettingsError with every fault at once; their file is empty, their path starts at the settings."""
        settings, common = read_settings(self.settings, raw)
        limits = self.limits_for(self.limits, settings)
        if common.timeout_s is not None:
            limits = replace(limits, timeout_s=common.timeout_s)
        if rate_per_s is not None:
            limits = replace(limits, requests_per_s=rate_per_s)
        build = self.build

        def request(payloads: Sequence[Payload], now_s: int) -> Request:
            assert build is not None, f"{self.name} has no sender"
            made = build(payloads, settings, now_s)
            return replace(made, url=_rebased(made.url, common.base_url)) if common.base_url else made

        return Configured(
            type=self.name,
            limits=limits,
            needs=self.needs,
            build=request if build is not None else None,
            classify=self.classify,
            secrets=secrets_in(settings),
        )


@dataclass(frozen=True, slots=True)
class Configured:
    """A destination with its settings in place: all that a sender has to know."""

    type: str
    limits: Limits
    needs: tuple[str, ...]
    build: Callable[[Sequence[Payload], int], Request] | None
    classify: Classify
    secrets: tuple[Secret, ...] = field(repr=False)
    """Every secret value in the settings, to be struck out of whatever a vendor echoes."""

    def judge(self, answer: Response | Failure, now_s: float) -> Outcome:
        """What the answer means."""
        return by_failure(answer) if isinstance(answer, Failure) else self.classify(answer, now_s)


def post(
    url: str | Secret, body: object, *, bearer: Secret | None = None, headers: Mapping[str, str | Secret] | None = None
) -> Request:
    """A POST of JSON."""
    all_headers: dict[str, str | Secret] = {"Content-Type": "application/json", **(headers or {})}
    if bearer is not None:
        all_headers["Authorization"] = Secret(f"Bearer {bearer.reveal()}")
    return Request("POST", url, all_headers, encode(body))


def settings_schema(destination: Destination[Any]) -> dict[str, object]:
    """JSON Schema of the destination's `settings`, for the configuration's own schema."""
    return schema_of(destination.settings)


def _rebased(url: str | Secret, base_url: str) -> str | Secret:
    base = urlsplit(base_url)
    plain = urlsplit(url.reveal() if isinstance(url, Secret) else url)
    moved = urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + plain.path, plain.query, plain.fragment))
    return Secret(moved) if isinstance(url, Secret) else moved


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
