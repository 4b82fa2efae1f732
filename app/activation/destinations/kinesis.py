"""Amazon Kinesis Data Streams: one record per call, as JSON, with the profile's id as partition key.

Needs: the stream's name, its region, and an access key whose policy allows kinesis:PutRecords on it. A profile's
records keep their order within a shard. There is no dedupe: consumers go by `messageId`.
Keys of an assumed role work with `session_token`; assuming a role ourselves is not built.

Sources: docs.aws.amazon.com Kinesis PutRecords, Signature Version 4 (read 2026-08).
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest
from typing import Annotated

from app.activation.destination import Destination, Erase, Limits, Request, Secret
from app.activation.outcome import (
    Delivered,
    Outcome,
    Pause,
    Reason,
    Rejected,
    Response,
    Retry,
    by_index,
    by_status,
    unreadable,
)  # fmt: skip
from app.activation.payload import Payload
from app.activation.reply import dig, json_of, json_or_none, objects, word
from app.activation.settings import Rule
from app.activation.wire import encode

AGAIN = ("ProvisionedThroughputExceeded", "InternalFailure", "KMSThrottling", "LimitExceeded", "ServiceUnavailable")
OPERATORS = ("AccessDenied", "UnrecognizedClient", "ExpiredToken", "InvalidSignature", "MissingAuthentication",
             "IncompleteSignature", "InvalidClientTokenId", "ResourceNotFound", "KMSAccessDenied", "KMSDisabled",
             "KMSInvalidState", "KMSNotFound", "KMSOptInRequired")  # fmt: skip


def check_region(text: str) -> str | None:
    return None if re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", text) else "expected a region, such as eu-central-1"


def check_stream(text: str) -> str | None:
    return None if re.fullmatch(r"[A-Za-z0-9_.-]{1,128}", text) else "expected a stream's name"


@dataclass(frozen=True, slots=True)
class Settings:
    stream_name: Annotated[str, Rule("The data stream.", check=check_stream)]
    region: Annotated[str, Rule("Its region.", check=check_region)]
    access_key_id: Annotated[Secret, Rule("Access key id.")]
    secret_access_key: Annotated[Secret, Rule("Secret access key.")]
    session_token: Annotated[Secret | None, Rule("Session token, where the key is a temporary one.")] = None


def authorization(headers: Mapping[str, str], body: bytes, *, scope: str, at: str, key_id: str, secret: str) -> str:
    """Signature Version 4 of a POST to `/` without a query.

    Args:
        headers: All that are signed, in lower case, `host` among them.
        scope: Region and service, as `eu-central-1/kinesis`.
        at: As in `x-amz-date`, 20150830T123600Z.
    """
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers))
    canonical = f"POST\n/\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
    scope = f"{at[:8]}/{scope}/aws4_request"
    to_sign = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = digest(key, part.encode(), sha256)
    signature = digest(key, to_sign.encode(), sha256).hex()
    return f"AWS4-HMAC-SHA256 Credential={key_id}/{scope}, SignedHeaders={names}, Signature={signature}"


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    records = [
        {"Data": b64encode(encode(payload.call)).decode(), "PartitionKey": payload.profile} for payload in payloads
    ]
    body = encode({"StreamName": settings.stream_name, "Records": records})
    host = f"kinesis.{settings.region}.amazonaws.com"
    headers = {
        "host": host,
        "content-type": "application/x-amz-json-1.1",
        "x-amz-date": datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ"),
        "x-amz-target": "Kinesis_20131202.PutRecords",
    }
    token = settings.session_token
    signed = authorization(
        headers | ({"x-amz-security-token": token.reveal()} if token else {}),
        body,
        scope=f"{settings.region}/kinesis",
        at=headers["x-amz-date"],
        key_id=settings.access_key_id.reveal(),
        secret=settings.secret_access_key.reveal(),
    )
    secrets = {"Authorization": Secret(signed)} | ({"x-amz-security-token": token} if token else {})
    return Request("POST", f"https://{host}/", {**headers, **secrets}, body)


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    outcome = by_status(response, now_s)
    if not isinstance(outcome, Delivered):
        code = word(json_or_none(response), "__type").rpartition("#")[2]
        if code.startswith(AGAIN):
            return Retry(Reason.THROTTLED)
        return Pause(Reason.UNAUTHORIZED) if code.startswith(OPERATORS) else outcome
    reply = json_of(response)
    if dig(reply, "FailedRecordCount") == 0:
        return outcome
    codes = [word(record, "ErrorCode") for record in objects(reply, "Records")]
    if len(codes) != len(payloads):
        return unreadable()
    failed = {
        index: Retry(Reason.THROTTLED) if code.startswith(AGAIN) else Rejected(Reason.REFUSED)
        for index, code in enumerate(codes)
        if code
    }
    return by_index(len(payloads), failed)


DESTINATION = Destination(
    name="kinesis",
    settings=Settings,
    account=("region", "stream_name", "access_key_id"),
    limits=Limits(
        requests_per_s=50, in_flight_max=4, batch_items_max=500, body_bytes_max=5 * 1024 * 1024, reply_bytes_max=500_000
    ),
    calls=None,
    group=lambda payload, settings: "",
    build=build,
    classify=classify,
    erase=Erase(),
)
