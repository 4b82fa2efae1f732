"""Which changes go where."""

from app.definitions.model import Catalog, Subscription
from app.ids import definition_id


def subscriptions_by_definition(catalog: Catalog) -> dict[str, tuple[Subscription, ...]]:
    """Definition id (`aud_…`, `tra_…`: an audience and a trait may share a key) → its subscriptions, as configured."""
    found: dict[str, tuple[Subscription, ...]] = {}
    for subscription in catalog.subscriptions:
        id_ = definition_id(subscription.kind, subscription.definition)
        found[id_] = (*found.get(id_, ()), subscription)
    return found
