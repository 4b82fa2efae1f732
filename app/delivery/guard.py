"""Which addresses a destination may be connected to.

A destination's URL comes from people who may not be trusted with this network's inside. So what is judged is the
address that is connected to, never the name: a name may point outside when asked and inside when connected to.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from app.errors import HeadwaterError

REFUSED_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, and clouds' metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",
    )
)
GLOBAL_V6 = IPv6Network("2000::/3")
"""All else in IPv6 is loopback, local, mapped (::ffff:0:0/96), translated (64:ff9b::/96, 64:ff9b:1::/48), discarded
(100::/64), segment routing (5f00::/16), unique local (fc00::/7, with a cloud's fd00:ec2::254), link-local, multicast
or nothing."""
REFUSED_V6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocols, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",
    )
)
PORTS = frozenset({443, 8443})


class AddressRefused(HeadwaterError, OSError):
    """A connection that is not made; the destination pauses until the operator has changed its URL or the networks.

    An OSError too, because that is what the HTTP client expects of a resolver.
    """


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules of one deployment."""

    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    """Opened by the operator: inside them every port is allowed, and http."""
    ports: frozenset[int] = PORTS

    @classmethod
    def of(cls, allow_networks: Sequence[str]) -> Guard:
        """From CIDR texts. Raises ValueError for what is none."""
        return cls(tuple(ip_network(text) for text in allow_networks))

    def check_url(self, url: URL) -> None:
        """What can be told before any name is resolved. Raises AddressRefused."""
        if url.scheme not in ("https", "http"):
            raise AddressRefused(f"{url.scheme or 'no'} scheme: only https, and http into allowed networks")
        if url.user is not None or url.password is not None:
            raise AddressRefused("a URL with user name or password")
        host = (url.raw_host or "").rstrip(".")
        if not host:
            raise AddressRefused("a URL without host")
        address = _literal(host)
        if address is not None:
            self.check_address(host, url.port or 0, tls=url.scheme == "https")

    def check_address(self, address: str, port: int, *, tls: bool) -> None:
        """Judge the address of a connection. Raises AddressRefused."""
        ip = ip_address(address)
        if any(ip in network for network in self.allow_networks):
            return
        if not _is_public(ip):
            raise AddressRefused(f"{ip} is not a public address, nor in delivery.allow_networks")
        if not tls:
            raise AddressRefused("http to a public address: use https")
        if port not in self.ports:
            raise AddressRefused(
                f"port {port}: only {', '.join(map(str, sorted(self.ports)))} outside allowed networks"
            )


class GuardedResolver(AbstractResolver):
    """Gives only those addresses of a name that may be connected to."""

    def __init__(self, inner: AbstractResolver, guard: Guard, *, tls: bool) -> None:
        self._inner = inner
        self._guard = guard
        self._tls = tls

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises AddressRefused if none is left."""
        allowed: list[ResolveResult] = []
        refused = AddressRefused(f"{host} has no address")
        for found in await self._inner.resolve(host, port, family):
            try:
                self._guard.check_address(found["host"], port, tls=self._tls)
            except AddressRefused as error:
                refused = error
            else:
                allowed.append(found)
        if not allowed:
            raise refused
        return allowed

    async def close(self) -> None:
        await self._inner.close()


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that a host is, or None for a name. Raises AddressRefused for an address in disguise."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        socket.inet_aton(host)
    except OSError:
        return None
    # 2130706433, 0177.0.0.1, 0x7f.1 and 127.1 are all 127.0.0.1 to a C library, and no name at all.
    raise AddressRefused(f"{host!r} is an address in an unusual form; write it as four decimal numbers")


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in REFUSED_V4)
    return ip in GLOBAL_V6 and not any(ip in network for network in REFUSED_V6)
