"""Any HTTP API, described by settings.

`url` is a template; its host is fixed. `body` maps paths of the vendor's JSON (`user.traits.vip`) to templates; without
it the whole call is sent. The names in templates are user_id, anonymous_id, email, group_id, profile, message_id, key,
value, event, at and kind; a payload without an identifier that is named is filtered. `batch` calls share a request
where their URLs are equal, as an array, or as one below `batch_path`.

Replies are judged by status. `success_path` and `success_value` are for vendors that say 200 whatever happened,
`errors_path` for those that name the items which failed: a list whose entries hold an index at `error_index`.
The message id goes out as `idempotency_header`. XML is not built, and neither are list templates.

Shape: action-destinations `webhook-extensible`, rudder-transformer `http` (2026-08).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from app.activation.checks import check_headers, check_url
from app.activation.destination import Attempt, Conversation, Destination, Limits, Request, Secret, send
from app.activation.fields import as_text
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
)  # fmt: skip
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, objects
from app.activation.request import Headers, basic, form
from app.activation.settings import Rule
from app.activation.template import check_template, filled_url, filled_value, named, values
from app.activation.token import TokenFlow, client_credentials, refresh_token
from app.ids import derived_id

IDENTIFIERS = {"user_id", "anonymous_id", "email", "group_id"}


def check_url_template(url: Secret) -> str | None:
    text = url.reveal()
    wrong = check_template(text) or check_url(url)
    if wrong is None and "{" in text.partition("://")[2].partition("/")[0]:
        return "the host is fixed: braces only after it"
    return wrong


def check_body(body: Mapping[str, str]) -> str | None:
    found = ((path, check_template(text) or ("" if path else "a path is empty")) for path, text in body.items())
    return next((f"{path}: {wrong}" for path, wrong in found if wrong), None)


def check_statuses(statuses: tuple[str, ...]) -> str | None:
    sound = all(text.isascii() and text.isdigit() and 200 <= int(text) <= 599 for text in statuses)
    return None if sound else "expected statuses from 200 to 599, as texts"


@dataclass(frozen=True, slots=True)
class Settings:
    url: Annotated[Secret, Rule("Where to send, a template. Secret: many receivers put a key in it.",
                                check=check_url_template)]  # fmt: skip
    method: Annotated[Literal["POST", "PUT", "PATCH", "DELETE"], Rule("The HTTP method.")] = "POST"
    headers: Annotated[Mapping[str, Secret] | None, Rule("More headers to send.", check=check_headers)] = None
    auth: Annotated[Literal["none", "basic", "bearer", "api_key", "oauth2"], Rule("How to authenticate.")] = "none"
    username: Annotated[str | None, Rule("basic: user name.")] = None
    password: Annotated[Secret | None, Rule("basic: password.")] = None
    token: Annotated[Secret | None, Rule("bearer, api_key: the token or key.")] = None
    api_key_header: Annotated[str, Rule("api_key: the header that it goes in.")] = "X-Api-Key"
    token_url: Annotated[Secret | None, Rule("oauth2: where tokens come from.", check=check_url)] = None
    client_id: Annotated[str | None, Rule("oauth2: client id.")] = None
    client_secret: Annotated[Secret | None, Rule("oauth2: client secret.")] = None
    refresh_token: Annotated[Secret | None, Rule("oauth2: for the refresh-token grant.")] = None
    scope: Annotated[str | None, Rule("oauth2: scope.")] = None
    format: Annotated[Literal["json", "form"], Rule("How the body is written.")] = "json"
    body: Annotated[Mapping[str, str] | None, Rule("Path → template; else the whole call.", check=check_body)] = None
    batch: Annotated[int, Rule("Calls per request; more than 1: an array.", minimum=1, maximum=1000)] = 1
    batch_path: Annotated[str | None, Rule("Where in an object the array goes.")] = None
    in_flight: Annotated[int, Rule("Requests at once.", minimum=1, maximum=100)] = 10
    idempotency_header: Annotated[str, Rule("The header that the message id goes in.")] = "Idempotency-Key"
    success_path: Annotated[str | None, Rule("Path in a 2xx reply that must hold success_value.")] = None
    success_value: Annotated[str, Rule("As text.")] = "true"
    retry_statuses: Annotated[tuple[str, ...], Rule("Statuses to try again.", check=check_statuses)] = ()
    reject_statuses: Annotated[tuple[str, ...], Rule("Statuses that are final.", check=check_statuses)] = ()
    pause_statuses: Annotated[tuple[str, ...], Rule("Statuses to stop at.", check=check_statuses)] = ()
    errors_path: Annotated[str | None, Rule("Path of the list of items that failed.")] = None
    error_index: Annotated[str, Rule("Path of the item's index in an entry of it.")] = "index"


NEEDS: dict[str, tuple[str, ...]] = {
    "none": (),
    "basic": ("username", "password"),
    "bearer": ("token",),
    "api_key": ("token",),
    "oauth2": ("token_url", "client_id", "client_secret"),
}  # fmt: skip


def check(settings: Settings) -> Mapping[str, str]:
    wrong = {name: f"missing: auth is {settings.auth}" for name in NEEDS[settings.auth] if not getattr(settings, name)}
    named_headers = {settings.api_key_header: Secret(""), settings.idempotency_header: Secret("")}
    header = check_headers(named_headers)
    if settings.format == "form" and (settings.batch > 1 or settings.body is None):
        wrong["format"] = "a form holds one call, and needs a body"
    return wrong | ({"idempotency_header": header} if header else {})


def token(settings: Settings) -> TokenFlow | None:
    url, id_, secret = settings.token_url, settings.client_id, settings.client_secret
    if settings.auth != "oauth2" or url is None or id_ is None or secret is None:
        return None
    if settings.refresh_token is not None:
        return refresh_token(url, id_, secret, settings.refresh_token, scope=settings.scope)
    return client_credentials(url, id_, secret, scope=settings.scope)


def login(settings: Settings) -> Headers:
    if settings.auth == "basic":
        return basic(settings.username or "", settings.password or "")
    if settings.token is None or settings.auth not in ("bearer", "api_key"):
        return {}
    if settings.auth == "bearer":
        return {"Authorization": Secret(f"Bearer {settings.token.reveal()}")}
    return {settings.api_key_header: settings.token}


def wanted(settings: Settings) -> set[str]:
    """Identifiers without which nothing can be sent."""
    texts = [settings.url.reveal(), *(settings.body or {}).values()]
    return IDENTIFIERS & {name for text in texts for name in named(text)}


def key(payload: Payload, settings: Settings) -> str | None:
    return payload.profile if wanted(settings) <= payload.ids.keys() else None


def url_of(payload: Payload, settings: Settings) -> str:
    return filled_url(settings.url.reveal(), values(payload))


def item(payload: Payload, settings: Settings) -> JsonObject:
    if settings.body is None:
        return payload.call
    found: JsonObject = {}
    for path, text in settings.body.items():
        *above, last = path.split(".")
        place = found
        for step in above:
            inner = place.setdefault(step, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{path}: {step} is a value already")
            place = inner
        place[last] = filled_value(text, values(payload))
    return found


def build(payloads: Sequence[Payload], settings: Settings) -> Request:
    items = [item(payload, settings) for payload in payloads]
    ids = [payload.id for payload in payloads]
    id_ = ids[0] if settings.batch == 1 else derived_id("batch", *ids)
    headers = {**(settings.headers or {}), settings.idempotency_header: id_, **login(settings)}
    url = Secret(url_of(payloads[0], settings))
    if settings.format == "form":
        return form(url, {name: as_text(value) for name, value in items[0].items()}, method=settings.method,
                    headers=headers)  # fmt: skip
    body: object = items[0] if settings.batch == 1 else items
    for step in reversed(settings.batch_path.split(".") if settings.batch_path else ()):
        body = {step: body}
    return send(settings.method, url, body, headers=headers)


def judged(response: Response, payloads: Sequence[Payload], settings: Settings, now_s: float) -> Outcome:
    outcome = by_status(response, now_s)
    status = str(response.status)
    if status in settings.retry_statuses:
        return outcome if isinstance(outcome, Retry) else Retry(Reason.THROTTLED)
    if status in settings.pause_statuses:
        return Pause(Reason.REFUSED)
    if status in settings.reject_statuses:
        return Rejected(Reason.REFUSED)
    if not isinstance(outcome, Delivered) or (settings.success_path is None and settings.errors_path is None):
        return outcome
    reply = json_of(response)
    if settings.success_path is not None:
        told = dig(reply, *steps(settings.success_path))
        if as_text(told) != settings.success_value:
            return Rejected(Reason.REFUSED)
    failed: dict[int, Retry | Rejected] = {}
    for error in objects(reply, *steps(settings.errors_path)) if settings.errors_path is not None else ():
        index = dig(error, *steps(settings.error_index))
        if not isinstance(index, int):
            return Rejected(Reason.REFUSED)
        failed[index] = Rejected(Reason.REFUSED)
    return by_index(len(payloads), failed)


def steps(path: str) -> list[str | int]:
    return [int(step) if step.isascii() and step.isdigit() else step for step in path.split(".") if step]


def converse(payloads: Sequence[Payload], settings: Settings, attempt: Attempt) -> Conversation:
    response = yield build(payloads, settings)
    return judged(response, payloads, settings, attempt.now_s)


DESTINATION = Destination(
    name="http",
    settings=Settings,
    limits=Limits(requests_per_s=50, in_flight_max=10),
    limits_for=lambda limits, settings: replace(
        limits, batch_items_max=settings.batch, in_flight_max=settings.in_flight
    ),
    calls=None,
    key=key,
    group=url_of,
    converse=converse,
    check=check,
    token=token,
)
