"""Iterable static lists.

Needs: a server-side API key, and the project's type, which decides how users are known. Whoever is no user yet becomes
one. Leaving a list never unsubscribes from a channel. A user that was erased by law is refused, and not sent again.

Sources: api.iterable.com/api/docs lists; rudder-transformer `iterable_audience` (2026-08-06).
Not verified: the rate of the list endpoints; that `lists/getUsers` gives one e-mail address in each line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from app.activation.destination import Attempt, Conversation, Destination, Limits, Secret, get, post
from app.activation.hashing import email_of
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Shown, Upload
from app.activation.outcome import Delivered, Reason, Rejected, by_index, by_status, unreadable
from app.activation.payload import JsonObject, Payload
from app.activation.reply import dig, json_of, texts, word
from app.activation.settings import Rule

HOSTS = {"US": "https://api.iterable.com", "EU": "https://api.eu.iterable.com"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    api_key: Annotated[Secret, Rule("Server-side API key.")]
    project_type: Annotated[Literal["email", "userId", "hybrid"], Rule("How the project knows its users.")]
    data_center: Annotated[Literal["US", "EU"], Rule("Where the project lives.")] = "US"


def member(payload: Payload, settings: Settings) -> Member | None:
    user, email = payload.ids.get("user_id"), email_of(payload)
    if user is not None and settings.project_type != "email":
        return Member(user, ("userId", user))
    return Member(email, ("email", email)) if email is not None and settings.project_type != "userId" else None


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    url = f"{HOSTS[settings.data_center]}/api/lists"
    response = yield post(url, {"name": name.name}, headers={"Api-Key": settings.api_key})
    outcome = by_status(response, attempt.now_s)
    return (word(json_of(response), "listId") or unreadable()) if isinstance(outcome, Delivered) else outcome


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    people: list[JsonObject] = [{each.cells[0]: each.cells[1]} for each in upload.members]
    list_id = int(upload.list) if upload.list.isdecimal() else upload.list
    if upload.add:
        path = "subscribe"
        for who in people:
            who |= {"preferUserId": True} if "userId" in who else {}
        body: JsonObject = {"listId": list_id, "subscribers": people, "updateExistingUsersOnly": False}
    else:
        path = "unsubscribe"
        # Without it the vendor takes them off the whole channel, not only off the list.
        body = {"listId": list_id, "subscribers": people, "channelUnsubscribe": False}
    url = f"{HOSTS[settings.data_center]}/api/lists/{path}"
    response = yield post(url, body, headers={"Api-Key": settings.api_key})
    outcome = by_status(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    reply = json_of(response)
    bad = {*texts(reply, "invalidEmails"), *texts(reply, "invalidUserIds")}
    updates = dig(reply, "failedUpdates")
    for kind in updates if isinstance(updates, dict) else ():
        if upload.add or not kind.startswith("notFound"):
            bad |= {*texts(updates, kind)}
    failed = {at: Rejected(Reason.REFUSED) for at, each in enumerate(upload.members) if each.cells[1] in bad}
    return by_index(len(upload.members), failed)


def shown(list_: str, settings: Settings, attempt: Attempt) -> Shown:
    url = f"{HOSTS[settings.data_center]}/api/lists/getUsers?listId={list_}"
    if settings.project_type != "email":
        url += "&preferUserId=true"
    response = yield get(url, headers={"Api-Key": settings.api_key, "Accept": "text/plain"})
    outcome = by_status(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    return frozenset(response.body.decode().split()) if response.complete else unreadable()


DESTINATION = Destination(
    name="iterable_lists",
    settings=Settings,
    limits=Limits(requests_per_s=5, in_flight_max=5, body_bytes_max=4_000_000, reply_bytes_max=64_000_000),
    calls=("identify",),
    lists=ListVendor(member=member, change=change, make=make, shown=shown),
)
