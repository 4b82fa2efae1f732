"""Marketing Cloud Account Engagement (Pardot): fields of prospects. There are no events.

Needs: a connected app's client id, client secret and refresh token, and the business unit's id. Custom fields must
exist: a key `vip` is `vip__c`, a name with a capital letter is the field's own. Prospects are known by e-mail address,
lower-cased here because the vendor matches with case. Five requests at once are allowed; one is left to others.

Sources: developer.salesforce.com/docs/marketing/pardot/guide prospect-v5, version5overview (read 2026-08-13). The codes
come from rudder-transformer only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.activation.destination import Destination, Limits, Request, Secret, post
from app.activation.fields import custom_field, renamed
from app.activation.hashing import email_of
from app.activation.outcome import Outcome, Pause, Reason, Rejected, Response, Retry, by_status
from app.activation.payload import Payload
from app.activation.reply import json_or_none, word
from app.activation.settings import Rule
from app.activation.token import TokenFlow, refresh_token

AGAIN = {"85", "116", "120", "121", "183", "214"}
TOKEN = "184"
UNAUTHORIZED = 401


def check_unit(text: str) -> str | None:
    return None if re.fullmatch(r"0Uv[A-Za-z0-9]{12,15}", text) else "expected 15 or 18 characters that begin with 0Uv"


@dataclass(frozen=True, slots=True)
class Settings:
    client_id: Annotated[str, Rule("The connected app's consumer key.")]
    client_secret: Annotated[Secret, Rule("The connected app's consumer secret.")]
    refresh_token: Annotated[Secret, Rule("The refresh token that the org gave it.")]
    business_unit_id: Annotated[str, Rule("The business unit's id, 0Uv….", check=check_unit)]
    sandbox: Annotated[bool, Rule("Use pi.demo.pardot.com and test.salesforce.com.")] = False


def token(settings: Settings) -> TokenFlow:
    host = "test" if settings.sandbox else "login"
    url = f"https://{host}.salesforce.com/services/oauth2/token"
    return refresh_token(url, settings.client_id, settings.client_secret, settings.refresh_token)


def code(response: Response) -> str:
    reply = json_or_none(response)
    if reply is not None:
        return word(reply, "code") or word(reply, "@attributes", "err_code")
    found = re.search(rb'err code="(\d+)"', response.body)
    return found[1].decode() if found else ""


def token_refused(response: Response) -> bool:
    return response.status == UNAUTHORIZED or code(response) == TOKEN


def key(payload: Payload, settings: Settings) -> str | None:
    return email_of(payload)


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    email = email_of(payloads[0])
    prospect = renamed(payloads[0].fields, custom_field) | {"email": email}
    body = {"matchEmail": email, "prospect": prospect, "secondaryDeletedSearch": True}
    host = "pi.demo.pardot.com" if settings.sandbox else "pi.pardot.com"
    url = f"https://{host}/api/v5/objects/prospects/do/upsertLatestByEmail"
    return post(url, body, headers={"Pardot-Business-Unit-Id": settings.business_unit_id})


def classify(response: Response, payloads: Sequence[Payload], now_s: float) -> Outcome:
    match code(response):
        case "66":
            return Retry(Reason.THROTTLED, 1.0)
        case "122":  # until the account's day ends: asked again every hour
            return Retry(Reason.THROTTLED, 3600.0)
        case "184":  # TOKEN
            return Pause(Reason.UNAUTHORIZED)
        case found if found in AGAIN:
            return Retry(Reason.SERVER_ERROR)
        case found if found:
            return Rejected(Reason.REFUSED)
    if response.status in (400, 403) and response.body.lstrip().startswith(b"<"):
        return Pause(Reason.UNAUTHORIZED)  # how it says that the business unit is another's
    return by_status(response, now_s)


DESTINATION = Destination(
    name="pardot",
    settings=Settings,
    account=("business_unit_id",),
    limits=Limits(requests_per_s=2, in_flight_max=4),
    calls=("identify",),
    key=key,
    repeats=False,
    build=build,
    classify=classify,
    token=token,
    token_refused=token_refused,
    field_name=custom_field,
)
