"""Connections that are new to definitions which people have values of already: those are told, in portions.

A partition would be held up by telling all of its profiles at once. So it notes which connections are new, leaves
itself a record, and with that tells of the next profiles, notes how far it has come, and leaves itself another. What
changes meanwhile goes to the new connection live, so a profile may be told of twice, with the same value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

from app.activation.router import Router
from app.definitions.model import Catalog, Subscription
from app.profiles.state import Profile
from app.profiles.store import PROFILE
from app.stages.envelope import Resync, encode
from app.stages.folding import Folding
from app.stages.meta import Connection, Resyncing

PORTION_MAX = 500
"""How many profiles are looked at with one record."""
_JSON = (("content-type", b"application/json"),)


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
        """Another catalogue is in force, from a record on: whoever is newly connected is to be told what there is."""
        known = {definition.id for definition in before.definitions}
        there = {_connection(subscription) for subscription in before.subscriptions}
        new = [
            _connection(each)
            for each in self._folding.held.catalog.subscriptions
            if each.historical and each.definition_id in known and _connection(each) not in there
        ]
        if new:
            resyncing = self._folding.meta.resyncs[str(offset)] = Resyncing(list(dict.fromkeys(new)))
            self._go_on(str(offset), resyncing)

    def portion(self, body: Resync, offset: int) -> None:
        """Tell of the next profiles, unless this portion has been told of: a record can come twice."""
        folding = self._folding
        resyncing = folding.meta.resyncs.get(body.id)
        if resyncing is None or resyncing.after != body.after:
            return
        routes = self._routes(resyncing)
        keys = list(islice(self._keys(resyncing.after.encode()), PORTION_MAX)) if routes else []
        for key, profile in folding.held.cache.peek(keys):
            if profile.emitted:
                self._tell(key, profile, offset, routes)
                folding.work.facts.resynced += 1
        if len(keys) < PORTION_MAX:
            del folding.meta.resyncs[body.id]
            return
        resyncing.after = keys[-1].decode()
        self._go_on(body.id, resyncing)

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

    def _tell(self, key: bytes, profile: Profile, offset: int, routes: list[_Route]) -> None:
        application = self._folding.application(key, profile, offset)
        for route in routes:
            for change in application.present(route.definitions, left=route.lists):
                self._folding.send(route.router.route(change))

    def _go_on(self, id_: str, resyncing: Resyncing) -> None:
        place = self._folding.place
        record = (None, encode(Resync(id_, resyncing.after)), _JSON)
        self._folding.work.emit(self._folding.topic, place.partition, record)


def _connection(subscription: Subscription) -> Connection:
    return subscription.destination, subscription.definition_id
