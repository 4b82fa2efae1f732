"""Access tokens: how one is asked for and shown. A destination declares it; the sender asks, keeps and renews.

The two flows of OAuth 2.0 (RFC 6749, sections 4.4 and 6) and what vendors made of them; a third, by a signed statement,
is in `service_account`. A refresh token that the vendor replaces with each use cannot be kept: it would be lost with
the process. None of the vendors here does that unless its operator asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from app.activation.outcome import Outcome, Pause, Reason, Rejected, Response, Retry, by_status
from app.activation.reply import dig, json_or_none, word
from app.activation.request import Request, form
from app.activation.settings import Secret

BUSY = "already being processed"
"""In what Salesforce says when two ask at once; the other's answer ends that."""
BUSY_AFTER_S = 5.0
MARGIN_S = 60.0
"""A token is renewed so long before its end; a short-lived one after nine tenths of its life."""


@dataclass(frozen=True, slots=True)
class Token:
    """What requests are shown with."""

    header: Secret
    """The header's whole value."""
    lifetime_s: float
    """From when it was given, to when another is to be asked for."""


@dataclass(frozen=True, slots=True)
class TokenFlow:
    """How to get a token and where to show it."""

    ask: Callable[[int], Request]
    """Unix seconds → the request for a token: what is signed tells the time."""
    field: str = "access_token"
    prefix: str = "Bearer "
    header: str = "Authorization"
    lifetime_s: float = 3600.0
    """Where the reply has no `expires_in`."""

    def read(self, response: Response, now_s: float) -> Token | Outcome:
        """The token, or what its absence means for those who wait for it."""
        value = json_or_none(response)
        text = word(value, self.field)
        if 200 <= response.status <= 299:
            if not text:
                return Retry(Reason.UNREADABLE)  # however often: that is nothing against the payload that waits for it
            told = dig(value, "expires_in")
            lifetime_s = (
                float(told) if isinstance(told, int | float) and not isinstance(told, bool) else self.lifetime_s
            )
            return Token(Secret(self.prefix + text), max(lifetime_s - min(MARGIN_S, lifetime_s / 10), 1.0))
        if BUSY.encode() in response.body:
            return Retry(Reason.THROTTLED, BUSY_AFTER_S)
        outcome = by_status(response, now_s)
        # 400 is how OAuth says that the credentials are not good (any more).
        return Pause(Reason.UNAUTHORIZED) if isinstance(outcome, Rejected) else outcome


def always(request: Request) -> Callable[[int], Request]:
    """For what does not depend on the time."""
    return lambda now_s: request


def client_credentials(
    url: str | Secret, client_id: str | Secret, client_secret: Secret, *, scope: str | None = None
) -> TokenFlow:
    """The application's own token."""
    values: dict[str, str | Secret] = {
        "grant_type": "client_credentials",
        "client_id": client_id,
        "client_secret": client_secret,
    }
    return TokenFlow(always(form(url, values | ({"scope": scope} if scope else {}))))


def refresh_token(
    url: str | Secret, client_id: str | Secret, client_secret: Secret, token: Secret, *, scope: str | None = None
) -> TokenFlow:
    """A user's token, from the refresh token that was given once."""
    values: dict[str, str | Secret] = {
        "grant_type": "refresh_token",
        "client_id": client_id,
        "client_secret": client_secret,
        "refresh_token": token,
    }
    return TokenFlow(always(form(url, values | ({"scope": scope} if scope else {}))))
