"""One exchange with a real server: what is sent, what is read of the reply, and what is never connected to."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from app.activation.destination import Request, Secret
from app.activation.outcome import Failure, Reason, Response
from app.delivery.guard import Guard
from app.delivery.transport import Transport, TransportSettings
from tests.vendor import Reply, Vendor

LOOPBACK = Guard.of(["127.0.0.1/32"])
REPLY_BYTES_MAX = 64 * 1024


def request(url: str, body: bytes = b'{"a":1}') -> Request:
    return Request("POST", Secret(url), {"webhook-id": "m1", "X-Key": Secret("canary")}, body)


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    transport = Transport(LOOPBACK, TransportSettings(connect_timeout_s=1))
    yield transport
    await transport.close()


async def test_a_request_arrives_as_it_was_built(transport):
    async with Vendor(lambda arrival: Reply(201, {"X-Said": "hello"}, b"made")) as vendor:
        answer = await transport.send(request(vendor.url), 5)
    assert isinstance(answer, Response)
    assert (answer.status, answer.body, answer.complete) == (201, b"made", True)
    assert answer.headers["x-said"] == "hello"
    (arrival,) = vendor.arrivals
    assert (arrival.method, arrival.path, arrival.body) == ("POST", "/hook", b'{"a":1}')
    assert arrival.headers["x-key"] == "canary"
    assert arrival.headers["user-agent"].startswith("Headwater/")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "GET"])
async def test_a_request_whose_connection_is_cut_is_not_sent_again(transport, method):
    """By the client itself: when it is tried again is for the lane, its rate and its order to say."""
    async with Vendor(lambda arrival: Reply(reset=arrival.attempt > 1)) as vendor:
        sent = replace(request(vendor.url), method=method)
        assert isinstance(await transport.send(sent, 5), Response)  # so that there is a connection to reuse
        answer = await transport.send(sent, 5)
    assert isinstance(answer, Failure)
    assert answer.reason is Reason.CONNECTION
    assert len(vendor.arrivals) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_to_loopback_is_never_followed(transport, status):
    async with Vendor() as trap:
        async with Vendor(lambda arrival: Reply(status, {"Location": trap.url})) as vendor:
            answer = await transport.send(request(vendor.url), 5)
        assert isinstance(answer, Response)
        assert answer.status == status
        assert trap.arrivals == []


async def test_a_request_may_say_that_more_of_its_reply_is_to_be_read(transport):
    async with Vendor(lambda arrival: Reply(200, body=b"x" * 100_000)) as vendor:
        sent = request(vendor.url)
        for bytes_max in (100_000, 99_999):
            answer = await transport.send(replace(sent, reply_bytes_max=bytes_max), 5)
            assert isinstance(answer, Response)
            assert (len(answer.body), answer.complete) == (bytes_max, bytes_max == 100_000)


async def test_of_a_huge_reply_only_the_beginning_is_read(transport):
    async with Vendor(lambda arrival: Reply(200, body=b"x" * 65_536, chunks=100_000)) as vendor:
        answer = await transport.send(request(vendor.url), 10)
        assert isinstance(answer, Response)
        assert (answer.status, len(answer.body), answer.complete) == (200, REPLY_BYTES_MAX, False)
        assert vendor.chunks_sent < 1_000


async def test_a_reply_that_drips_ends_with_the_time_and_keeps_its_status(transport):
    async with Vendor(lambda arrival: Reply(503, body=b"x", chunks=1_000, drip_s=0.05)) as vendor:
        began_s = time.monotonic()
        answer = await transport.send(request(vendor.url), 0.5)
        assert time.monotonic() - began_s < 2
    assert isinstance(answer, Response)
    assert (answer.status, answer.complete) == (503, False)


async def test_a_reply_cut_in_its_body_keeps_its_status(transport):
    async with Vendor(lambda arrival: Reply(200, body=b"x", chunks=3, reset=True)) as vendor:
        answer = await transport.send(request(vendor.url), 5)
    assert isinstance(answer, Response)
    assert (answer.status, answer.complete) == (200, False)


async def test_silence_is_a_time_out_and_a_reset_a_failed_connection(transport):
    async with Vendor(lambda arrival: Reply(delay_s=30)) as vendor:
        answer = await transport.send(request(vendor.url), 0.3)
    assert answer == Failure(Reason.TIMEOUT, "no answer within 0.3 s")
    async with Vendor(lambda arrival: Reply(reset=True)) as vendor:
        answer = await transport.send(request(vendor.url), 5)
    assert isinstance(answer, Failure)
    assert answer.reason is Reason.CONNECTION


async def test_a_closed_port_is_a_failed_connection(transport):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        answer = await transport.send(request(f"http://127.0.0.1:{unused.getsockname()[1]}/"), 5)
    assert isinstance(answer, Failure)
    assert answer.reason is Reason.CONNECTION


async def test_proxies_of_the_environment_are_not_used(transport, monkeypatch):
    async with Vendor() as vendor, Vendor() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        assert isinstance(await transport.send(request(vendor.url), 5), Response)
        assert proxy.arrivals == []


async def test_a_certificate_that_nobody_vouches_for_is_refused(transport):
    async def answer(_: web.Request) -> web.Response:
        raise AssertionError("it was talked to")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(__file__).parent / "self_signed.pem")
    app = web.Application()
    app.router.add_route("*", "/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        found = await transport.send(request(f"https://127.0.0.1:{runner.addresses[0][1]}/"), 5)
    finally:
        await runner.cleanup()
    assert isinstance(found, Failure)
    assert found.reason is Reason.TLS


async def test_tls_to_a_server_without_it_fails_as_tls(transport):
    async with Vendor() as vendor:
        found = await transport.send(request(vendor.url.replace("http:", "https:")), 5)
    assert isinstance(found, Failure)
    assert found.reason is Reason.TLS


@pytest.mark.parametrize(
    "url",
    ["https://127.0.0.2/", "http://8.8.8.8/", "https://2130706433/", "https://0x7f.1/", "https://u:p@h.example/"],
)
async def test_refused_urls_are_not_connected_to(transport, url):
    found = await transport.send(request(url), 5)
    assert isinstance(found, Failure)
    assert found.reason is Reason.ADDRESS_REFUSED


class Rebinding(AbstractResolver):
    """A name that points where it may at first, and at this machine's inside afterwards."""

    def __init__(self, port: int) -> None:
        self.asked = 0
        self.port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        self.asked += 1
        ip = "127.0.0.2" if self.asked == 1 else "127.0.0.1"
        return [ResolveResult(hostname=host, host=ip, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return None


async def test_a_name_that_rebinds_to_loopback_reaches_nothing_there():
    """127.0.0.2 stands for a public address, which a test cannot reach; 127.0.0.1 is as inside as ever."""
    arrived: list[str] = []

    async def answer(http: web.Request) -> web.Response:
        assert http.transport is not None
        arrived.append(http.transport.get_extra_info("sockname")[0])
        response = web.Response()
        response.force_close()
        return response

    app = web.Application()
    app.router.add_route("*", "/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0).start()
    port = runner.addresses[0][1]
    resolver = Rebinding(port)
    transport = Transport(Guard.of(["127.0.0.2/32"]), resolver=lambda: resolver)
    for session in transport._sessions.values():
        session.connector._use_dns_cache = False  # type: ignore[union-attr]
    try:
        first = await transport.send(request(f"http://rebind.example:{port}/"), 5)
        second = await transport.send(request(f"http://rebind.example:{port}/"), 5)
    finally:
        await transport.close()
        await runner.cleanup()
    assert isinstance(first, Response)
    assert second == Failure(
        Reason.ADDRESS_REFUSED, "127.0.0.1 is not a public address, nor in delivery.allow_networks"
    )
    assert resolver.asked == 2
    assert arrived == ["127.0.0.2"]


async def test_the_socket_itself_is_judged_even_if_a_resolver_lies():
    """The last line: were the resolver's check passed by, no socket would be made."""

    class Inside(Rebinding):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0)]

    async with Vendor() as vendor:
        transport = Transport(Guard())
        for session in transport._sessions.values():
            session.connector._resolver = Inside(0)  # type: ignore[union-attr]
        answer = await transport.send(request(f"http://h.example:{vendor.port}/"), 5)
        await transport.close()
        assert isinstance(answer, Failure)
        assert answer.reason is Reason.ADDRESS_REFUSED
        assert vendor.arrivals == []


async def test_a_name_that_nobody_knows_is_a_dns_failure():
    class Nobody(Rebinding):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            raise OSError("Name or service not known")

    transport = Transport(Guard(), resolver=lambda: Nobody(0))
    answer = await transport.send(request("https://h.example/"), 5)
    await transport.close()
    assert isinstance(answer, Failure)
    assert answer.reason is Reason.DNS


async def test_a_connection_that_does_not_come_about_is_given_up_early():
    class Slow(Rebinding):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            await asyncio.Event().wait()
            raise AssertionError

    transport = Transport(Guard(), TransportSettings(connect_timeout_s=0.2), resolver=lambda: Slow(0))
    answer = await transport.send(request("https://h.example/"), 30)
    await transport.close()
    assert answer == Failure(Reason.TIMEOUT, "no connection within 0.2 s")
