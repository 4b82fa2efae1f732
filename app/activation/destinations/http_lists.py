"""Lists of any HTTP API, described by settings.

`add_url` and `remove_url` are templates with `{list}`; their hosts are fixed. The body is `{"members": […]}`, or has
the array at `members_path`; a member is his identifier, or an object where `member_key` names one. With `create_url`
lists are made (`{"name", "audience"}` is sent, their id is at `id_path` of the answer); without it they are named in
`lists`. With `members_url` they can be compared: it has to answer with all members at once, as an array at
`members_path`.

Replies are judged by status. `errors_path` is for vendors that name the members which failed: a list of identifiers, or
of objects that hold one at `error_key`. A list that answers 404 is made anew.

Shape: action-destinations `audience_webhook`, rudder-transformer `http` (2026-08).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal
from urllib.parse import quote

from app.activation.checks import check_headers, check_url
from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, get, send
from app.activation.hashing import email_of, hashed_email
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Shown, Upload
from app.activation.outcome import Delivered, Reason, Rejected, by_index, by_status, unreadable
from app.activation.payload import Payload
from app.activation.reply import dig, json_of, word
from app.activation.request import Headers
from app.activation.settings import Rule

PLACE = "{list}"
NOT_FOUND = 404


def check_list_url(url: Secret) -> str | None:
    text = url.reveal()
    wrong = check_url(Secret(text.replace(PLACE, "x")))
    if wrong is None and "{" in text.replace(PLACE, "x", 1):
        return "the only name in braces is {list}, and it stands there once"
    if wrong is None and "{" in text.partition("://")[2].partition("/")[0]:
        return "the host is fixed: braces only after it"
    return wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    add_url: Annotated[Secret, Rule("Where members are put on a list, a template.", check=check_list_url)]
    remove_url: Annotated[Secret, Rule("Where members are taken off a list, a template.", check=check_list_url)]
    create_url: Annotated[Secret | None, Rule("Where a list is made.", check=check_url)] = None
    members_url: Annotated[Secret | None, Rule("Where all members are told, a template.", check=check_list_url)] = None
    add_method: Annotated[Literal["POST", "PUT", "PATCH"], Rule("The HTTP method.")] = "POST"
    remove_method: Annotated[Literal["POST", "PUT", "PATCH", "DELETE"], Rule("The HTTP method.")] = "POST"
    headers: Annotated[Mapping[str, Secret] | None, Rule("More headers to send.", check=check_headers)] = None
    token: Annotated[Secret | None, Rule("A bearer token.")] = None
    match: Annotated[Literal["email", "user_id", "email_sha256"], Rule("What members are known by.")] = "email"
    members_path: Annotated[str, Rule("Where in a body the array goes.")] = "members"
    member_key: Annotated[str | None, Rule("The field of a member's object; without it he is a text.")] = None
    id_path: Annotated[str, Rule("Where in the answer a new list's id is.")] = "id"
    errors_path: Annotated[str | None, Rule("Path of the list of members that failed.")] = None
    error_key: Annotated[str | None, Rule("The identifier's field in an entry of it.")] = None
    batch: Annotated[int, Rule("Members per request.", minimum=1, maximum=10_000)] = 1_000


def member(payload: Payload, settings: Settings) -> Member | None:
    match settings.match:
        case "email":
            who = email_of(payload)
        case "email_sha256":
            who = hashed_email(payload.ids.get("email", ""))
        case "user_id":
            who = payload.ids.get("user_id")
    return Member(who, (who,)) if who else None


def login(settings: Settings) -> Headers:
    more: dict[str, str | Secret] = {**(settings.headers or {})}
    return more | ({"Authorization": Secret(f"Bearer {settings.token.reveal()}")} if settings.token else {})


def filled(url: Secret, list_: str) -> Secret:
    """The list's id percent-encoded, slashes too: it cannot become another part of the URL."""
    return Secret(url.reveal().replace(PLACE, quote(list_, safe="")))


def steps(path: str) -> list[str | int]:
    return [int(step) if step.isascii() and step.isdigit() else step for step in path.split(".") if step]


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    if settings.create_url is None:
        return Rejected(Reason.NOT_SUPPORTED)
    body = {"name": name.name, "audience": name.audience}
    response = yield send("POST", settings.create_url, body, headers=login(settings))
    outcome = by_status(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    return word(json_of(response), *steps(settings.id_path)) or unreadable()


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    who = [each.cells[0] for each in upload.members]
    body: object = [{settings.member_key: one} for one in who] if settings.member_key else who
    for step in reversed(settings.members_path.split(".") if settings.members_path else ()):
        body = {step: body}
    url, method = settings.add_url, str(settings.add_method)
    if not upload.add:
        url, method = settings.remove_url, settings.remove_method
    response = yield send(method, filled(url, upload.list), body, headers=login(settings))
    if response.status == NOT_FOUND and PLACE in url.reveal():
        return Rejected(Reason.LIST_GONE)
    outcome = by_status(response, attempt.now_s)
    if not isinstance(outcome, Delivered) or settings.errors_path is None:
        return outcome
    errors = dig(json_of(response), *steps(settings.errors_path))
    named = {_who(error, settings.error_key) for error in errors} if isinstance(errors, list) else set()
    failed = {at: Rejected(Reason.REFUSED) for at, one in enumerate(who) if one in named}
    return by_index(len(who), failed)


def _who(error: object, key: str | None) -> str:
    return word(error, key) if key is not None else word({"": error}, "")


def shown(list_: str, settings: Settings, attempt: Attempt) -> Shown:
    if settings.members_url is None:
        return Rejected(Reason.NOT_SUPPORTED)
    response = yield get(filled(settings.members_url, list_), headers=login(settings))
    outcome = by_status(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    found = dig(json_of(response), *steps(settings.members_path))
    if not isinstance(found, list):
        return unreadable()
    return frozenset(_who(one, settings.member_key) for one in found)


DESTINATION = Destination(
    name="http_lists",
    settings=Settings,
    limits=Limits(requests_per_s=10, in_flight_max=4, body_bytes_max=5_000_000, reply_bytes_max=64_000_000),
    limits_for=lambda limits, settings: replace(limits, batch_items_max=settings.batch),
    calls=("identify",),
    lists=ListVendor(
        member=member,
        change=change,
        make=make,
        shown=shown,
        add_max=10_000,
        remove_max=10_000,
        max_for=lambda settings: settings.batch,
        interval_min_s=1.0,
    ),
)
