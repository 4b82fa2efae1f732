"""The last that destinations hear of a profile: that its person has to be forgotten.

A `delete` call goes to every destination, for each addressee, behind the exits. What a vendor makes of it is the
destination's: some forget the person, others cannot be asked to, and the receipt says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from app.activation.addressees import Addressee, everybody
from app.activation.destinations import DESTINATIONS
from app.activation.router import Routed
from app.activation.wire import encode, iso
from app.definitions.model import Catalog
from app.ids import derived_id
from app.topics import JSON_TYPE, Topics

CALL = "delete"


class Erasure(NamedTuple):
    """A profile that is erased, as destinations are told of it."""

    regulation: str
    profile: str
    identifiers: Sequence[tuple[str, str]]
    email: str | None
    """The custom trait."""
    at_ms: int
    sequence: int


class Deletes(NamedTuple):
    """The payloads that tell of it."""

    records: list[Routed]
    asked: dict[str, int]
    """Destination → how many its sender has to settle."""
    told: list[str]
    """Destinations without a sender: the topic is the delivery."""


def deletes(catalog: Catalog, topics: Topics, erasure: Erasure) -> Deletes:
    """The payloads for every destination in force but lists, in the catalogue's order; the same at every repeat."""
    found = Deletes([], {}, [])
    to = everybody(erasure.identifiers, erasure.email)
    for name, type_ in catalog.destination_types:
        if type_ in DESTINATIONS and DESTINATIONS[type_].lists is not None:
            continue  # the exits before it take the person off the lists, which is all that is ours at the vendor
        found.records.extend(_record(name, topics, erasure, addressee) for addressee in to)
        if type_ in DESTINATIONS and DESTINATIONS[type_].sends:
            found.asked[name] = len(to)
        else:
            found.told.append(name)
    return found


def _record(destination: str, topics: Topics, erasure: Erasure, to: Addressee) -> Routed:
    who = to.user_id or to.anonymous_id or ""
    id_ = derived_id(erasure.regulation, erasure.profile, destination, CALL, who, to.email or "")
    at = iso(erasure.at_ms)
    call: dict[str, object] = {"type": CALL, "messageId": id_, "timestamp": at}
    if to.user_id is not None:
        call["userId"] = to.user_id
    elif to.anonymous_id is not None:
        call["anonymousId"] = to.anonymous_id
    call["traits"] = {"email": to.email} if to.email is not None else {}
    call["integrations"] = {"All": False, destination: True}
    value = {
        "id": id_,
        "destination": destination,
        "profile": erasure.profile,
        "sequence": erasure.sequence,
        "at": at,
        "origin": "erasure",
        "computation": {"class": "erasure", "id": erasure.regulation, "key": ""},
        "payload": call,
    }
    key = erasure.profile.encode()
    return Routed(topics.destination(destination), key, encode(value), (("message-id", id_.encode()), JSON_TYPE))
