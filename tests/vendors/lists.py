"""Vendors of lists, as their documentation has them: behind a lane's transport, on the running loop's clock."""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import orjson

from app.activation.destination import Request
from app.activation.outcome import Failure, Response
from app.activation.settings import Secret

TAKES_S = 0.05


@dataclass(frozen=True, slots=True)
class Window:
    """So many of the requests that the pattern is found in, in so many seconds."""

    name: str
    pattern: str
    count: int
    seconds: float


class ListSite(ABC):
    """Keeps lists, and answers requests. What its documentation does not know is a test's failure."""

    takes_s = TAKES_S
    works_s = 0.0
    """Until a job is done."""
    windows: ClassVar[tuple[Window, ...]] = ()
    """Its documented limits. It turns away what is above, and that does not count."""

    def __init__(self) -> None:
        self.lists: dict[str, set[str]] = {}
        """Its id → who is on it, as the vendor knows people."""
        self.bad: set[str] = set()
        """Whom it refuses, where it says so of single members at all."""
        self.too_fast: list[tuple[float, float, float]] = []
        """Where a window was passed: when, in how many seconds so many came, and in how many they may."""
        self.at_once = self.at_once_max = 0
        self._recent: dict[Window, deque[float]] = {window: deque() for window in self.windows}
        self.asked: list[tuple[float, str, Any]] = []
        """When, method and path, body."""
        self._arrived = asyncio.Event()

    async def until(self, requests: int) -> None:
        """Wait until so many have come."""
        while len(self.asked) < requests:
            self._arrived.clear()
            await self._arrived.wait()

    async def deliver(self, request: Request, timeout_s: float) -> Response | Failure:
        parts = urlsplit(request.url.reveal() if isinstance(request.url, Secret) else request.url)
        what = f"{request.method} {parts.path}"
        is_json = "json" in str(request.headers.get("Content-Type", "json"))
        body = orjson.loads(request.body or b"null") if is_json else request.body.decode()
        self.asked.append((self.now_s, what, body))
        self._arrived.set()
        query = {name: ",".join(values) for name, values in parse_qs(parts.query).items()}
        above = self._above(what)
        answer = self.throttled(above) if above else self.answer(what, query, body)
        self.at_once += 1
        self.at_once_max = max(self.at_once_max, self.at_once)
        try:
            await asyncio.sleep(self.takes_s)
        finally:
            self.at_once -= 1
        return answer

    def _above(self, what: str) -> str:
        """The window that one more request passes, empty for none."""
        counted = [(window, recent) for window, recent in self._recent.items() if re.search(window.pattern, what)]
        for window, recent in counted:
            while recent and self.now_s - recent[0] >= window.seconds:
                recent.popleft()
            if len(recent) >= window.count:
                self.too_fast.append((self.now_s, self.now_s - recent[0], window.seconds))
                return window.name
        for _, recent in counted:
            recent.append(self.now_s)
        return ""

    def made(self, id_: str = "", members: Iterable[str] = ()) -> str:
        """A new list's id; the one that is called so, where ids are the sender's."""
        id_ = id_ or str(len(self.lists) + 1)
        self.lists.setdefault(id_, set()).update(members)
        return id_

    def change(self, list_: str, members: Collection[str], *, add: bool) -> list[str]:
        """Put on a list or taken off; gives who is refused."""
        there, refused = self.lists[list_], [who for who in members if add and who in self.bad]
        self.lists[list_] = there.union(members) - {*refused} if add else there.difference(members)
        return refused

    def throttled(self, window: str) -> Response:
        """What it says to a request above that window."""
        return told({"message": "too many requests"}, 429, {"retry-after": "10"})

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def times(self, what: str) -> list[float]:
        """When it was asked so."""
        return [at_s for at_s, asked, _ in self.asked if asked == what]

    @abstractmethod
    def answer(self, what: str, query: dict[str, str], body: Any) -> Response | Failure:
        """To `METHOD /path`, with the query and the body that came with it."""


class DataManager(ListSite):
    """Google's: an upload is refused whole for one bad member; else it is accepted, and done 45 minutes later.

    What becomes of the next uploads stands in `fates` (a status, and how many it leaves out), else they succeed.
    """

    WRITES, READS = r"^POST /v1/a", r"^GET /v1/"
    windows: ClassVar = (
        Window("writes a minute", WRITES, 300, 60.0), Window("writes a day", WRITES, 100_000, 86_400.0),
        Window("reads a minute", READS, 300, 60.0), Window("reads a day", READS, 100_000, 86_400.0),
    )  # fmt: skip
    """Of a cloud project; a new token is another service's."""
    works_s = 2_700.0
    STATUS = "GET /v1/requestStatus:retrieve"

    def __init__(self) -> None:
        super().__init__()
        self.fates: deque[tuple[str, int]] = deque()
        self._jobs: dict[str, tuple[float, str, int, str, list[str], bool]] = {}

    def throttled(self, window: str) -> Response:
        quota = {"minute": "WriteRequestsPerMinutePerProject", "day": "WriteRequestsPerDayPerProject"}
        details = [{"reason": "RATE_LIMIT_EXCEEDED", "metadata": {"quota_limit": quota[window.rpartition(" ")[2]]}}]
        return told({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}}, 429)

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /token":
                return told({"access_token": "canary-at", "expires_in": 3_599})
            case (
                "POST /v1/accountTypes/GOOGLE_ADS/accounts/1234567890/userLists"
                | "POST /v1/accountTypes/DISPLAY_VIDEO_ADVERTISER/accounts/55/userLists"
            ):
                id_ = self.made(f"L{len(self.lists) + 1}")
                return told({"name": f"{what.removeprefix('POST /v1/')}/{id_}"})
            case "POST /v1/audienceMembers:ingest" | "POST /v1/audienceMembers:remove":
                return self._upload(body, add=what.endswith("ingest"))
            case self.STATUS:
                return self._status(query["requestId"])
        raise AssertionError(f"the documentation does not know {what}")

    def _upload(self, body: Any, *, add: bool) -> Response:
        (to,), members = body["destinations"], body["audienceMembers"]
        assert len(members) <= 10_000
        assert body["encoding"] == "HEX"
        assert ("termsOfService" in body) == add
        known = [one["userData"]["userIdentifiers"][0].get("emailAddress", "") for one in members]
        bad = [index for index, email in enumerate(known) if len(email) != 64 or (add and email in self.bad)]
        if bad:
            fields = [{"field": f"audience_members.audience_members[{index}].user_data"} for index in bad]
            error = {"code": 400, "status": "INVALID_ARGUMENT", "details": [{"fieldViolations": fields}]}
            return told({"error": error}, 400)
        status, out = self.fates.popleft() if self.fates else ("SUCCESS", 0)
        job = f"job-{len(self._jobs)}"
        self._jobs[job] = (self.now_s + self.works_s, status, out, to["productDestinationId"], known, add)
        taken = {*known[: len(known) - out]} if status != "FAILED" else set()
        self.change(to["productDestinationId"], taken, add=add)
        return told({"requestId": job})

    def _status(self, job: str) -> Response:
        done_s, status, out, list_, known, add = self._jobs[job]
        if self.now_s < done_s:
            return told({"requestStatusPerDestination": [{"requestStatus": "PROCESSING"}]})
        count = {"recordCount": str(len(known) if status == "FAILED" else out)}
        errors = {"errorCounts": [count | {"reason": "PROCESSING_ERROR_REASON_INTERNAL_ERROR"}]}
        kind = "audienceMembersIngestionStatus" if add else "audienceMembersRemovalStatus"
        one: dict[str, Any] = {"destination": {"productDestinationId": list_}, "requestStatus": status, kind: {}}
        return told({"requestStatusPerDestination": [one | ({"errorInfo": errors} if status != "SUCCESS" else {})]})


class Facebook(ListSite):
    """Keeps audiences of the ad account 123. A session's requests are of one kind, without a gap, none behind the last.

    `script` is what comes instead of the next answers to uploads; None: the answer as it is. At a Failure it has acted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[int, list[tuple[str, int, bool, int, int]]] = {}
        """Session → method, number, last, total and rows of each of its requests, repeats too."""
        self.script: deque[Response | Failure | None] = deque()

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response | Failure:
        if what == "POST /v25.0/act_123/customaudiences":
            return told({"id": self.made(str(700 + len(self.lists)))})
        method, _, path = what.partition(" ")
        _, _, audience, users = path.split("/")
        assert users == "users", f"the documentation does not know {what}"
        rows = {row[0] for row in body["payload"]["data"]}
        session = body.get("session")
        if session is not None:
            self._note(method, session, len(rows))
        said = self.script.popleft() if self.script else None
        if not isinstance(said, Response):
            self.change(audience, rows, add=method == "POST")
        return said or told({"audience_id": audience, "num_received": len(rows), "num_invalid_entries": 0})

    def _note(self, method: str, session: Any, rows: int) -> None:
        before = self.sessions.setdefault(session["session_id"], [])
        number, last = session["batch_seq"], session["last_batch_flag"]
        assert number in ({1} if not before else {before[-1][1], before[-1][1] + 1}), "a gap"
        assert not before or number == before[-1][1] or not before[-1][2], "something after the last"
        assert not before or before[-1][0] == method
        before.append((method, number, last, session["estimated_num_total"], rows))


class MarketoLists(ListSite):
    """Static lists: files of leads are imported, of which ten may wait; a lead's id is its place among all leads."""

    windows: ClassVar = (Window("requests in 20 s", "/rest/|/bulk/", 100, 20.0),)
    works_s = 40.0

    def __init__(self) -> None:
        super().__init__()
        self.leads: dict[str, int] = {}
        self.waiting = 0
        """Files of others that wait to be imported; they are done when the next one has been turned away."""
        self.silent = False
        """An import counts failed rows, and names none; an upsert takes them."""
        self._jobs: list[tuple[float, str, set[str]]] = []

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "GET /identity/oauth/token":
                return told({"access_token": "canary-at", "expires_in": 3_599})
            case "GET /rest/asset/v1/folder/byName.json":
                return self._result([{"id": 5}])
            case "POST /rest/asset/v1/staticLists.json":
                return self._result([{"id": int(self.made(str(11 + len(self.lists))))}])
            case "POST /bulk/v1/leads.json":
                return self._import(query, body)
            case "POST /rest/v1/leads.json" if query.get("_method") == "GET":
                return self._found(parse_qs(body)["filterValues"][0])
            case "POST /rest/v1/leads.json":
                assert len(body["input"]) <= 300
                return self._result([self._upserted(one["email"]) for one in body["input"]])
            case "GET /rest/v1/leads.json":
                return self._found(query["filterValues"])
        method, _, path = what.partition(" ")
        if path.startswith("/rest/v1/lists/"):
            return self._change(path.split("/")[4], query["id"].split(","), add=method == "POST")
        place, _, rest = what.partition("/bulk/v1/leads/batch/")
        assert place == "GET ", f"the documentation does not know {what}"
        job, _, file = rest.removesuffix(".json").partition("/")
        return self._failures(job) if file == "failures" else self._job(job)

    def _upserted(self, email: str) -> dict[str, Any]:
        if email in self.bad and not self.silent:
            return {"status": "skipped", "reasons": [{"code": "1003", "message": "not valid"}]}
        return {"id": self._lead(email), "status": "created"}

    def _found(self, emails: str) -> Response:
        found = [email for email in emails.split(",") if email in self.leads]
        return self._result([{"id": self._lead(email), "email": email} for email in found])

    def _change(self, list_: str, ids: list[str], *, add: bool) -> Response:
        assert len(ids) <= 300
        known = {str(number): email for email, number in self.leads.items()}
        emails, there = {known[id_] for id_ in ids}, self.lists[list_]
        self.lists[list_] = there | emails if add else there - emails
        return self._result([{"id": int(id_), "status": "added"} for id_ in ids])

    def _import(self, query: dict[str, str], body: str) -> Response:
        assert query == {"format": "csv", "listId": query["listId"], "lookupField": "email"}
        if self.waiting >= 10:
            self.waiting = 0
            return told({"success": False, "errors": [{"code": "1016", "message": "Too many imports"}]})
        head, *emails = body.split("\r\n\r\n")[1].split("\r\n--")[0].split()
        assert head == "email"
        self._jobs.append((self.now_s + self.works_s, query["listId"], {*emails}))
        return self._result([{"batchId": len(self._jobs), "status": "Queued"}])

    def _job(self, job: str) -> Response:
        done_s, list_, emails = self._jobs[int(job) - 1]
        if self.now_s < done_s:
            return self._result([{"status": "Importing"}])
        good = emails - self.bad
        for email in sorted(good):
            self._lead(email)
        self.change(list_, good, add=True)
        count = {"numOfLeadsProcessed": len(good), "numOfRowsFailed": len(emails - good)}
        return self._result([{"status": "Complete"} | count])

    def _failures(self, job: str) -> Response:
        bad = set() if self.silent else self._jobs[int(job) - 1][2] & self.bad
        rows = [f"{email},Invalid email address" for email in sorted(bad)]
        return Response(200, {}, "\n".join(["email,Import Failure Reason", *rows]).encode())

    def _lead(self, email: str) -> int:
        return self.leads.setdefault(email, len(self.leads) + 1)

    @staticmethod
    def _result(result: list[dict[str, Any]]) -> Response:
        return told({"requestId": "r", "success": True, "result": result})


def told(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(status, headers or {}, orjson.dumps(value))
