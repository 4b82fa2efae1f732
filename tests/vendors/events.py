"""Vendors of messages and analytics. What each does is from its documentation, by way of the project's page on it."""

from __future__ import annotations

import time
from hashlib import md5
from typing import Any, ClassVar

from tests.vendors.vendor import STEADY, Answer, Ask, Jobs, Vendor, basic, is_bad, person_of, value_of


class Braze(Vendor):
    name = "braze"
    per_s = 100
    windows = ((3_000, 3.0),)
    in_flight_max = 50
    body_bytes_max = 4_000_000

    def throttled(self) -> Answer:
        return Answer(429, {"message": "Rate limit exceeded"}, {"X-RateLimit-Reset": str(int(time.time()) + 1)})

    def serve(self, ask: Ask) -> Answer:
        if ask.headers.get("authorization") != "Bearer canary-braze":
            return Answer(401, {"message": "Invalid API key"})
        if (ask.method, ask.path) != ("POST", "/users/track"):
            return Answer(404)
        attributes, events = ask.json.get("attributes", []), ask.json.get("events", [])
        count = len(attributes) + len(events)
        if count > 75 or (count > 1 and ask.headers.get("x-braze-batch") != "true"):
            return Answer(400, {"message": "Invalid batch"})
        errors = []
        for array, items in (("attributes", attributes), ("events", events)):
            for index, item in enumerate(items):
                person = person_of(item["external_id"])
                if is_bad(person):
                    errors.append({"type": "'external_id' is not allowed", "input_array": array, "index": index})
                elif array == "events":
                    assert {"name", "time"} <= item.keys()
                    self.took("track", person, value_of(item["properties"]))
                else:
                    self.took("identify", person, value_of(item))
        return Answer(
            201,
            {"message": "success", "attributes_processed": len(attributes)} | ({"errors": errors} if errors else {}),
        )


class Iterable(Vendor):
    name = "iterable"
    per_s = 5
    windows = ((5, 1.0),)
    in_flight_max = 50
    body_bytes_max = 4_000_000

    def throttled(self) -> Answer:
        return Answer(429, {"code": "RateLimitExceeded", "msg": "Too many requests"})

    def serve(self, ask: Ask) -> Answer:
        if ask.headers.get("api-key") != "canary-iterable":
            return Answer(401, {"code": "BadApiKey", "msg": "Invalid API key"})
        match ask.path:
            case "/api/users/bulkUpdate":
                items, kind = ask.json["users"], "identify"
            case "/api/events/trackBulk":
                items, kind = ask.json["events"], "track"
            case _:
                return Answer(404)
        bad = []
        ids = [item["userId"] for item in items]
        if len(items) > 1_000 or len({*ids}) != len(ids):
            return Answer(400, {"code": "BadParams", "msg": "too many, or one twice"})
        for item in items:
            person = person_of(item["userId"])
            if is_bad(person):
                bad.append(item["userId"])
            else:
                self.took(kind, person, value_of(item["dataFields"]))
        told = {"invalidUserIds": bad, "invalidEmails": [], "failedUpdates": {"invalidUserIds": bad}}
        return Answer(200, {"successCount": len(items) - len(bad), "failCount": len(bad)} | told)


class CustomerIo(Vendor):
    name = "customerio"
    per_s = 30
    windows = ((3_000, 3.0),)
    in_flight_max = 10
    body_bytes_max = 500_000

    def throttled(self) -> Answer:
        return Answer(429, {"errors": [{"reason": "rate_limit"}]})

    def serve(self, ask: Ask) -> Answer:
        if basic(ask) != "canary-site:canary-cio":
            return Answer(401, {"meta": {"error": "unauthorized"}})
        if ask.path != "/api/v2/batch":
            return Answer(404)
        errors = []
        for index, item in enumerate(ask.json["batch"]):
            person = person_of(item["identifiers"]["id"])
            if item["type"] != "person" or is_bad(person):
                errors.append({"batch_index": index, "reason": "invalid", "field": "identifiers", "message": "no"})
            else:
                kind = {"identify": "identify", "event": "track"}[item["action"]]
                self.took(kind, person, value_of(item["attributes"]))
        return Answer(207, {"errors": errors}) if errors else Answer(200, {})


class Klaviyo(Vendor):
    name = "klaviyo"
    per_s = 2
    windows = ((10, 1.0), (150, 60.0))
    in_flight_max = 10
    body_bytes_max = 5_000_000

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._jobs = Jobs(self.lot)

    def throttled(self) -> Answer:
        return Answer(429, {"errors": [{"code": "throttled"}]}, {"Retry-After": "1"})

    def serve(self, ask: Ask) -> Answer:
        if ask.headers.get("authorization") != "Klaviyo-API-Key pk_canary":
            return Answer(401, {"errors": [{"code": "not_authenticated"}]})
        if ask.method == "GET" and ask.path.startswith("/api/profile-bulk-import-jobs/"):
            return self._job(ask.path.removeprefix("/api/profile-bulk-import-jobs/"))
        if "revision" not in ask.headers or ask.headers.get("content-type") != "application/vnd.api+json":
            return Answer(400, {"errors": [{"code": "invalid"}]})
        attributes = ask.json["data"]["attributes"]
        match ask.path:
            case "/api/profile-import":
                return self._one("identify", attributes, attributes["properties"], 200)
            case "/api/events":
                return self._one("track", attributes["profile"]["data"]["attributes"], self._event(attributes), 202)
            case "/api/profile-bulk-import-jobs":
                return self._import([one["attributes"] for one in attributes["profiles"]["data"]])
            case "/api/event-bulk-create-jobs":
                return self._events([one["attributes"] for one in attributes["events-bulk-create"]["data"]])
        return Answer(404)

    @staticmethod
    def _event(attributes: dict[str, Any]) -> dict[str, Any]:
        assert attributes["unique_id"]
        assert attributes["metric"]["data"]["attributes"]["name"]
        properties: dict[str, Any] = attributes["properties"]
        return properties

    def _one(self, kind: str, who: dict[str, Any], fields: dict[str, Any], status: int) -> Answer:
        person = person_of(who.get("external_id") or who["email"])
        if is_bad(person):
            return self._refused("/data/attributes/email")
        self.took(kind, person, value_of(fields))
        return Answer(status, {"data": {"id": str(person)}} if status == 200 else None)

    @staticmethod
    def _refused(pointer: str) -> Answer:
        return Answer(400, {"errors": [{"code": "invalid", "detail": "Invalid", "source": {"pointer": pointer}}]})

    def _import(self, profiles: list[dict[str, Any]]) -> Answer:
        assert 1 < len(profiles) <= 10_000, "it is not for single ones"
        assert None not in [value for one in profiles for value in one["properties"].values()], "it clears nothing"
        if self.lets_fail():
            return Answer(202, {"data": {"id": self._jobs.begin("failed", [])}})
        bad = []
        for one in profiles:
            person = person_of(one["external_id"])
            if is_bad(person):
                bad.append({"attributes": {"original_payload": one}})
            else:
                self.took("identify", person, value_of(one["properties"]))
        return Answer(202, {"data": {"id": self._jobs.begin(bad, self._now)}})

    def _job(self, path: str) -> Answer:
        id_, _, errors = path.partition("/")
        bad, self._now = self._jobs.result(id_)
        if not isinstance(bad, list):
            return Answer(200, {"data": {"attributes": {"status": bad or "processing"}}})
        if errors or not bad:
            self._jobs.tell(id_)
        if errors:
            return Answer(200, {"data": bad, "links": {"next": None}})
        return Answer(200, {"data": {"attributes": {"status": "complete", "failed_count": len(bad)}}})

    def _events(self, entries: list[dict[str, Any]]) -> Answer:
        told = [
            (person_of(one["profile"]["data"]["attributes"]["external_id"]), self._event(each["attributes"]))
            for one in entries
            for each in one["events"]["data"]
        ]
        if len(told) > 1_000:
            return self._refused("/data/attributes/events-bulk-create")
        bad = [at for at, (person, _) in enumerate(told) if is_bad(person)]
        if bad:
            return self._refused(f"/data/attributes/events-bulk-create/data/{bad[0]}/attributes/profile")
        for person, properties in told:
            self.took("track", person, value_of(properties))
        return Answer(202)


class Amplitude(Vendor):
    name = "amplitude"
    per_s = 20
    windows = ((100, 1.0),)
    in_flight_max = 10
    body_bytes_max = 1_000_000
    faults: ClassVar = {"down": 2, "lost": 1}

    def serve(self, ask: Ask) -> Answer:
        if ask.path != "/2/httpapi":
            return Answer(404)
        if ask.json["api_key"] != "canary-amplitude":
            return Answer(400, {"code": 400, "error": "Invalid API key: no"})
        events = ask.json["events"]
        if len(events) > 2_000:
            return Answer(413, {"code": 413, "error": "Payload too large"})
        people = [person_of(event["user_id"]) for event in events]
        bad = [index for index, person in enumerate(people) if is_bad(person)]
        if bad:
            return Answer(
                400,
                {
                    "code": 400,
                    "error": "Request missing required field",
                    "events_with_invalid_fields": {"user_id": bad},
                },
            )
        for event, person in zip(events, people, strict=True):
            assert event["insert_id"]
            if event["event_type"] == "$identify":
                self.took("identify", person, value_of(event["user_properties"]["$set"]))
            else:
                self.took("track", person, value_of(event["event_properties"]))
        return Answer(200, {"code": 200, "events_ingested": len(events)})


class Mailchimp(Vendor):
    name = "mailchimp"
    per_s = 10
    in_flight_max = 10
    faults: ClassVar = STEADY

    def throttled(self) -> Answer:
        return Answer(403, None, {}, b"")

    def serve(self, ask: Ask) -> Answer:
        if basic(ask).partition(":")[2] != "canary-us6":
            return Answer(401, {"title": "API Key Invalid"})
        if (ask.method, ask.path) == ("GET", "/3.0/lists/a1"):
            return Answer(200, {"double_optin": False})
        start = "/3.0/lists/a1/members/"
        if ask.method != "PUT" or not ask.path.startswith(start):
            return Answer(404)
        address, fields = ask.json["email_address"], ask.json["merge_fields"]
        key = md5(address.lower().encode(), usedforsecurity=False).hexdigest()
        sound = all(isinstance(value, str) and len(tag) <= 10 and tag == tag.upper() for tag, value in fields.items())
        if ask.path != start + key or not sound or is_bad(person_of(address)):
            return Answer(400, {"title": "Invalid Resource", "status": 400, "detail": "looks fake or invalid"})
        self.took("identify", person_of(address), value_of(fields))
        return Answer(200, {"id": key, "status": "subscribed"})


class SendGrid(Vendor):
    name = "sendgrid"
    per_s = 100
    in_flight_max = 10
    body_bytes_max = 6_000_000

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self._jobs = Jobs(self.lot)

    def throttled(self) -> Answer:
        headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1)}
        return Answer(429, {"errors": [{"message": "too many requests"}]}, headers)

    def serve(self, ask: Ask) -> Answer:
        if ask.headers.get("authorization") != "Bearer canary-sendgrid":
            return Answer(401, {"errors": [{"message": "authorization required"}]})
        path = ask.path.removeprefix("/v3/marketing")
        if (ask.method, path) == ("GET", "/field_definitions"):
            names = [{"id": f"e{number}_T", "name": f"n{number}", "field_type": "Text"} for number in range(40)]
            return Answer(200, {"custom_fields": names, "reserved_fields": []})
        if path.startswith("/contacts/imports/"):
            return self._job(path.rpartition("/")[2])
        if (ask.method, path) != ("PUT", "/contacts"):
            return Answer(404)
        people = [person_of(contact["external_id"]) for contact in ask.json["contacts"]]
        bad = sum(map(is_bad, people))
        for contact, person in zip(ask.json["contacts"], people, strict=True):
            assert contact["email"] == f"p{person}@example.com"  # all the identifiers that it has
            ((field, value),) = contact["custom_fields"].items()
            assert isinstance(value, str), "a text field holds texts"
            if not is_bad(person):
                # The job's answer does not say whom it concerns.
                self.took("identify", person, value_of({f"n{person_of(field)}": value}), told=not bad)
        return Answer(202, {"job_id": self._jobs.begin(bad, self._now)})

    def _job(self, job: str) -> Answer:
        bad, self._now = self._jobs.result(job)
        if bad is None:
            return Answer(200, {"id": job, "status": "pending"})
        self._jobs.tell(job)
        results = {"errored_count": bad, "errors_url": "https://example.com/errors.csv"}
        return Answer(200, {"id": job, "status": "errored" if bad else "completed", "results": results})
