"""One HTTP request as a value, and the ways to make one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urlencode, urlsplit, urlunsplit

from app.activation.settings import Secret
from app.activation.wire import encode

Headers = Mapping[str, str | Secret]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, whole: the body is bytes, so what is signed is what is sent."""

    method: str
    url: str | Secret
    headers: Headers
    body: bytes = field(repr=False)
    """Some vendors want their key in it, so it is struck through before anybody sees it."""
    after_s: float = 0.0
    """Wait so long before it is sent: for asking again how far a job of the vendor's is."""
    reply_bytes_max: int | None = None
    """How much of the reply is read, where it is more than usual."""

    def shown(self) -> dict[str, object]:
        """For people and dead letters: no secret header, and of a secret URL only its origin."""
        return {
            "method": self.method,
            "url": _origin(self.url.reveal()) if isinstance(self.url, Secret) else self.url,
            "headers": {name: value for name, value in self.headers.items() if not isinstance(value, Secret)},
        }

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """What it carries that must not be shown."""
        return tuple(value for value in (self.url, *self.headers.values()) if isinstance(value, Secret))


def send(
    method: str, url: str | Secret, body: object = None, *, bearer: Secret | None = None, headers: Headers | None = None
) -> Request:
    """A request with JSON in it, or with nothing."""
    all_headers: dict[str, str | Secret] = {"Accept": "application/json"}
    if body is not None:
        all_headers["Content-Type"] = "application/json"
    all_headers |= headers or {}
    if bearer is not None:
        all_headers["Authorization"] = Secret(f"Bearer {bearer.reveal()}")
    return Request(method, url, all_headers, b"" if body is None else encode(body))


def post(url: str | Secret, body: object, *, bearer: Secret | None = None, headers: Headers | None = None) -> Request:
    """A POST of JSON."""
    return send("POST", url, body, bearer=bearer, headers=headers)


def get(
    url: str | Secret, *, bearer: Secret | None = None, headers: Headers | None = None, after_s: float = 0.0
) -> Request:
    """A question."""
    asked = send("GET", url, bearer=bearer, headers=headers)
    return Request(asked.method, asked.url, asked.headers, asked.body, after_s)


def form(
    url: str | Secret, values: Mapping[str, str | Secret], *, method: str = "POST", headers: Headers | None = None
) -> Request:
    """A request whose body is a form."""
    body = urlencode({name: value.reveal() if isinstance(value, Secret) else value for name, value in values.items()})
    return Request(
        method,
        url,
        {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json", **(headers or {})},
        body.encode(),
    )


def file_upload(url: str | Secret, name: str, file_name: str, text: str) -> Request:
    """A request with one CSV file; the same text gives the same bytes."""
    content = text.encode()
    boundary = f"headwater-{sha256(content).hexdigest()[:32]}"
    about = f'Content-Disposition: form-data; name="{name}"; filename="{file_name}"\r\nContent-Type: text/csv'
    body = f"--{boundary}\r\n{about}\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Accept": "application/json"}
    return Request("POST", url, headers, body)


def basic(user: str | Secret, password: str | Secret) -> dict[str, str | Secret]:
    """The header of HTTP's basic authentication."""
    pair = ":".join(part.reveal() if isinstance(part, Secret) else part for part in (user, password))
    return {"Authorization": Secret("Basic " + b64encode(pair.encode()).decode())}


def rebased(url: str | Secret, base_url: str) -> str | Secret:
    """The URL's path and query at another origin, below its path."""
    base = urlsplit(base_url)
    plain = urlsplit(url.reveal() if isinstance(url, Secret) else url)
    moved = urlunsplit((base.scheme, base.netloc, base.path.rstrip("/") + plain.path, plain.query, plain.fragment))
    return Secret(moved) if isinstance(url, Secret) else moved


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
