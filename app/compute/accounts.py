"""Accounts: what users keep for them of an event, and one step of an account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from copy import deepcopy
from typing import NamedTuple

from app.compute.apply import Application
from app.compute.evaluate import earliest, evaluate
from app.compute.timers import pass_time
from app.definitions.plan import CellPlan, Fold, Scene
from app.events.model import Message, event_name, id_text, properties_of
from app.profiles.belonging import UNTAGGED, Belonging, Cells, merge_cells
from app.profiles.cells import KEPT
from app.profiles.state import Profile

GROUP_ID = "group_id"
"""The type of an account's only identifier."""


class Called(NamedTuple):
    """A call of a user, as one of its accounts applies it."""

    message: Message
    at_ms: int
    """The event's own time."""
    arrival: int


def tag_of(message: Message) -> str:
    """For which account alone an event counts; `UNTAGGED` for every account of its user."""
    return id_text((message.get("context") or {}).get("groupId")) or UNTAGGED


def collect(application: Application, message: Message, at_ms: int, name: str) -> bool:
    """Keep what accounts ask of an event of their users together, for those that the user may join later.

    Returns:
        Whether the event can matter to an account that the user belongs to.
    """
    plan, profile = application.plan, application.profile
    scene = Scene(_NOBODY, application.scene.now)
    scene.properties = properties_of(message)
    scene.context = message.get("context") or {}
    scene.source = id_text(message.get("sourceId"))
    scene.at_ms = at_ms
    scene.arrival = application.scene.arrival
    belonging = profile.belonging = profile.belonging or Belonging()
    tag = tag_of(message)
    held = belonging.cells.get(tag, {})
    matters = _fold_aside(plan.collective[name], held, scene)
    if held:
        belonging.cells[tag] = held
    else:
        belonging.cells.pop(tag, None)
    if not (belonging.accounts or belonging.cells or belonging.sent):
        profile.belonging = None
    return matters


def _fold_aside(cells: Iterable[tuple[CellPlan, Fold]], held: Cells, scene: Scene) -> bool:
    """Fold an event into cells that nothing waits for to turn, so that time has not been passed on to them.

    Returns:
        Whether any of them has changed, or might have of another profile.
    """
    matters = False
    for cell, fold in cells:
        before = held.get(cell.id)
        advanced = cell.kind.advance(before, scene.now) if before is not None else None
        filled = fold(scene, advanced)
        if filled is not None and filled is not KEPT:
            held[cell.id] = filled
        elif advanced is not None:
            held[cell.id] = advanced
        else:
            held.pop(cell.id, None)
        matters = matters or filled is not None or cell.reads_traits
    return matters


_NOBODY = Profile()
"""What trait() inside `where` reads of an account that the user has not joined yet: nothing."""


class AccountApplication(Application):
    """Applies one record to one account."""

    def turn(self, at_ms: int, turned: Iterable[tuple[str, Mapping[str, bool]]]) -> None:
        """What time does to users at an instant is one step with what it does to the account itself.

        Args:
            at_ms: Later than the account's clock.
            turned: (user, {condition → whether it holds from then on}).
        """
        profile, members = self.profile, self.profile.members
        assert members is not None, "users of the account have said so"
        self.pass_time(at_ms - 1)
        touched = self.readers_of({each for user, conditions in turned for each in members.said(user, conditions)})
        pass_time(self.plan, self.scene, at_ms, self.anonymous, self._emit, touched)
        profile.clock = at_ms

    def readers_of(self, conditions: Set[str]) -> list[int]:
        """The definitions that ask whether users satisfy these conditions."""
        return [index for id_, readers in self.plan.by_condition.items() if id_ in conditions for index in readers]

    def step(self, user: str, touched: Iterable[int], brought: Sequence[Cells], call: Called | None) -> None:
        """One step; `pass_time` to its instant comes first.

        Args:
            touched: Definitions that read of users what has changed.
            brought: Cells of events that the account has not seen.
        """
        profile, members = self.profile, self.profile.members
        found = [*touched, *self._take_identifiers([(GROUP_ID, self.profile_id)])]
        due_ms = 0
        fresh = members.fresh if members is not None and members.has_answered(user) else None
        if brought:
            # Its lists would be in both, and cells are changed in place.
            copy = deepcopy(brought) if fresh is not None else ()
            due_ms = self._merge(profile.cells, brought, found)
            self._merge(fresh if fresh is not None else {}, copy, [])
        if call is not None:
            due_ms = earliest(due_ms, self._call(call, found, fresh))
        self._evaluate(found, due_ms)

    def recollect(self, brought: Sequence[Cells], *, is_answer: bool) -> None:
        """A user has said once more what it brought along; when all have, that is what the account remembers."""
        members = self.profile.members
        if is_answer and members is not None and members.fresh is not None:
            self._merge(members.fresh, brought, [])
            self.settle()

    def settle(self) -> None:
        """If all users have answered, remember what they have said instead of what was there."""
        profile, members, plan = self.profile, self.profile.members, self.plan
        if members is None or members.fresh is None or members.unanswered:
            return
        cells, members.fresh, profile.cells = members.fresh, None, {}
        due_ms = self._merge(profile.cells, [cells], [])
        self._evaluate([*range(len(plan.definitions))], due_ms)

    def _evaluate(self, found: list[int], due_ms: int) -> None:
        profile = self.profile
        if found:
            due_ms = earliest(due_ms, evaluate(self.plan, self.scene, found, self.anonymous, self._emit))
        profile.armed_due = earliest(profile.armed_due, due_ms)

    def _merge(self, held: Cells, brought: Iterable[Cells], found: list[int]) -> int:
        """Put cells to those that are held; `found` gets who reads them.

        Returns:
            When time alone next changes one of them; 0 for never.
        """
        plan, now = self.plan, self.scene.now
        kinds = {cell.id: cell.kind for cell in plan.cells.values()}
        due_ms = 0
        for cells in brought:
            for id_ in merge_cells(held, cells, kinds, now):
                found.extend(plan.by_cell[id_])
                if id_ in held:
                    due_ms = earliest(due_ms, kinds[id_].next_flip_ms(held[id_], now))
        return due_ms

    def _call(self, call: Called, found: list[int], fresh: Cells | None) -> int:
        self.scene.arrival = call.arrival
        name = event_name(call.message)
        if name is None:
            self._write_traits(call.message.get("traits") or {}, call.at_ms, found)
            return 0
        cells = self.plan.cells_by_event.get(name, ())
        due_ms = self._fold(call.message, cells, call.at_ms, found)
        if fresh is not None:
            _fold_aside(cells, fresh, self.scene)
        return due_ms
