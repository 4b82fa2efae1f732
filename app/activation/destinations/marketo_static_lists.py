"""Marketo static lists.

Needs: what `marketo` needs (the limits are the whole subscription's: give each half with `rate_per_s`), and the folder
that lists are made in. Members are known by e-mail address, or by another field. Leads are made, or found, by an upsert
of 300, and go on the list by their ids; the bulk import of files is not built. A list made by hand under the same name
in the folder gets in the way.

Sources: as in `app.activation.marketo_api`; action-destinations `marketo-static-lists` (2026-08-21).
Not verified: staticList/byName.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import quote, urlencode

from app.activation.checks import check_label
from app.activation.destination import Attempt, Conversation, Destination, Limits, Request, Secret, get, post, send
from app.activation.hashing import email_of
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.marketo_api import host, judged, look_up, of_code, token, token_refused
from app.activation.outcome import Delivered, Outcome, Partial, Pause, Reason, Rejected, Response, Retry
from app.activation.payload import Payload
from app.activation.reply import json_of, json_or_none, objects, word
from app.activation.settings import Rule
from app.activation.wire import encode

MEMBERS_MAX = 300
NOT_ON_LIST = "1015"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    account_id: Annotated[str, Rule("Munchkin account id, such as 123-ABC-456.", check=check_label)]
    client_id: Annotated[str, Rule("Of the custom service.")]
    client_secret: Annotated[Secret, Rule("Of the custom service.")]
    folder_name: Annotated[str, Rule("Where lists are made; it has to be there.")]
    lookup_field: Annotated[str, Rule("The lead's field that holds the e-mail address.")] = "email"


def member(payload: Payload, settings: Settings) -> Member | None:
    email = email_of(payload)
    return Member(email, (email,)) if email is not None else None


def make(name: ListName, members: Sequence[Member], settings: Settings, attempt: Attempt) -> Made:
    url = f"{host(settings)}/rest/asset/v1"
    response = yield get(f"{url}/folder/byName.json?name={quote(settings.folder_name, safe='')}")
    folder = of_asset(response, attempt.now_s)
    if not isinstance(folder, str):
        return Pause(Reason.REFUSED) if folder == Rejected(Reason.REFUSED) else folder
    place = encode({"id": int(folder) if folder.isdecimal() else folder, "type": "Folder"}).decode()
    query = urlencode({"folder": place, "name": name.name}, quote_via=quote)
    response = yield send("POST", f"{url}/staticLists.json?{query}")
    return of_asset(response, attempt.now_s)


def of_asset(response: Response, now_s: float) -> str | Outcome:
    """The id of the one asset that an answer is about."""
    outcome = judged(response, len(objects(json_or_none(response), "result")), now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    return word(json_of(response), "result", 0, "id") or Rejected(Reason.REFUSED)


def leads(
    upload: Upload, settings: Settings, attempt: Attempt
) -> Generator[Request, Response, list[str | Retry | Rejected] | Outcome]:
    """For each member its lead's id, empty for none, or why it has none."""
    field, emails = settings.lookup_field, [each.cells[0] for each in upload.members]
    if not upload.add:
        response = yield look_up(emails, settings)
        found = objects(json_or_none(response), "result")
        outcome = judged(response, len(found), attempt.now_s)
        ids = {word(lead, field).lower(): word(lead, "id") for lead in found}
        return [ids.get(email, "") for email in emails] if isinstance(outcome, Delivered) else outcome
    body = {"action": "createOrUpdate", "lookupField": field, "input": [{field: email} for email in emails]}
    response = yield post(f"{host(settings)}/rest/v1/leads.json", body)
    outcome = judged(response, len(emails), attempt.now_s)
    if not isinstance(outcome, Delivered | Partial):
        return outcome
    each = outcome.items if isinstance(outcome, Partial) else (outcome,) * len(emails)
    found = objects(json_of(response), "result")
    return [
        word(lead, "id") or Rejected(Reason.REFUSED) if isinstance(one, Delivered) else one
        for lead, one in zip(found, each, strict=True)
    ]


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    known = yield from leads(upload, settings, attempt)
    if not isinstance(known, list):
        return known
    ids = [one for one in known if isinstance(one, str) and one]
    if not ids:
        return Partial(tuple(Delivered() if isinstance(one, str) else one for one in known))
    query = "&".join(f"id={id_}" for id_ in ids)
    url = f"{host(settings)}/rest/v1/lists/{upload.list}/leads.json?{query}"
    response = yield send("POST" if upload.add else "DELETE", url)
    outcome = judged(response, len(ids), attempt.now_s)
    if not isinstance(outcome, Delivered | Partial):
        return outcome
    reasons = {word(one, "id"): word(one, "reasons", 0, "code") for one in objects(json_of(response), "result")}
    return Partial(tuple(_of(one, reasons) for one in known))


def _of(lead: str | Retry | Rejected, reasons: dict[str, str]) -> Delivered | Retry | Rejected:
    if not isinstance(lead, str):
        return lead
    code = reasons.get(lead, "")
    # Who is no lead, or on the list no more, has not to be taken off it.
    return Delivered() if code in ("", NOT_ON_LIST) else of_code(code)


DESTINATION = Destination(
    name="marketo_static_lists",
    vendor="marketo",
    account=("account_id",),
    settings=Settings,
    limits=Limits(requests_per_s=5, in_flight_max=4, reply_bytes_max=1_000_000),
    calls=("identify",),
    token=token,
    token_refused=token_refused,
    lists=ListVendor(member=member, change=change, make=make, add_max=MEMBERS_MAX, remove_max=MEMBERS_MAX),
)
