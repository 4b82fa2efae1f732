"""Records of a destination's topic, and a destination to send them to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from app.activation.destination import Configured
from app.activation.destinations import DESTINATIONS
from app.delivery.work import Record

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CANARY = "canary-value-of-a-header"


def record(offset: int, profile: str = "prf_1", *, origin: str = "live", **payload: Any) -> Record:
    """A payload whose id is `<profile>-<offset>`."""
    id_ = f"{profile}-{offset}"
    value = {
        "id": id_,
        "destination": "crm",
        "profile": profile,
        "sequence": offset,
        "at": "2026-01-31T10:00:00.000Z",
        "origin": origin,
        "computation": {"class": "audience", "id": "aud_1", "key": "vip"},
        "payload": {"type": "identify", "messageId": id_, "userId": profile, "traits": {"vip": True}} | payload,
    }
    return Record(offset, profile.encode(), orjson.dumps(value))


def webhook(
    url: str = "https://h.example/hook", *, settings: Mapping[str, Any] | None = None, **limits: Any
) -> Configured:
    """A webhook with the given limits."""
    raw = {"url": url, "secret": SECRET, "headers": {"X-Api-Key": CANARY}} | dict(settings or {})
    configured = DESTINATIONS["webhook"].configure(raw)
    return replace(configured, limits=replace(configured.limits, **limits))
