"""Changes and catalogues to route."""

from collections.abc import Mapping
from typing import Any

from app.compute.changes import Change
from app.definitions.model import Catalog, Kind, Subscription
from app.ids import definition_id
from app.topics import Collection

AT_MS = 1_769_853_600_000
"""2026-01-31T10:00:00Z."""


def change(
    key: str = "big_spenders",
    kind: Kind = "audience",
    value: Any = True,
    *,
    previous: Any = None,
    identifiers: tuple[tuple[str, str], ...] = (("user_id", "u-17"), ("email", "ana@example.com")),
    custom: Mapping[str, Any] | None = None,
    computed: Mapping[str, Any] | None = None,
    profile: str = "prf_1",
    id_: str = "c-1",
    sequence: int = 3,
    at_ms: int = AT_MS,
    collection: Collection = "users",
    account: str = "",
) -> Change:
    return Change(
        id=id_,
        profile=profile,
        key=key,
        kind=kind,
        definition_id=definition_id(kind, key),
        value=value,
        previous=previous,
        at_ms=at_ms,
        sequence=sequence,
        identifiers=identifiers,
        traits={key: [value, at_ms] for key, value in (custom or {}).items()},
        computed=computed or {},
        collection=collection,
        account=account,
    )


def catalog(*subscriptions: Subscription) -> Catalog:
    return Catalog(subscriptions=subscriptions, destination_types=(("crm", "webhook"),))


def subscription(key: str = "big_spenders", kind: Kind = "audience", **more: Any) -> Subscription:
    return Subscription(definition=key, kind=kind, destination=more.pop("destination", "crm"), **more)
