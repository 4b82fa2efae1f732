"""The HTTP client: the only place that connects to a vendor."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import TypeVar

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from app.activation.destination import Request, Secret
from app.activation.outcome import Failure, Reason, Response
from app.delivery.guard import AddressRefused, Guard, GuardedResolver

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Bounds of one exchange. The whole request's time-out is the destination's."""

    connect_timeout_s: float = 5.0
    """Name, connection and TLS."""
    reply_bytes_max: int = 64 * 1024
    """Of a reply's body, unless its request says more; the rest is not read, and the connection is closed."""
    user_agent: str = f"Headwater/{version('headwater')}"


class Transport:
    """Sends requests for all lanes of a process. Each connection's address is judged twice: when its name is resolved,
    and when its socket is made, which literal addresses pass too."""

    def __init__(
        self,
        guard: Guard,
        settings: TransportSettings | None = None,
        *,
        resolver: Callable[[], AbstractResolver] = aiohttp.ThreadedResolver,
    ) -> None:
        """Inside a running loop."""
        self._guard = guard
        self._settings = settings or TransportSettings()
        # Whether TLS is spoken decides what an address may be, and only the session knows it.
        self._sessions = {scheme: self._session(resolver(), tls=scheme == "https") for scheme in ("https", "http")}

    async def send(self, request: Request, timeout_s: float) -> Response | Failure:
        """Send once. Whatever vendor or network do becomes an answer, never an error."""
        try:
            url = URL(_plain(request.url))
            self._guard.check_url(url)
            headers = {name: _plain(value) for name, value in request.headers.items()}
            async with asyncio.timeout(timeout_s) as limit:
                return await self._exchange(request, url, headers, limit)
        except aiohttp.ConnectionTimeoutError:
            return Failure(Reason.TIMEOUT, f"no connection within {self._settings.connect_timeout_s:g} s")
        except TimeoutError:
            return Failure(Reason.TIMEOUT, f"no answer within {timeout_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _failure(error)

    async def close(self) -> None:
        """Close every connection."""
        for session in self._sessions.values():
            await session.close()

    async def _exchange(self, request: Request, url: URL, headers: dict[str, str], limit: asyncio.Timeout) -> Response:
        session = self._sessions[url.scheme]
        async with session.request(
            request.method, url, data=request.body, headers=headers, allow_redirects=False
        ) as reply:
            bytes_max = request.reply_bytes_max or self._settings.reply_bytes_max
            body, complete = await self._read(reply, limit, bytes_max)
            if not complete:
                reply.close()
            return Response(reply.status, {k.lower(): v for k, v in reply.headers.items()}, body, complete)

    async def _read(self, reply: aiohttp.ClientResponse, limit: asyncio.Timeout, bytes_max: int) -> tuple[bytes, bool]:
        """The body so far as it came: its status has decided most, whatever becomes of the rest."""
        body = bytearray()
        left_s = max((limit.when() or 0.0) - asyncio.get_running_loop().time() - READ_SLACK_S, 0.0)
        try:
            async with asyncio.timeout(left_s):
                while len(body) <= bytes_max:
                    chunk = await reply.content.read(bytes_max + 1 - len(body))
                    if not chunk:
                        return bytes(body), True
                    body += chunk
        except (aiohttp.ClientError, OSError):  # a TimeoutError is an OSError
            pass
        return bytes(body[:bytes_max]), False

    def _session(self, resolver: AbstractResolver, *, tls: bool) -> aiohttp.ClientSession:
        def judged_socket(address: aiohttp.AddrInfoType) -> socket.socket:
            family, kind, protocol, _, place = address
            self._guard.check_address(str(place[0]), int(place[1]), tls=tls)
            return socket.socket(family, kind, protocol)

        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(resolver, self._guard, tls=tls),
            socket_factory=judged_socket,
            limit=0,  # each lane has its own limit of requests in flight
        )
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": self._settings.user_agent, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, connect=self._settings.connect_timeout_s),
            trust_env=False,
        )
        # It would send a PUT, DELETE or GET again at once when the connection is cut: a request that no rate knows of.
        # There is no public way to say so; a test would notice if this one went.
        session._retry_connection = False
        return session


READ_SLACK_S = 0.05
"""Reading ends this much before the whole request's time, so that a slow body still leaves its status."""


def _plain(value: str | Secret) -> str:
    return value.reveal() if isinstance(value, Secret) else value


def _failure(error: Exception) -> Failure:
    """Class names and words of ours only: a URL or a header in an error's text could be secret."""
    refused = _refused(error)
    name = type(error).__name__
    match error:
        case _ if refused is not None:
            return Failure(Reason.ADDRESS_REFUSED, str(refused))
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientSSLError():
            return Failure(Reason.TLS, f"TLS failed: {name}")
        case aiohttp.ClientConnectorDNSError():
            return Failure(Reason.DNS, "the host's name could not be resolved")
        case ValueError():
            return Failure(Reason.ADDRESS_REFUSED, f"not a URL or header that can be sent: {name}")
        case _:
            return Failure(Reason.CONNECTION, f"the connection failed: {name}")


def _refused(error: BaseException | None) -> AddressRefused | None:
    """The guard's own error, which the client wraps in one of its kind."""
    while error is not None:
        if isinstance(error, AddressRefused):
            return error
        error = getattr(error, "os_error", None) or error.__cause__
    return None
