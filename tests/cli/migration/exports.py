"""Exports in the shapes that Segment's Public API gives them."""

from __future__ import annotations

from typing import Any


def audience(key: str, query: str | None, **more: Any) -> dict[str, Any]:
    """As `GET /spaces/{id}/audiences` lists it."""
    return {
        "id": f"aud_{key}",
        "spaceId": "spa_9aQ1Lj62S4bomZKLF4DPqW",
        "name": key.replace("_", " ").capitalize(),
        "description": "",
        "key": key,
        "enabled": True,
        "definition": None if query is None else {"query": query, "type": "USERS"},
        "status": "Live",
        "computeCadence": {"type": "REALTIME"},
        "size": {"count": 1200, "type": "USERS"},
        "createdBy": "sgJDWk3K21k6LE3tLU9nRK",
        "updatedBy": "sgJDWk3K21k6LE3tLU9nRK",
        "createdAt": "2025-03-01T09:00:00.000Z",
        "updatedAt": "2025-03-02T09:00:00.000Z",
        "options": {"includeAnonymousUsers": False, "includeHistoricalData": True},
        "audienceType": "USERS",
        **more,
    }


def trait(key: str, query: str, **more: Any) -> dict[str, Any]:
    """As `GET /spaces/{id}/computed-traits` lists it: without an audienceType."""
    found = audience(key, query, **more)
    del found["audienceType"]
    del found["size"]
    return found


def page(name: str, *items: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    """One answer of a list call."""
    pagination = {"current": "MA==", "totalEntries": len(items) if total is None else total}
    return {"data": {name: list(items), "pagination": pagination}}


ORDERS = "event('Order Completed').within(90 days).count()"
BIG = "event('Order Completed').where(property('total') >= 100).within(30 days).count() >= 2"
