"""Every way to name an inside address, and that none of them is connected to."""

from __future__ import annotations

import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from app.delivery.guard import AddressRefused, Guard, GuardedResolver

GUARD = Guard()
REFUSED = [
    *("0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9"),
    *("169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808"),
    *("64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1"),
    *("fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "198.17.0.1", "198.20.0.1",
          "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "2003::1"]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_inside_addresses_are_refused(address):
    with pytest.raises(AddressRefused, match="not a public address"):
        GUARD.check_address(address, 443, tls=True)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed_by_https_on_listed_ports(address):
    GUARD.check_address(address, 443, tls=True)
    GUARD.check_address(address, 8443, tls=True)
    with pytest.raises(AddressRefused, match="port 22"):
        GUARD.check_address(address, 22, tls=True)
    with pytest.raises(AddressRefused, match="use https"):
        GUARD.check_address(address, 443, tls=False)


def test_allowed_networks_open_any_port_and_http_for_themselves_alone():
    guard = Guard.of(["10.1.0.0/16", "::1/128"])
    guard.check_address("10.1.2.3", 8080, tls=False)
    guard.check_address("::1", 1, tls=True)
    for address in ("10.2.0.1", "127.0.0.1", "::ffff:10.1.2.3"):
        with pytest.raises(AddressRefused):
            guard.check_address(address, 443, tls=True)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://h.example/",
        "file:///etc/passwd",
        "//h.example/",
        "https://user@h.example/",
        "https://user:pw@h.example/",
        "https://:pw@h.example/",
        "https://127.0.0.1/",
        "https://127.0.0.1./",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://017700000001/",
        "https://127.1/",
        "https://134744072/",
        "https://127。0。0。1/",
        "https://127．0．0．1/",
        "https://①②⑦.⓪.⓪.①/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:7f00:1]/",
        "https://[fe80::1%25eth0]/",
        "https://169.254.169.254/latest/meta-data/",
        "http://8.8.8.8/",
        "https://8.8.8.8:22/",
    ],
)
def test_literal_addresses_and_odd_urls_are_refused_before_anything_is_resolved(url):
    with pytest.raises(AddressRefused):
        GUARD.check_url(URL(url))


@pytest.mark.parametrize(
    "url", ["https://h.example/", "http://h.example:81/", "https://8.8.8.8/", "https://1e100.net/"]
)
def test_names_and_public_literals_pass_until_their_address_is_known(url):
    GUARD.check_url(URL(url))


class Names(AbstractResolver):
    """Gives the next answer at each question."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answer = self._answers.pop(0)
        return [ResolveResult(hostname=host, host=ip, port=port, family=2, proto=6, flags=0) for ip in answer]

    async def close(self) -> None:
        return None


async def test_a_name_gives_only_its_public_addresses():
    resolver = GuardedResolver(Names(["10.0.0.1", "8.8.8.8", "::1"]), GUARD, tls=True)
    assert [found["host"] for found in await resolver.resolve("h.example", 443)] == ["8.8.8.8"]
    await resolver.close()


async def test_a_name_that_points_inside_the_second_time_is_refused_then():
    resolver = GuardedResolver(Names(["8.8.8.8"], ["127.0.0.1"]), GUARD, tls=True)
    assert [found["host"] for found in await resolver.resolve("h.example", 443)] == ["8.8.8.8"]
    with pytest.raises(AddressRefused, match="127"):
        await resolver.resolve("h.example", 443)
