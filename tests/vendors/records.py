"""Vendors of customer records: CRM, support, journeys."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from typing import Any, ClassVar

from tests.vendors.vendor import STEADY, Answer, Ask, Jobs, Vendor, basic, bearer, is_bad, person_of, value_of


class HubSpot(Vendor):
    name = "hubspot"
    per_s = 5
    windows = ((190, 10.0),)
    in_flight_max = 5

    def throttled(self) -> Answer:
        return Answer(429, {"status": "error", "errorType": "RATE_LIMIT", "policyName": "SECONDLY"})

    def serve(self, ask: Ask) -> Answer:
        if ask.headers.get("authorization") != "Bearer canary-hubspot":
            return Answer(401, {"category": "INVALID_AUTHENTICATION"})
        if ask.path != "/crm/v3/objects/contacts/batch/upsert":
            return Answer(404)
        inputs = ask.json["inputs"]
        if len(inputs) > 100 or len({one["id"] for one in inputs}) != len(inputs):
            return Answer(400, {"category": "VALIDATION_ERROR", "message": "too many, or one twice"})
        results, errors = [], []
        for one in inputs:
            person = person_of(one["id"])
            assert all(isinstance(value, str) for value in one["properties"].values())
            assert one["idProperty"] == "email"
            if is_bad(person):
                context = {"objectWriteTraceId": [one["objectWriteTraceId"]]}
                errors.append({"status": "error", "category": "VALIDATION_ERROR", "context": context})
            else:
                self.took("identify", person, value_of(one["properties"]))
                results.append({"id": str(person)})
        reply = {"status": "COMPLETE", "results": results}
        return Answer(207, reply | {"numErrors": len(errors), "errors": errors}) if errors else Answer(200, reply)


class Intercom(Vendor):
    name = "intercom"
    per_s = 8
    windows = ((1_666, 10.0),)
    in_flight_max = 8
    faults: ClassVar = STEADY
    takes_s = 0.05
    LAG_S: ClassVar = 0.3
    """The search finds a contact only so long after it was made."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._made_s: dict[int, float] = {}

    def throttled(self) -> Answer:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1)}
        return Answer(429, {"errors": [{"code": "rate_limit_exceeded"}]}, headers)

    def serve(self, ask: Ask) -> Answer:
        if ask.headers.get("authorization") != "Bearer canary-intercom" or "intercom-version" not in ask.headers:
            return Answer(401, {"errors": [{"code": "unauthorized"}]})
        if (ask.method, ask.path) == ("POST", "/contacts/search"):
            query = ask.json["query"]
            person = person_of(query["value"])
            made_s = self._made_s.get(person)
            found = query["field"] == "external_id" and made_s is not None and made_s + self.LAG_S < time.monotonic()
            return Answer(200, {"type": "list", "data": [{"id": f"ic{person}"}] if found else []})
        if (ask.method, ask.path) == ("POST", "/contacts"):
            person = person_of(ask.json["external_id"])
            if person in self._made_s:
                return Answer(409, {"errors": [{"code": "conflict", "message": "exists already"}]})
            if is_bad(person):
                return Answer(400, {"errors": [{"code": "parameter_invalid"}]})
            self._made_s[person] = time.monotonic()
            self.took("identify", person, value_of(ask.json["custom_attributes"]))
            return Answer(200, {"id": f"ic{person}"})
        if ask.method == "PUT" and ask.path.startswith("/contacts/ic"):
            person = person_of(ask.path)
            self.took("identify", person, value_of(ask.json["custom_attributes"]))
            return Answer(200, {"id": f"ic{person}"})
        return Answer(404)


class Marketo(Vendor):
    name = "marketo"
    per_s = 5
    windows = ((100, 20.0),)
    in_flight_max = 10
    body_bytes_max = 1_000_000
    login = "/identity/oauth/token"
    calls_of_a_token = 25

    def throttled(self) -> Answer:
        return self._error("615", "Concurrent access limit reached")

    def serve(self, ask: Ask) -> Answer:
        if ask.path == self.login:
            if ask.asked != {"grant_type": "client_credentials", "client_id": "app", "client_secret": "canary-marketo"}:
                return Answer(401, {"error": "invalid_client"})
            return Answer(200, {"access_token": self.sessions.new(), "token_type": "bearer", "expires_in": 3_599})
        match self.sessions.call(bearer(ask)):
            case "unknown":
                return self._error("601", "Access token invalid")
            case "ended":
                return self._error("602", "Access token expired")
        if (ask.method, ask.path) != ("POST", "/rest/v1/leads.json"):
            return Answer(404)
        inputs = ask.json["input"]
        if len(inputs) > 300 or ask.json["action"] != "createOrUpdate":
            return self._error("1003", "Invalid value")
        result: list[dict[str, object]] = []
        for one in inputs:
            person = person_of(one["email"])
            if is_bad(person):
                result.append({"status": "skipped", "reasons": [{"code": "1003", "message": "Invalid value"}]})
            elif self.lot.random() < 0.01:  # a row that another job has its hands on
                result.append({"status": "skipped", "reasons": [{"code": "1029", "message": "Too many jobs"}]})
            else:
                self.took("identify", person, value_of(one))
                result.append({"id": person, "status": "updated"})
        return Answer(200, {"requestId": "r", "success": True, "result": result})

    @staticmethod
    def _error(code: str, message: str) -> Answer:
        return Answer(200, {"requestId": "r", "success": False, "errors": [{"code": code, "message": message}]})


class Pardot(Vendor):
    name = "pardot"
    per_s = 2
    in_flight_max = 5
    faults: ClassVar = STEADY
    takes_s = 0.1
    login = "/services/oauth2/token"
    calls_of_a_token = 15

    def throttled(self) -> Answer:
        return Answer(400, {"code": 66, "message": "You have exceeded your concurrent request limit"})

    def serve(self, ask: Ask) -> Answer:
        if ask.path == self.login:
            return refreshed(self, ask, "canary-pardot")
        if self.sessions.call(bearer(ask)) != "good":
            return Answer(401, {"code": 184, "message": "access_token is invalid, unknown, or malformed"})
        if ask.headers.get("pardot-business-unit-id") != "0Uv000000000001AAA":
            return Answer(403, None, {}, b'<?xml version="1.0"?><rsp stat="fail"><err code="181">no</err></rsp>')
        if ask.path != "/api/v5/objects/prospects/do/upsertLatestByEmail":
            return Answer(404)
        address, prospect = ask.json["matchEmail"], ask.json["prospect"]
        if is_bad(person_of(address)) or address != address.lower() or prospect["email"] != address:
            return Answer(400, {"code": 71, "message": "Input needs to be of type email"})
        self.took("identify", person_of(address), value_of(prospect))
        return Answer(200, {"id": person_of(address)})


class Sfmc(Vendor):
    name = "sfmc"
    per_s = 20
    in_flight_max = 10
    login = "/v2/token"

    def throttled(self) -> Answer:
        return Answer(429, {"errorcode": 50100, "message": "rate", "retryAfter": 1}, {"Retry-After": "1"})

    def serve(self, ask: Ask) -> Answer:
        if ask.path == self.login:
            wanted = {"grant_type": "client_credentials", "client_id": "app", "client_secret": "canary-sfmc"}
            sound = wanted.items() <= ask.json.items()
            return Answer(200, {"access_token": self.sessions.new(), "expires_in": 1_079}) if sound else Answer(401, {})
        if self.sessions.call(bearer(ask)) != "good":
            return Answer(401, {"errorcode": 0, "message": "Not Authorized"})
        if ask.path not in ("/hub/v1/dataevents/key:Audiences/rowset", "/hub/v1/dataevents/key%3AAudiences/rowset"):
            return Answer(404)
        if len(ask.json) > 10:
            return Answer(400, {"errorcode": 10001, "message": "too many rows"})
        bad = any(is_bad(person_of(row["keys"]["ContactKey"])) for row in ask.json)
        for row in ask.json:
            person = person_of(row["keys"]["ContactKey"])
            if is_bad(person):
                # The rows before it are saved, those behind it are not, and which one it was is not said.
                details = {"additionalErrors": [{"message": "ContactKey is not valid"}]} if len(ask.json) == 1 else {}
                return Answer(400, {"errorcode": 10006, "message": "Unable to save rows for data extension"} | details)
            self.took("identify", person, value_of(row["values"]), told=not bad)
        return Answer(200, ask.json)


class Zendesk(Vendor):
    name = "zendesk"
    per_s = 50
    windows = ((2_500, 60.0),)
    in_flight_max = 10
    OF_A_USER: ClassVar = (5, 60.0)
    JOBS_MAX: ClassVar = 30

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._writes: defaultdict[int, deque[float]] = defaultdict(deque)
        self._jobs = Jobs(self.lot)

    def throttled(self) -> Answer:
        headers = {"X-Rate-Limit": "2500", "X-Rate-Limit-Remaining": "0", "ratelimit-reset": "1"}
        return Answer(429, {"error": "APIRateLimitExceeded"}, headers)

    def serve(self, ask: Ask) -> Answer:
        if basic(ask) != "agent@example.com/token:canary-zendesk":
            return Answer(401, {"error": "Couldn't authenticate you"})
        if ask.method == "GET" and ask.path.startswith("/api/v2/job_statuses/"):
            job = ask.path.rpartition("/")[2].removesuffix(".json")
            results, self._now = self._jobs.result(job)
            if results is None:
                return Answer(200, {"job_status": {"status": "working"}})
            self._jobs.tell(job)
            if results == "failed":
                return Answer(200, {"job_status": {"status": "failed"}})
            return Answer(200, {"job_status": {"status": "completed", "results": results}})
        match ask.method, ask.path:
            case "POST", "/api/v2/users/create_or_update.json":
                return self._one(ask.json["user"])
            case "POST", "/api/v2/users/create_or_update_many.json":
                return self._many(ask.json["users"])
        return Answer(404)

    def _many(self, users: list[dict[str, Any]]) -> Answer:
        assert 1 < len(users) <= 100
        if self._jobs.open() >= self.JOBS_MAX:
            return Answer(429, {"error": "TooManyJobs"}, {"Retry-After": "2"})
        if self.lets_fail():
            return Answer(200, {"job_status": {"id": self._jobs.begin("failed", []), "status": "queued"}})
        results: list[dict[str, object]] = []
        for index, user in enumerate(users):
            person = person_of(user["external_id"])
            if is_bad(person) or not user.get("name"):
                results.append({"id": index, "error": "UserUpdateError", "details": "Email", "status": "Failed"})
            else:
                self.took("identify", person, value_of(user["user_fields"]))
                results.append({"id": 1_900_000_000_000 + person, "status": "Updated"})
        return Answer(200, {"job_status": {"id": self._jobs.begin(results, self._now), "status": "queued"}})

    def _one(self, user: dict[str, Any]) -> Answer:
        person = person_of(user["external_id"])
        now_s = time.monotonic()
        recent = self._writes[person]
        while recent and now_s - recent[0] > self.OF_A_USER[1]:
            recent.popleft()
        if len(recent) >= self.OF_A_USER[0]:
            self.told["user"] += 1
            left = {"X-Rate-Limit-Remaining": "2000", "Retry-After": str(int(61 - (now_s - recent[0])))}
            return Answer(429, None, left, b"Number of allowed requests for this user exceeded")
        if is_bad(person) or not user.get("name"):
            return Answer(422, {"error": "RecordInvalid", "details": {"email": [{"description": "is not valid"}]}})
        recent.append(now_s)
        self.took("identify", person, value_of(user["user_fields"]))
        return Answer(200, {"user": {"id": person}})


class Resci(Vendor):
    name = "resci"
    per_s = 200
    in_flight_max = 20

    def serve(self, ask: Ask) -> Answer:
        if ask.headers.get("authorization") != "Bearer canary-resci":
            return Answer(401, {"message": "unauthorized"})
        if (ask.method, ask.path) != ("POST", "/users"):
            return Answer(404)
        assert ask.json["send_transactional_welcome"] is False
        person = person_of(ask.json["record_id"])
        if is_bad(person):
            return Answer(400, {"message": f"email is invalid; you are {ask.headers['authorization']}"})
        self.took("identify", person, value_of(ask.json))
        return Answer(201, {"id": person})


def refreshed(vendor: Vendor, ask: Ask, secret: str) -> Answer:
    """OAuth's refresh-token grant."""
    wanted = {
        "grant_type": "refresh_token",
        "client_id": "app",
        "client_secret": secret,
        "refresh_token": "canary-refresh",
    }
    if ask.form != wanted:
        return Answer(400, {"error": "invalid_grant"})
    return Answer(200, {"access_token": vendor.sessions.new(), "instance_url": "https://x.my.salesforce.com"})
