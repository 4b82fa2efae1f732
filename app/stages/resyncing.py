"""Connections that are new to definitions which people have values of already: those are told, in portions.

A partition would be held up by telling all of its profiles at once, and so would whoever waits behind so many payloads.
So it notes which connections are new; a record that asks for the next portion comes when there is room for it
(`stream/resyncs.py`), and with that it tells of the next profiles and notes how far it has come. What changes meanwhile
goes to the new connection live, so a profile may be told of twice, with the same value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from app.activation.router import Router
from app.definitions.model import Catalog, Subscription
from app.profiles.state import Profile
from app.profiles.store import PROFILE
from app.stages.envelope import Resync
from app.stages.folding import Folding
from app.stages.meta import Connection, Resyncing

PORTION_MAX = 500
"""How many profiles are looked at with one record."""
AHEAD_MAX = 3_000
"""How many payloads of users, and how many of accounts, may wait at a destination for its vendor: a lane has to see
past them to the live ones behind."""


@dataclass(frozen=True, slots=True)
class _Route:
    """What goes where."""

    router: Router
    definitions: frozenset[str]
    lists: bool
    """Lists hear of who has left, too: they may know them from an earlier connection."""


class Resyncer:
    """Those of one batch."""

    def __init__(self, folding: Folding) -> None:
        self._folding = folding

    def begin(self, before: Catalog, offset: int) -> None:
        """Another catalogue is in force, from a record on: whoever is newly connected is to be told what there is.

        Each destination by itself, since each takes it at its own pace.
        """
        known = {definition.id for definition in before.definitions}
        there = {_connection(subscription) for subscription in before.subscriptions}
        subscriptions = self._folding.held.catalog.subscriptions
        resyncs = self._folding.meta.resyncs
        still = {_connection(each) for each in subscriptions}
        for id_ in [id_ for id_, each in resyncs.items() if still.isdisjoint(each.connections)]:
            del resyncs[id_]
        for each in subscriptions:
            connection = _connection(each)
            if each.historical and each.definition_id in known and connection not in there:
                there.add(connection)
                id_ = f"{offset}/{each.destination}"
                resyncs.setdefault(id_, Resyncing([])).connections.append(connection)

    def portion(self, body: Resync, offset: int) -> None:
        """Tell of the next profiles, until they make as many payloads as are asked for, or of all that are looked at.

        Unless this portion has been told of: a record can come twice.
        """
        folding = self._folding
        resyncing = folding.meta.resyncs.get(body.id)
        if resyncing is None or resyncing.after != body.after:
            return
        routes = self._routes(resyncing)
        keys = list(islice(self._keys(resyncing.after.encode()), PORTION_MAX)) if routes else []
        payloads = 0
        for key, profile in folding.held.cache.peek(keys):
            if not profile.emitted:
                continue
            payloads += self._tell(key, profile, offset, routes)
            folding.work.facts.resynced += 1
            if body.payloads and payloads >= body.payloads:
                resyncing.after = key.decode()
                return
        if len(keys) < PORTION_MAX:
            del folding.meta.resyncs[body.id]
        else:
            resyncing.after = keys[-1].decode()

    def _keys(self, after: bytes) -> Iterator[bytes]:
        start = PROFILE + after + b"\0" if after else PROFILE  # the first key behind it
        for key in self._folding.held.keys_of(PROFILE, start):
            yield key[len(PROFILE) :]

    def _routes(self, resyncing: Resyncing) -> list[_Route]:
        catalog = self._folding.held.catalog
        wanted = [each for each in catalog.subscriptions if _connection(each) in resyncing.connections]
        found: list[_Route] = []
        for lists in (False, True):
            some = tuple(each for each in wanted if each.lists is lists)
            router = Router(replace(catalog, subscriptions=some), self._folding.place.topics)
            if some:
                found.append(_Route(router, frozenset(each.definition_id for each in some), lists))
        return found

    def _tell(self, key: bytes, profile: Profile, offset: int, routes: list[_Route]) -> int:
        """Gives the number of payloads."""
        application = self._folding.application(key, profile, offset)
        payloads = 0
        for route in routes:
            for change in application.present(route.definitions, left=route.lists):
                routed = route.router.route(change)
                self._folding.send(routed)
                payloads += len(routed)
        return payloads


def _connection(subscription: Subscription) -> Connection:
    return subscription.destination, subscription.definition_id
