"""HubSpot's API, as far as its two destinations share it: who may ask, and how answers are judged.

Sources: developers.hubspot.com usage limits, OAuth (2026-08).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from app.activation.destination import Secret
from app.activation.outcome import Outcome, Reason, Response, Retry, by_status
from app.activation.reply import json_or_none, word
from app.activation.token import TokenFlow, refresh_token

HOST = "https://api.hubapi.com"
THROTTLED = 429
WAIT_S = {"TEN_SECONDLY_ROLLING": 10.0, "SECONDLY": 1.0, "DAILY": 3600.0}
"""A day's quota ends at midnight of the account's time zone, which we do not know: asked again every hour."""


class Access(Protocol):
    """Settings of both: a private app's token, or an OAuth app."""

    @property
    def access_token(self) -> Secret | None: ...
    @property
    def client_id(self) -> str | None: ...
    @property
    def client_secret(self) -> Secret | None: ...
    @property
    def refresh_token(self) -> Secret | None: ...


def check(settings: Access) -> Mapping[str, str]:
    app = [part is not None for part in (settings.client_id, settings.client_secret, settings.refresh_token)]
    sound = not any(app) if settings.access_token is not None else all(app)
    return {} if sound else {"access_token": "expected either this or client_id, client_secret and refresh_token"}


def token(settings: Access) -> TokenFlow | None:
    if settings.client_id is None or settings.client_secret is None or settings.refresh_token is None:
        return None
    url = f"{HOST}/oauth/v1/token"
    return refresh_token(url, settings.client_id, settings.client_secret, settings.refresh_token)


def judged(response: Response, now_s: float) -> Outcome:
    outcome = by_status(response, now_s)
    if response.status == THROTTLED and isinstance(outcome, Retry) and outcome.after_s is None:
        return Retry(Reason.THROTTLED, WAIT_S.get(word(json_or_none(response), "policyName"), 10.0))
    return outcome
