"""Responsys: its two interfaces, each with a limit of its own."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.vendors.vendor import Answer, Ask, Jobs, Vendor, is_bad, person_of, value_of


class Responsys(Vendor):
    name = "responsys"
    per_s = 3
    windows = ((400, 60.0),)
    in_flight_max = 3
    faults: ClassVar = {"down": 2, "lost": 1}
    login = "/rest/api/v1.3/auth/token"

    def throttled(self) -> Answer:
        return Answer(429, {"errorCode": "API_LIMIT_EXCEEDED", "title": "API limit", "detail": "wait"})

    def serve(self, ask: Ask) -> Answer:
        if ask.path == self.login:
            sound = ask.form == {"user_name": "api", "password": "canary-responsys", "auth_type": "password"}
            token = {"authToken": self.sessions.new(), "endPoint": "https://x"}
            return Answer(200, token) if sound else Answer(401, {})
        if self.sessions.call(ask.headers.get("authorization", "")) != "good":
            return Answer(401, {"errorCode": "TOKEN_EXPIRED", "title": "Token expired"})
        return self.work(ask)

    def work(self, ask: Ask) -> Answer:
        """A request of somebody who has logged in."""
        if ask.path != "/rest/api/v1.3/lists/CONTACTS/members":
            return Answer(404)
        records = self.merged(ask)
        if records is None:
            return Answer(400, {"errorCode": "INVALID_PARAMETER", "title": "too many records"})
        return Answer(200, records)

    def merged(self, ask: Ask) -> dict[str, object] | None:
        """What a merge answers; None for too many records."""
        data, rule = ask.json["recordData"], ask.json["mergeRule"]
        assert rule["matchColumnName1"] == "EMAIL_ADDRESS_"
        if len(data["records"]) > 200:
            return None
        records = []
        for record in data["records"]:
            row: dict[str, Any] = dict(zip(data["fieldNames"], record, strict=True))
            person = person_of(row["EMAIL_ADDRESS_"])
            if is_bad(person):
                records.append(["MERGEFAILED: Record 1 = INVALID EMAIL"])
            else:
                self.took("identify", person, value_of(row))
                records.append([str(1_000 + person)])
        return {"recordData": {"fieldNames": ["RIID_"], "records": records, "mapTemplateName": None}}


class ResponsysBatch(Responsys):
    """The queue. What has waited in it for an hour is not done any more; here that takes a moment."""

    name = "responsys_batch"
    START: ClassVar = "/rest/asyncApi/v1.3/"

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._jobs = Jobs(self.lot)

    def work(self, ask: Ask) -> Answer:
        if ask.method == "GET" and ask.path.startswith(f"{self.START}requests/"):
            return self._asked(ask.path.rpartition("/")[2])
        if ask.path != f"{self.START}lists/CONTACTS/members":
            return Answer(404)
        if self.lets_fail():
            expired = {"responseMessage": {"errorCode": "ASYNC_REQUEST_EXPIRED"}, "status": "ERROR"}
            return self._accepted(expired)
        merged = self.merged(ask)
        if merged is None:
            return Answer(400, {"errorCode": "RECIPIENT_LIMIT_EXCEEDED", "title": "Recipient limit exceeded"})
        return self._accepted({"response": merged, "status": "SUCCESS"})

    def _accepted(self, result: object) -> Answer:
        return Answer(202, {"requestId": self._jobs.begin(result, self._now), "status": "REQUEST_ACCEPTED"})

    def _asked(self, id_: str) -> Answer:
        result, self._now = self._jobs.result(id_)
        if result is None:
            return Answer(200, {"response": {"errorCode": "PROCESSING_REQUEST"}, "status": "IN_PROGRESS"})
        self._jobs.tell(id_)
        return Answer(200, result)
