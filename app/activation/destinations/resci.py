"""Retention Science (ReSci): attributes of users. There are no events.

NOT VERIFIED: the API's host and path, how the key is shown, and the body's outer form are known from no public source;
all of them are settings. Known are the fields (`email`, `record_id`, attributes), the two flags, and how it answers.
Needs: the API key ("API password") and the users endpoint as the vendor gave it. No welcome mails are sent unless
`send_transactional_welcome` says so, against the vendor's default: a first sync would mail everyone.

Sources: hightouch.com/docs, composable-docs.zeotap.com, support.activeprospect.com (read 2026-11-22), one each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from app.activation.checks import check_headers, check_url
from app.activation.destination import Destination, Limits, Request, Secret, post
from app.activation.payload import Payload
from app.activation.settings import Rule


def check_header(name: str) -> str | None:
    return check_headers({name: Secret("")})


@dataclass(frozen=True, slots=True)
class Settings:
    api_key: Annotated[Secret, Rule("The API password of Settings > API settings.")]
    users_url: Annotated[Secret, Rule("The users endpoint, whole.", check=check_url)]
    key_header: Annotated[str, Rule("The header that the key goes in.", check=check_header)] = "Authorization"
    key_prefix: Annotated[str, Rule("What stands before the key in that header.")] = "Bearer "
    send_transactional_welcome: Annotated[bool, Rule("Mail a welcome to users who are new.")] = False
    merge_before_upsert: Annotated[bool, Rule("Merge users whose id and e-mail address belong to two.")] = False


def key(payload: Payload, settings: Settings) -> str | None:
    return payload.ids.get("email") or payload.ids.get("user_id")


def build(payloads: Sequence[Payload], settings: Settings, now_s: int) -> Request:
    payload = payloads[0]
    who = {"email": payload.ids.get("email"), "record_id": payload.ids.get("user_id")}
    flags = {
        "send_transactional_welcome": settings.send_transactional_welcome,
        "merge_before_upsert": settings.merge_before_upsert,
    }
    body = payload.fields | {name: value for name, value in who.items() if value} | flags
    shown: dict[str, str | Secret] = {settings.key_header: Secret(settings.key_prefix + settings.api_key.reveal())}
    return post(settings.users_url, body, headers=shown)


DESTINATION = Destination(
    name="resci",
    settings=Settings,
    limits=Limits(requests_per_s=200, in_flight_max=20),
    calls=("identify",),
    key=key,
    build=build,
)
