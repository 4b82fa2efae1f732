"""A list lane with a world around it: a vendor that keeps lists, a changelog in memory, a clock that jumps."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson

from app.activation.destination import Request
from app.activation.destinations import DESTINATIONS
from app.activation.lists.draft import restored
from app.activation.lists.overview import Ledger, ListView
from app.activation.outcome import Failure, Reason, Response
from app.activation.settings import Secret
from app.delivery import exchange
from app.delivery.accounts import accounts
from app.delivery.exchange import Exchanges
from app.delivery.list_lane import ListLane, Surroundings
from app.delivery.list_table import ListTable
from app.delivery.list_update import Counted, ListLaneSettings
from app.delivery.work import Record
from app.ids import definition_id
from app.kafka.producer import ProduceError
from app.topics import Topics
from tests.activation.lists.memory import MemoryTable
from tests.delivery.jumping import LoopClock

HOUR_S = 3_600.0
SETTINGS = {
    "add_url": "https://v.example/{list}/add", "remove_url": "https://v.example/{list}/remove",
    "create_url": "https://v.example/lists", "errors_path": "failed", "token": "canary-token", "batch": 3,
}  # fmt: skip


def told(offset: int, profile: str, *, inside: bool, email: str = "", audience: str = "vip", **more: Any) -> Record:
    """A payload of the destination's topic; its sequence is its offset."""
    id_ = f"{profile}-{offset}"
    traits: dict[str, object] = {audience: inside} | ({"email": email} if email else {})
    value = {
        "id": id_, "destination": "ads", "profile": profile, "sequence": offset, "at": "2026-01-31T10:00:00.000Z",
        "origin": "live",
        "computation": {"class": "audience", "id": definition_id("audience", audience), "key": audience},
        "payload": {"type": "identify", "messageId": id_, "userId": profile, "traits": traits},
    } | more  # fmt: skip
    return Record(offset, profile.encode(), orjson.dumps(value))


class ListVendor:
    """Keeps lists as `http_lists` asks for it."""

    def __init__(self) -> None:
        self.lists: dict[str, set[str]] = {}
        self.made = 0
        self.requests: list[tuple[float, str, list[str]]] = []
        """(when, path, members)."""
        self.refuses: set[str] = set()
        """Members whom it names as failed."""
        self.script: list[Callable[[], Response | Failure | None]] = []
        """What comes instead of the next answers; None: the answer as it is."""
        self._arrived = asyncio.Event()

    async def until(self, requests: int) -> None:
        """Wait until so many have come."""
        while len(self.requests) < requests:
            self._arrived.clear()
            await self._arrived.wait()

    async def deliver(self, request: Request, timeout_s: float) -> Response | Failure:
        url = request.url.reveal() if isinstance(request.url, Secret) else request.url
        path = url.removeprefix("https://v.example/")
        body = orjson.loads(request.body)
        self.requests.append((asyncio.get_running_loop().time(), path, body.get("members", [])))
        self._arrived.set()
        said = self.script.pop(0)() if self.script else None
        answer = said if said is not None else self.answer(path, body)
        await asyncio.sleep(0.1)  # done already, and not heard of
        return answer

    def answer(self, path: str, body: dict[str, Any]) -> Response:
        if path == "lists":
            self.made += 1
            self.lists[f"l{self.made}"] = set()
            return Response(201, {}, orjson.dumps({"id": f"l{self.made}"}))
        name, _, what = path.partition("/")
        if name not in self.lists:
            return Response(404)
        members = set(body["members"]) - self.refuses
        if what == "add":
            self.lists[name] |= members
        else:
            self.lists[name] -= members
        return Response(200, {}, orjson.dumps({"failed": sorted(self.refuses & {*body["members"]})}))

    @property
    def changes(self) -> list[tuple[str, list[str]]]:
        return [(path, sorted(members)) for _, path, members in self.requests if path != "lists"]


class ListRig:
    """`lane`, and what came out of it. A new one on the same changelog is the process after a crash."""

    def __init__(
        self, vendor: Any, *, type_: str = "http_lists",
        changelog: list[tuple[bytes | None, bytes | None]] | None = None, interval_s: float = HOUR_S,
        audiences: Sequence[str] = ("vip", "other"), paced: bool = False, **settings: Any,
    ) -> None:  # fmt: skip
        """
        Args:
            paced: Whether requests go at the rate that the type has; without it they go at once.
            vendor: Has `deliver`, as the transport has it; for `http_lists` a ListVendor.
            settings: Instead of `http_lists`' own, or all of another type's.
        """
        self.vendor = vendor
        self.changelog = changelog if changelog is not None else []
        self.counted: list[Counted] = []
        self.dead: list[dict[str, Any]] = []
        self.append_fails = 0
        self.append_s = 0.01
        self.opened = 0
        whole = SETTINGS | settings if type_ == "http_lists" else settings
        configured = DESTINATIONS[type_].configure(whole)
        self.configured = configured
        account = accounts({"ads": configured}, lambda name: 1, LoopClock())["ads"]
        account.set_share({"ads": {0}})
        self.account = account.slots
        turn = (lambda: account.turn(lambda: False)) if paced else _at_once
        around = Surroundings(
            clock=LoopClock(),
            sleep=asyncio.sleep,
            jitter=lambda: 0.5,
            open_table=self._open,
            exchanges=lambda heard: Exchanges(
                configured,
                exchange.Surroundings(
                    clock=LoopClock(), sleep=asyncio.sleep, deliver=vendor.deliver, turn=turn, may_send=lambda: True,
                    heard=heard,
                ),
            ),
            publish=self._publish,
            observe=self.counted.append,
            failpoint=lambda name: None,
            account=self.account,
        )  # fmt: skip
        intervals = dict.fromkeys(audiences, interval_s)
        self.lane = ListLane("ads", configured, intervals, around, ListLaneSettings(), topics=Topics())
        self.lane.assign(0, 0)

    # what the table says

    def view(self) -> ListView:
        ledger = Ledger()
        ledger.take(self.changelog)
        (view,) = ledger.views()
        return view

    # the changelog

    async def append(self, records: Sequence[tuple[bytes, bytes | None]]) -> int:
        await asyncio.sleep(self.append_s)
        if self.append_fails:
            self.append_fails -= 1
            self.changelog += records[:1]  # and nobody knows
            raise ProduceError("no ack")
        self.changelog += records
        return len(self.changelog) - 1

    async def _open(self) -> ListTable:
        self.opened += 1
        store = MemoryTable()
        store.write(restored(self.changelog))
        return ListTable(store, self, LoopClock(), lambda: None)  # type: ignore[arg-type]  # it is never asked to read

    async def _publish(self, topic: str, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes]]) -> None:
        self.dead.append(orjson.loads(value))


async def _at_once() -> None:
    """A rate without limit."""


@asynccontextmanager
async def serving(rig: ListRig) -> AsyncIterator[None]:
    """The lane serves inside; at the end it is stopped as if it had been killed."""
    task = asyncio.ensure_future(rig.lane.run())
    rig.lane.own(True)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def failing(reason: Reason) -> Callable[[], Failure]:
    return lambda: Failure(reason, "as it may be")
