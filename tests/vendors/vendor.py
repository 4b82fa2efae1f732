"""What every simulated vendor does: keeps its limits by its own clock, notes what it took, and fails now and then."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from base64 import b64decode
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from random import Random
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qs

import orjson

BAD_OF = 40
"""One person in so many is one whom every vendor refuses, in its own way."""
STEADY = {"down": 1, "lost": 1}
"""Faults of those who are busy all the time, so that their rate is judged: they turn nobody away without a cause. Their
sender would keep far below the rate for it, and a worker that uses the rate of all of them would not show."""
FAILING_JOBS = 4
"""Of a hundred, that come to nothing."""
PAGE = b"<html><body>The service is temporarily unavailable.</body></html>"


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, as it came."""

    method: str
    path: str
    """Below the vendor's name."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    @property
    def asked(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.query).items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """What it says to it; `reset` cuts the connection instead."""

    status: int = 200
    value: object = None
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    reset: bool = False

    @property
    def body(self) -> bytes:
        if self.raw is not None:
            return self.raw
        return b"" if self.value is None else orjson.dumps(self.value)


@dataclass(slots=True)
class Taken:
    """One change that a vendor has taken."""

    kind: str
    """identify or track."""
    person: int
    value: int
    at_s: float
    told: bool = True
    """Whether the answer said so; if not, it may come once more."""


def person_of(text: object) -> int:
    """`u-17`, `p17@example.com`."""
    found = re.search(r"\d+", str(text))
    assert found is not None, f"{text!r} is nobody"
    return int(found[0])


def is_bad(person: int) -> bool:
    return person % BAD_OF == 7


def value_of(fields: Mapping[str, object]) -> int:
    """The trait's value among the fields, whatever the vendor's way with names and types: `n7`, `N7`, `n7__c`."""
    (found,) = [value for name, value in fields.items() if re.fullmatch(r"[nN]\d+(__c)?", name)]
    assert isinstance(found, int | str), fields
    return int(found)


class Sessions:
    """The access tokens that a vendor has given: all of them are good, each for so many calls.

    That a new one ends those before it is said of none of the vendors here.
    """

    def __init__(self, name: str, calls_max: int) -> None:
        self._name = name
        self._calls_max = calls_max
        self._left: dict[str, int] = {}

    def new(self) -> str:
        token = f"canary-token-{self._name}-{len(self._left) + 1}"
        self._left[token] = self._calls_max
        return token

    def call(self, token: str) -> Literal["good", "ended", "unknown"]:
        """One more with this token."""
        if token not in self._left:
            return "unknown"
        self._left[token] -= 1
        return "good" if self._left[token] >= 0 else "ended"


class Jobs:
    """What a vendor works on for a moment after it has answered; what an answer said of it may be lost, too."""

    def __init__(self, lot: Random) -> None:
        self._lot = lot
        self._all: dict[str, tuple[float, object, list[Taken], list[Taken]]] = {}

    def begin(self, result: object, taken: list[Taken]) -> str:
        """A new one. What is taken is not told yet."""
        id_ = f"job-{len(self._all)}"
        telling = [one for one in taken if one.told]
        for one in taken:
            one.told = False
        self._all[id_] = (time.monotonic() + self._lot.choice([0.0, 0.5, 1.5]), result, taken, telling)
        return id_

    def open(self) -> int:
        """How many are not done."""
        return sum(done_s > time.monotonic() for done_s, *_ in self._all.values())

    def result(self, id_: str) -> tuple[object | None, list[Taken]]:
        """What it came to, None before it is done; and what was taken with it."""
        done_s, result, taken, _ = self._all[id_]
        return (result if time.monotonic() >= done_s else None), taken

    def tell(self, id_: str) -> None:
        """The answer says all that there is to say."""
        for one in self._all[id_][3]:
            one.told = True


class Vendor(ABC):
    """One vendor; its class says what its documentation says."""

    name: ClassVar[str]
    per_s: ClassVar[float]
    """Requests in any one second that it was agreed it is sent."""
    windows: ClassVar[tuple[tuple[int, float], ...]] = ()
    """Its own limits: so many requests in so many seconds."""
    in_flight_max: ClassVar[int]
    body_bytes_max: ClassVar[int] = 10_000_000
    takes_s: ClassVar[float] = 0.02
    login: ClassVar[str] = ""
    """The path where tokens are given. It is another service than the rest, with none of its ways to throttle."""
    calls_of_a_token: ClassVar[int] = 10**9
    faults: ClassVar[Mapping[str, int]] = {"throttle": 2, "down": 1, "lost": 1}
    """Fault → of how many in a hundred requests."""

    def __init__(self, seed: int) -> None:
        self.lot = Random(f"{seed}/{self.name}")
        self.stamps: list[float] = []
        self.taken: list[Taken] = []
        self.passed_limits: list[str] = []
        """Where the sender has gone above a limit of size or of requests at once."""
        self.too_fast: list[tuple[float, float, float]] = []
        """Where it has passed one of the windows: when, in how many seconds so many came, and in how many they may."""
        self.odd: list[str] = []
        """Requests that the documentation knows nothing of."""
        self.told: Counter[str] = Counter()
        """Fault → how often."""
        self.at_once = 0
        self.at_once_max = 0
        self.sessions = Sessions(self.name, self.calls_of_a_token)
        self._recent: deque[float] = deque()
        self._now: list[Taken] = []

    # what a vendor's class says

    @abstractmethod
    def serve(self, ask: Ask) -> Answer:
        """A request within the limits, from whoever it may be."""

    def throttled(self) -> Answer:
        """There have been too many."""
        return Answer(429, {"message": "too many requests"}, {"Retry-After": "1"})

    def crowded(self) -> Answer:
        """There are too many at once."""
        return self.throttled()

    # what all have in common

    @contextmanager
    def under_way(self) -> Iterator[None]:
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            yield
        finally:
            self.at_once -= 1

    def receive(self, ask: Ask) -> Answer:
        now_s = time.monotonic()
        self.stamps.append(now_s)
        if self._above(now_s):
            return self.throttled()
        if self.at_once > self.in_flight_max:
            self.passed_limits.append(f"{self.at_once} at once")
            return self.crowded()
        if len(ask.body) > self.body_bytes_max:
            self.passed_limits.append(f"{len(ask.body)} bytes")
            return Answer(413, {"message": "too large"})
        fault = self._fault()
        if fault == "throttle" and ask.path != self.login:
            return self.throttled()
        if fault == "down":
            date = formatdate(time.time() + 1, usegmt=True)
            after: dict[str, str] = self.lot.choice([{}, {"Retry-After": "1"}, {"Retry-After": date}])
            return Answer(self.lot.choice([500, 502, 503, 504]), None, after, PAGE)
        self._now = []
        answer = self.serve(ask)
        if answer.status == 404:
            self.odd.append(f"{ask.method} {ask.path}")
        if fault == "lost":
            for one in self._now:
                one.told = False
            return Answer(reset=True)
        return answer

    def took(self, kind: str, person: int, value: int, *, told: bool = True) -> None:
        one = Taken(kind, person, value, time.monotonic(), told)
        self.taken.append(one)
        self._now.append(one)

    def _above(self, now_s: float) -> bool:
        """Whether one of its own limits is passed; those turned away do not count."""
        for count, seconds in self.windows:
            recent = [stamp for stamp in self._recent if now_s - stamp < seconds]
            if len(recent) >= count:
                self.too_fast.append((now_s, now_s - recent[-count], seconds))
                return True
        self._recent.append(now_s)
        while now_s - self._recent[0] > max((seconds for _, seconds in self.windows), default=0.0):
            self._recent.popleft()
        return False

    def lets_fail(self) -> bool:
        """Whether a job that begins now is to come to nothing."""
        fails = self.lot.randrange(100) < FAILING_JOBS
        self.told["job failed"] += fails
        return fails

    def _fault(self) -> str:
        drawn = self.lot.randrange(100)
        for fault, percent in self.faults.items():
            if drawn < percent:
                self.told[fault] += 1
                return fault
            drawn -= percent
        return ""


def bearer(ask: Ask) -> str:
    """The token of bearer authentication; empty without."""
    kind, _, token = ask.headers.get("authorization", "").partition(" ")
    return token if kind == "Bearer" else ""


def basic(ask: Ask) -> str:
    """`user:password` of basic authentication; empty without."""
    kind, _, text = ask.headers.get("authorization", "").partition(" ")
    return b64decode(text).decode() if kind == "Basic" else ""
