"""Marketo static lists.

Needs: what `marketo` needs (the limits are the whole subscription's: give each half with `rate_per_s`), and the folder
that lists are made in. Members are known by e-mail address, or by another field. A few leads are made, or found, by an
upsert, and go on the list by their ids. Of `import_from` members on, as for a whole list, they are a file that the
vendor imports, whose end is waited for: it works on two at a time, whoever they are of. A list made by hand under the
same name in the folder gets in the way.

Sources: as in `app.activation.marketo_api`; experienceleague.adobe.com bulk lead import (read 2026-11-22);
action-destinations `marketo-static-lists` (2026-08-21). Not verified: staticList/byName; that a file of failed rows has
the columns of the one that was sent.
"""

from __future__ import annotations

import csv
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Annotated
from urllib.parse import quote, urlencode

from app.activation import polling
from app.activation.checks import check_label
from app.activation.destination import Attempt, Conversation, Destination, Limits, Request, Secret, get, post, send
from app.activation.hashing import email_of
from app.activation.lists.vendor import ListName, ListSettings, ListVendor, Made, Member, Upload
from app.activation.marketo_api import host, judged, look_up, of_code, token, token_refused
from app.activation.outcome import (
    Delivered,
    Outcome,
    Partial,
    Pause,
    Reason,
    Rejected,
    Response,
    Retry,
    by_index,
    by_status,
    unreadable,
)
from app.activation.payload import Payload
from app.activation.reply import dig, json_of, json_or_none, objects, word
from app.activation.request import file_upload
from app.activation.settings import Rule
from app.activation.wire import encode

MEMBERS_MAX = 300
"""Of one upsert, and of one change of a list."""
FILE_MAX = 10_000
POLLS_S = (5.0, 10.0, 15.0, 30.0, 30.0, 60.0, 60.0, 60.0, 120.0, 120.0, 300.0, 300.0, 300.0, 300.0)
COMPLETE = "Complete"
ENDED = {COMPLETE, "Failed"}
NOT_ON_LIST = "1015"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(ListSettings):
    account_id: Annotated[str, Rule("Munchkin account id, such as 123-ABC-456.", check=check_label)]
    client_id: Annotated[str, Rule("Of the custom service.")]
    client_secret: Annotated[Secret, Rule("Of the custom service.")]
    folder_name: Annotated[str, Rule("Where lists are made; it has to be there.")]
    lookup_field: Annotated[str, Rule("The lead's field that holds the e-mail address.")] = "email"
    import_from: Annotated[int, Rule("So many members are added by a file.", minimum=1, maximum=MEMBERS_MAX + 1)] = (
        MEMBERS_MAX + 1
    )


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


def imported(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    """A file, until the vendor is through with it."""
    emails = [each.cells[0] for each in upload.members]
    rows = StringIO()
    csv.writer(rows, lineterminator="\n").writerows([[settings.lookup_field], *([email] for email in emails)])
    url = f"{host(settings)}/bulk/v1/leads"
    query = urlencode({"format": "csv", "listId": upload.list, "lookupField": settings.lookup_field})
    response = yield file_upload(f"{url}.json?{query}", "file", "leads.csv", rows.getvalue())
    outcome = judged(response, 1, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    job = quote(word(json_of(response), "result", 0, "batchId"), safe="")
    ended = yield from polling.ended(
        lambda after_s: get(f"{url}/batch/{job}.json", after_s=after_s),
        lambda reply: word(json_or_none(reply), "result", 0, "status") in ENDED,
        POLLS_S,
        lambda reply: judged(reply, 1, attempt.now_s),
    )
    if not isinstance(ended, Response):
        return ended
    told = dig(json_of(ended), "result", 0)
    if word(told, "status") != COMPLETE:
        return Retry(Reason.SERVER_ERROR)
    failed = dig(told, "numOfRowsFailed")
    return (yield from failures(f"{url}/batch/{job}", emails, failed, settings, attempt)) if failed else outcome


def failures(url: str, emails: Sequence[str], count: object, settings: Settings, attempt: Attempt) -> Conversation:
    """The rows that were not taken, where all of them can be told; else nobody knows, and smaller files are tried."""
    response = yield get(f"{url}/failures.json")
    outcome = by_status(response, attempt.now_s)
    if not isinstance(outcome, Delivered):
        return outcome
    if not response.complete:
        return unreadable()
    table = csv.DictReader(StringIO(response.body.decode(errors="replace")))
    bad = {(row.get(settings.lookup_field) or "").strip().lower() for row in table}
    named = {at: Rejected(Reason.REFUSED) for at, email in enumerate(emails) if email in bad}
    return by_index(len(emails), named) if len(named) == count else Rejected(Reason.REFUSED)


def change(upload: Upload, settings: Settings, attempt: Attempt) -> Conversation:
    if upload.add and len(upload.members) >= settings.import_from:
        return (yield from imported(upload, settings, attempt))
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
    limits=Limits(requests_per_s=5, in_flight_max=4, body_bytes_max=10_000_000, reply_bytes_max=1_000_000),
    calls=("identify",),
    token=token,
    token_refused=token_refused,
    lists=ListVendor(member=member, change=change, make=make, add_max=FILE_MAX, remove_max=MEMBERS_MAX),
)
