"""One real message to one destination, with all that was said on the way, for people who want to see it work."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.activation.destination import Configured, Request, Secret
from app.activation.outcome import Delivered, Failure, Outcome, Partial, Reason, Response
from app.activation.payload import Payload
from app.clock import Clock
from app.delivery.dead_letter import Hider, shown_request, shown_response
from app.delivery.exchange import Deliver, Exchanges, Surroundings
from app.delivery.slots import Slots


@dataclass(frozen=True, slots=True)
class Said:
    """One request and what came back, without secrets."""

    request: dict[str, object]
    response: dict[str, object] | None
    """None where there was none; `failure` says why."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of it."""

    outcome: Outcome
    message: str
    said: Sequence[Said]
    """In order; empty where no request could be made."""

    @property
    def delivered(self) -> bool:
        return isinstance(self.outcome, Delivered)

    @property
    def word(self) -> str:
        """delivered, retry, rejected, pause or disabled."""
        return type(self.outcome).__name__.lower()

    @property
    def reason(self) -> Reason | None:
        return None if isinstance(self.outcome, Delivered | Partial) else self.outcome.reason


async def try_one(configured: Configured, payload: Payload, deliver: Deliver, clock: Clock) -> Trial:
    """Send it now, once: outside of the rate, and whatever state the destination's lane is in."""
    heard: list[tuple[Request, Response | Failure]] = []

    async def recorded(request: Request, timeout_s: float) -> Response | Failure:
        answer = await deliver(request, timeout_s)
        heard.append((request, answer))
        return answer

    logins: list[Request] = []
    if (flow := configured.token) is not None:

        def noted(now_s: int) -> Request:
            logins.append(flow.ask(now_s))
            return logins[-1]

        configured = replace(configured, token=replace(flow, ask=noted))

    around = Surroundings(
        clock=clock,
        sleep=asyncio.sleep,
        deliver=recorded,
        turn=_at_once,
        may_send=lambda: True,
        heard=lambda response: None,
    )
    slots = Slots(1)  # it is alone
    await slots.take()
    ended = await Exchanges(configured, around).hold([payload], lambda: True, slots)
    outcome = ended.outcome.items[0] if isinstance(ended.outcome, Partial) else ended.outcome
    secrets = [*configured.secrets, *(secret for request, _ in heard for secret in request.secrets)]
    hide = Hider(secrets)
    said = [_said(request, answer, hide, whole=request not in logins) for request, answer in heard]
    return Trial(outcome, hide.text(ended.message), said)


def _said(request: Request, answer: Response | Failure, hide: Hider, *, whole: bool) -> Said:
    """Of a request for an access token only where it went and how it ended: the rest is made of secrets."""
    asked = shown_request(request, hide)
    if not whole:
        asked = {"method": request.method, "url": _host(request), "for": "an access token"}
    if isinstance(answer, Failure):
        return Said(asked, None, hide.text(answer.message))
    return Said(asked, shown_response(answer, hide) if whole else {"status": answer.status})


def _host(request: Request) -> str:
    url = request.url if isinstance(request.url, Secret) else Secret(request.url)
    return str(Request(request.method, url, {}, b"").shown()["url"])


async def _at_once() -> None:
    """No rate."""
