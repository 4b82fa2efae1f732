"""Oracle Responsys: columns of a profile list, or of a profile extension table (PET).

Needs: the account's API host, a user with API rights, and the list's name; columns must exist: a key's upper case, its
first 30 characters. With `pet_name` memberships and traits go to that table, whose people must be in the list already;
a membership is "1" or "0" there. Records are judged one by one. There are no events.
Typical limits are 400 member calls a minute; the account's own are at `/rest/api/ratelimit`.

Sources: as in `app.activation.responsys_api` (2026-11-22).
"""

from __future__ import annotations

from collections.abc import Sequence

from app.activation.destination import Destination, Limits, Request
from app.activation.outcome import Delivered, Outcome, Response
from app.activation.payload import Payload
from app.activation.reply import json_of
from app.activation.responsys_api import (
    BODY_BYTES_MAX,
    RECORDS_MAX,
    Settings,
    column,
    group,
    judged,
    key,
    merge,
    of_records,
    token,
    token_refused,
)  # fmt: skip


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    return merge(payloads, settings, "api")


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    outcome = judged(response, now_s)
    return of_records(json_of(response), len(payloads)) if isinstance(outcome, Delivered) else outcome


DESTINATION = Destination(
    name="responsys",
    settings=Settings,
    account=("api_url", "username"),
    limits=Limits(
        requests_per_s=3, in_flight_max=3, batch_items_max=RECORDS_MAX, body_bytes_max=BODY_BYTES_MAX,
        reply_bytes_max=1_000_000,
    ),
    calls=("identify",),
    key=key,
    repeats=False,
    group=group,
    build=build,
    classify=classify,
    token=token,
    token_refused=token_refused,
    field_name=column,
)  # fmt: skip
