"""Salesforce: collections of records, and jobs that upsert a file of them."""

from __future__ import annotations

import csv
from io import StringIO
from typing import Any, ClassVar

from tests.vendors.records import refreshed
from tests.vendors.vendor import Answer, Ask, Jobs, Vendor, bearer, is_bad, person_of, value_of

FIELD = "UserId__c"
LOCKED, REFUSED = "UNABLE_TO_LOCK_ROW", "INVALID_EMAIL_ADDRESS"


class Salesforce(Vendor):
    name = "salesforce"
    per_s = 5
    in_flight_max = 5
    login = "/services/oauth2/token"
    calls_of_a_token = 20
    START: ClassVar = "/services/data/v60.0"

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._jobs = Jobs(self.lot)
        self._files: dict[str, str] = {}
        """Of jobs that wait for the end of their upload."""
        self._begun: dict[str, str] = {}
        """Of those that do not, under which name they are worked on."""

    def throttled(self) -> Answer:
        return Answer(503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "busy"}])

    def serve(self, ask: Ask) -> Answer:
        if ask.path == self.login:
            return refreshed(self, ask, "canary-salesforce")
        if self.sessions.call(bearer(ask)) != "good":
            return Answer(401, [{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}])
        jobs = f"{self.START}/jobs/ingest"
        if (ask.method, ask.path) == ("PATCH", f"{self.START}/composite/sobjects/Contact/{FIELD}"):
            return self._collection(ask.json)
        if (ask.method, ask.path) == ("POST", jobs):
            return self._open(ask.json)
        if not ask.path.startswith(f"{jobs}/"):
            return Answer(404)
        job, _, what = ask.path.removeprefix(f"{jobs}/").partition("/")
        match ask.method, what:
            case "PUT", "batches":
                self._files[job] = ask.body.decode()
                return Answer(201)
            case "PATCH", "":
                return self._close(job, ask.json["state"])
            case "GET", "":
                return self._state(job)
            case "GET", "failedResults":
                return self._failed(job)
        return Answer(404)

    def _collection(self, body: Any) -> Answer:
        records = body["records"]
        if len(records) > 200 or body["allOrNone"] is not False:
            return Answer(400, [{"errorCode": "EXCEEDED_MAX_SIZE_REQUEST", "message": "too many"}])
        assert all(one["attributes"] == {"type": "Contact"} for one in records)
        errors = [self._upserted(one) for one in records]
        return Answer(200, [_result(error) for error in errors])

    def _upserted(self, record: dict[str, Any]) -> str:
        """The code of what is wrong with it; empty where it was taken."""
        person = person_of(record[FIELD])
        if is_bad(person):
            return REFUSED
        if self.lot.random() < 0.01:
            return LOCKED
        self.took("identify", person, value_of({name: value for name, value in record.items() if name != FIELD}))
        return ""

    def _open(self, asked: Any) -> Answer:
        assert asked == {
            "object": "Contact", "operation": "upsert", "externalIdFieldName": FIELD, "contentType": "CSV",
            "lineEnding": "LF",
        }  # fmt: skip
        id_ = f"750{len(self._files)}"
        self._files[id_] = ""
        return Answer(200, {"id": id_, "state": "Open"})

    def _close(self, job: str, state: str) -> Answer:
        if job in self._begun or state not in ("UploadComplete", "Aborted"):
            return Answer(400, [{"errorCode": "INVALIDJOBSTATE", "message": "not open"}])
        if state == "UploadComplete":
            rows = list(csv.DictReader(StringIO(self._files[job])))
            assert 0 < len(rows) <= 5_000
            failed = [] if (fails := self.lets_fail()) else self._rows(rows)
            self._begun[job] = self._jobs.begin("failed" if fails else failed, self._now)
        return Answer(200, {"id": job, "state": state})

    def _rows(self, rows: list[dict[str, str]]) -> list[tuple[str, str]]:
        """(key, code) of those that were not taken."""
        told = [(row[FIELD], self._upserted({name: cell for name, cell in row.items() if cell})) for row in rows]
        return [(key, code) for key, code in told if code]

    def _state(self, job: str) -> Answer:
        result, self._now = self._jobs.result(self._begun[job])
        if result is None:
            return Answer(200, {"id": job, "state": "InProgress"})
        if result == "failed":
            return Answer(200, {"id": job, "state": "Failed", "errorMessage": "InternalServerError : later"})
        assert isinstance(result, list)
        if not result:
            self._jobs.tell(self._begun[job])
        return Answer(200, {"id": job, "state": "JobComplete", "numberRecordsFailed": len(result)})

    def _failed(self, job: str) -> Answer:
        result, self._now = self._jobs.result(self._begun[job])
        self._jobs.tell(self._begun[job])
        assert isinstance(result, list)
        text = StringIO()
        table = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        table.writerow(["sf__Id", "sf__Error", FIELD])
        table.writerows(["", f"{code}:{code.lower()}:--", key] for key, code in result)
        return Answer(200, None, {"Content-Type": "text/csv"}, text.getvalue().encode())


def _result(error: str) -> dict[str, object]:
    if not error:
        return {"id": "003", "success": True, "errors": [], "created": False}
    return {"success": False, "errors": [{"statusCode": error, "message": error.lower(), "fields": []}]}
