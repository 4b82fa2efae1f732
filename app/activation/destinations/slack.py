"""Slack: a line of text in a channel for each change.

Needs: an incoming webhook's URL. `template` may name what `activation.template` lists, such as {email} and {key}; a
payload without an identifier that it names is filtered.
A webhook takes about one message a second; one that is flooded for long gets its app disabled, so connect definitions
that change for few. There is no dedupe.

Sources: api.slack.com incoming webhooks, changelog 2016-05-17 (errors), rate limits (2025).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.activation.destination import Destination, Limits, Request, Secret, post
from app.activation.fields import as_text
from app.activation.outcome import Outcome, Pause, Reason, Response, by_status
from app.activation.payload import Payload
from app.activation.settings import Rule
from app.activation.template import check_template, filled, named, values

URL = re.compile(r"https://hooks\.slack(-gov)?\.com/(services|workflows)/[A-Za-z0-9/_-]+")
VERBS = {
    "entered": "entered {key}", "exited": "left {key}", "computed": "has {key} = {value}", "reached": "{event} ({key})",
}  # fmt: skip
CLOSED = (403, 404, 410)
"""The app may not post, the channel or the webhook is gone, the channel is archived: somebody has to look."""


def check_url(url: Secret) -> str | None:
    return None if URL.fullmatch(url.reveal()) else "expected https://hooks.slack.com/services/…"


@dataclass(frozen=True, slots=True)
class Settings:
    webhook_url: Annotated[Secret, Rule("The incoming webhook.", check=check_url)]
    template: Annotated[str | None, Rule("The text; else who entered, left or has what.", check=check_template)] = None


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def template(payload: Payload, settings: Settings) -> str:
    if settings.template is not None:
        return settings.template
    who = next((kind for kind in ("email", "user_id", "anonymous_id", "group_id") if kind in payload.ids), "profile")
    return f"{{{who}}} {VERBS[payload.kind]}"


def key(payload: Payload, settings: Settings) -> str | None:
    return payload.profile if named(template(payload, settings)) <= values(payload).keys() else None


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    known = {name: escaped(as_text(value)) for name, value in values(payloads[0]).items()}
    return post(settings.webhook_url, {"text": filled(template(payloads[0], settings), known)})


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    return Pause(Reason.GONE) if response.status in CLOSED else by_status(response, now_s)


DESTINATION = Destination(
    name="slack",
    settings=Settings,
    limits=Limits(requests_per_s=1, in_flight_max=1),
    calls=("identify", "track", "group"),
    key=key,
    build=build,
    classify=classify,
)
