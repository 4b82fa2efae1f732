"""Klaviyo's API, as far as its event and its list destination share it: headers, answers, the import of profiles.

Sources: developers.klaviyo.com bulk profile import, rate limits and errors (2026-07-15).
Not verified: the fields of an import error that hold the profile's identifiers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Generator, Sequence
from typing import Protocol

from app.activation import polling
from app.activation.destination import Attempt, Conversation, Request, Secret, get, send
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
    unreadable,
)  # fmt: skip
from app.activation.payload import JsonObject
from app.activation.reply import dig, json_of, json_or_none, objects, word

HOST = "https://a.klaviyo.com/api"
GONE, NOT_FOUND, BAD_REQUEST = 410, 404, 400
POLLS_S = (2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 60.0, 60.0, 120.0, 120.0, 120.0)
COMPLETE = "complete"
ENDED = {COMPLETE, "failed", "cancelled"}
POINTER = re.compile(r"/(?:profiles|events-bulk-create)/data/(\d+)")
IDENTIFIERS = ("external_id", "email")
JSON_API = "application/vnd.api+json"


class Account(Protocol):
    """What the settings of both say."""

    @property
    def api_key(self) -> Secret: ...
    @property
    def revision(self) -> str: ...


def check_revision(text: str) -> str | None:
    return None if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) else "expected a date, such as 2026-07-15"


def ask(url: str, settings: Account, after_s: float = 0.0) -> Request:
    return get(url, headers=_headers(settings), after_s=after_s)


def tell(method: str, path: str, data: object, settings: Account) -> Request:
    return send(method, HOST + path, {"data": data}, headers=_headers(settings) | {"Content-Type": JSON_API})


def _headers(settings: Account) -> dict[str, str | Secret]:
    key = Secret(f"Klaviyo-API-Key {settings.api_key.reveal()}")
    return {"Authorization": key, "revision": settings.revision, "Accept": JSON_API}


def judged(response: Response, now_s: float) -> Outcome:
    if response.status == GONE:  # the revision was retired: another one is a setting
        return Pause(Reason.GONE)
    return by_status(response, now_s)


def judged_together(response: Response, count: int, now_s: float) -> Outcome:
    """A request with bad items is not done; those that are named are refused, the others sent again."""
    if response.status != BAD_REQUEST:
        return judged(response, now_s)
    places = [POINTER.search(word(error, "source", "pointer")) for error in objects(json_or_none(response), "errors")]
    bad = {at for one in places if one is not None and (at := int(one[1])) < count}
    if not bad:
        return Rejected(Reason.REFUSED)
    rest = Retry(Reason.REFUSED)
    return by_index(count, {at: Rejected(Reason.REFUSED) if at in bad else rest for at in range(count)})


def import_profiles(
    profiles: Sequence[JsonObject], settings: Account, attempt: Attempt, *, list_: str = ""
) -> Conversation:
    """A job, to its end; who is refused is told by the job's errors.

    Args:
        profiles: Attributes, identifiers among them.
        list_: Where they are to be put, too.
    """
    data = [{"type": "profile", "attributes": one} for one in profiles]
    job: JsonObject = {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": data}}}
    if list_:
        job["relationships"] = {"lists": {"data": [{"type": "list", "id": list_}]}}
    response = yield tell("POST", "/profile-bulk-import-jobs", job, settings)
    if list_ and response.status == NOT_FOUND:
        return Rejected(Reason.LIST_GONE)
    outcome = judged_together(response, len(profiles), attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    id_ = word(json_of(response), "data", "id")
    if not id_:
        return unreadable()
    url = f"{HOST}/profile-bulk-import-jobs/{id_}"
    ended = yield from polling.ended(
        lambda after_s: ask(url, settings, after_s),
        lambda reply: word(_attributes(reply), "status") in ENDED,
        POLLS_S,
        lambda reply: judged(reply, attempt.now_s),
    )
    if not isinstance(ended, Response):
        return ended
    told = _attributes(ended)
    if word(told, "status") != COMPLETE:
        return Retry(Reason.SERVER_ERROR)
    failed = dig(told, "failed_count")
    return (yield from _refused(url, profiles, failed, settings, attempt)) if failed else outcome


def _attributes(response: Response) -> object:
    return dig(json_or_none(response), "data", "attributes")


def _refused(
    url: str, profiles: Sequence[JsonObject], count: object, settings: Account, attempt: Attempt
) -> Conversation:
    """Whom the job could not take, where all of them are told; else nobody can say, and each has to go alone."""
    told = yield from pages(f"{url}/import-errors", settings, attempt)
    if not isinstance(told, list):
        return told
    named = {
        (kind, word(one, "attributes", "original_payload", kind).lower()) for one in told for kind in IDENTIFIERS
    } - {(kind, "") for kind in IDENTIFIERS}
    bad = [at for at, one in enumerate(profiles) if _names(one, named)]
    if len(bad) != count:
        return Rejected(Reason.REFUSED)
    return by_index(len(profiles), {at: Rejected(Reason.REFUSED) for at in bad})


def _names(profile: JsonObject, named: Collection[tuple[str, str]]) -> bool:
    return any((kind, str(profile.get(kind, "")).lower()) in named for kind in IDENTIFIERS)


def pages(
    url: str, settings: Account, attempt: Attempt
) -> Generator[Request, Response, list[JsonObject] | Outcome]:  # fmt: skip
    """The data of all pages, or why one of them cannot be had."""
    found: list[JsonObject] = []
    while url:
        response = yield ask(url, settings)
        outcome = judged(response, attempt.now_s)
        if not isinstance(outcome, Delivered):
            return outcome
        reply = json_of(response)
        found += objects(reply, "data")
        url = word(reply, "links", "next")
        if url and not url.startswith(HOST + "/"):
            return unreadable()  # our key goes nowhere else
    return found
