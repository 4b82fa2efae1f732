"""Receivers that take the call as it is: a webhook, any HTTP, a stream, a chat."""

from __future__ import annotations

import re
import time
from base64 import b64decode
from email.utils import formatdate
from hashlib import sha256
from hmac import digest
from typing import Any

import orjson
from standardwebhooks import Webhook

from tests.vendors.vendor import Answer, Ask, Vendor, is_bad, person_of, value_of

WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KINESIS_KEY = "canary-kinesis"


def told(call: dict[str, Any]) -> tuple[str, int, int]:
    """Kind, person and value of a Segment call."""
    fields = call["properties"] if call["type"] == "track" else call["traits"]
    return call["type"], person_of(call["userId"]), value_of(fields)


class WebhookReceiver(Vendor):
    name = "webhook"
    per_s = 100
    in_flight_max = 20

    def throttled(self) -> Answer:
        return Answer(429, None, {"Retry-After": formatdate(time.time() + 1, usegmt=True)})

    def serve(self, ask: Ask) -> Answer:
        call = Webhook(WEBHOOK_SECRET).verify(ask.body, dict(ask.headers))
        assert ask.headers["webhook-id"] == call["messageId"]
        kind, person, value = told(call)
        if is_bad(person):
            return Answer(422, {"error": "not here", "received": dict(ask.headers)})
        self.took(kind, person, value)
        return Answer(204)


class AnyHttp(Vendor):
    name = "http"
    per_s = 50
    in_flight_max = 10

    def serve(self, ask: Ask) -> Answer:
        if ask.headers.get("authorization") != "Bearer canary-http" or "idempotency-key" not in ask.headers:
            return Answer(401, {})
        kind, person, value = told(ask.json)
        if ask.path != f"/users/u-{person}":
            return Answer(404)
        if is_bad(person):
            return Answer(
                400, {"error": "not here", "received": dict(ask.headers)}, {"X-Echo": ask.headers["authorization"]}
            )
        self.took(kind, person, value)
        return Answer(200, {"ok": True})


class Kinesis(Vendor):
    name = "kinesis"
    per_s = 50
    in_flight_max = 4
    body_bytes_max = 5 * 1024 * 1024

    def throttled(self) -> Answer:
        return Answer(400, {"__type": "ProvisionedThroughputExceededException", "message": "Rate exceeded"})

    def serve(self, ask: Ask) -> Answer:
        if ask.headers.get("x-amz-target") != "Kinesis_20131202.PutRecords":
            return Answer(404)
        if not signed(ask):
            return Answer(400, {"__type": "InvalidSignatureException", "message": "The signature does not match"})
        records = ask.json["Records"]
        calls = [orjson.loads(b64decode(record["Data"])) for record in records]
        if len(records) > 500 or any(is_bad(told(call)[1]) for call in calls):
            return Answer(400, {"__type": "ValidationException", "message": "A record is not valid"})
        results: list[dict[str, str]] = []
        for record, call in zip(records, calls, strict=True):
            assert record["PartitionKey"].startswith("prf_")
            if self.lot.random() < 0.02:
                results.append({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "Rate exceeded"})
            else:
                self.took(*told(call))
                results.append({"SequenceNumber": str(len(self.taken)), "ShardId": "shardId-000000000000"})
        return Answer(200, {"FailedRecordCount": sum("ErrorCode" in one for one in results), "Records": results})


class Slack(Vendor):
    name = "slack"
    per_s = 1
    windows = ((10, 10.0),)
    """One a second, and short bursts."""
    in_flight_max = 1

    def throttled(self) -> Answer:
        return Answer(429, None, {"Retry-After": "1"}, b"rate_limited")

    def serve(self, ask: Ask) -> Answer:
        if ask.path != "/services/T0/B0/canary-slack":
            return Answer(404, None, {}, b"no_service")
        found = re.fullmatch(r"p(\d+)@example\.com has (\d+)", ask.json["text"])
        assert found is not None, ask.json["text"]
        if is_bad(int(found[1])):
            return Answer(400, None, {}, b"invalid_payload")
        self.took("identify", int(found[1]), int(found[2]))
        return Answer(200, None, {}, b"ok")


def signed(ask: Ask) -> bool:
    """Whether the request bears the Signature Version 4 that its secret key makes."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(CANARYAKID)/([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})",
        ask.headers.get("authorization", ""),
    )
    if found is None:
        return False
    _, scope, names, signature = found.groups()
    lines = "".join(f"{name}:{ask.headers[name]}\n" for name in names.split(";"))
    canonical = "\n".join(["POST", "/", "", lines, names, sha256(ask.body).hexdigest()])
    text = "\n".join(["AWS4-HMAC-SHA256", ask.headers["x-amz-date"], scope, sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + KINESIS_KEY.encode()
    for part in scope.split("/"):
        key = digest(key, part.encode(), sha256)
    return digest(key, text.encode(), sha256).hex() == signature and scope.endswith(
        "/eu-central-1/kinesis/aws4_request"
    )
