"""Jobs that a vendor works on after it has taken a request: asked about, until they are done."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from app.activation.outcome import UNREADABLE_ATTEMPTS_MAX, Delivered, Outcome, Reason, Rejected, Response, Retry
from app.activation.reply import UnreadableReply
from app.activation.request import Request

Ended = Generator[Request, Response, Response | Outcome]
"""Ends with the reply that says what became of the job, or with why there is none."""


def ended(
    ask: Callable[[float], Request],
    done: Callable[[Response], bool],
    waits_s: Sequence[float],
    judge: Callable[[Response], Outcome],
) -> Ended:
    """Ask until it is done.

    What is turned away is asked again, not before the time that the vendor wants. A refused question says nothing of
    what the job is about, so all of that goes out again, a few times.

    Args:
        ask: Given the seconds to wait before it is sent.
        done: Whether a reply leaves nothing to wait for.
        waits_s: Before each time of asking.
        judge: Of a reply as a whole; it may raise UnreadableReply.
    """
    wanted_s = 0.0
    for wait_s in waits_s:
        response = yield ask(max(wait_s, wanted_s))
        wanted_s = 0.0
        try:
            outcome = judge(response)
        except UnreadableReply:
            continue
        match outcome:
            case Delivered():
                if done(response):
                    return response
            case Retry(_, after_s, _):
                wanted_s = after_s or 0.0
            case Rejected():
                return Retry(Reason.REFUSED, attempts_max=UNREADABLE_ATTEMPTS_MAX)
            case stopped:
                return stopped
    return Retry(Reason.TIMEOUT)
