"""Accounts: what users keep for them of an event, and one step of an account."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from copy import deepcopy
from typing import Any, NamedTuple

from app.compute.apply import Application
from app.compute.evaluate import earliest, evaluate
from app.compute.timers import pass_time
from app.definitions.plan import CellPlan, DefinitionPlan, Fold, Judged, Scene
from app.events.model import Message, event_name, id_text, properties_of
from app.events.values import same
from app.profiles.belonging import UNTAGGED, Belonging, Cells, merge_cells
from app.profiles.cells import KEPT
from app.profiles.history import History, Moment, has_words, note, value_at
from app.profiles.state import Profile
from app.profiles.unjudged import Unjudged

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
        matters = matters or filled is not None
    return matters


_NOBODY = Profile()
"""Whose traits those cells read that are folded without an account: nobody's, for they read none."""


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

    def step(
        self, user: str, touched: Iterable[int], brought: Sequence[Cells], call: Called | None, arrival: int = 0
    ) -> None:
        """One step; `pass_time` to its instant comes first.

        Args:
            touched: Definitions that read of users what has changed.
            brought: Cells of events that the account has not seen.
            arrival: The place in the order of arrival of what the user has done; 0 where it is not known.
        """
        profile, members = self.profile, self.profile.members
        self.scene.arrival = arrival
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

    def forget(self) -> None:
        """A user is to be forgotten, or one who may be later, and is out of reach then. Its words may be among what
        the account was: with the answers of the others these are dropped, and until then they get into no cell that
        stays."""
        if self.plan.recalled.answers:
            history = self.profile.history = self.profile.history or History()
            history.is_forgetting = True

    def settle(self) -> None:
        """If all users have answered, remember what they have said instead of what was there."""
        profile, members, plan = self.profile, self.profile.members, self.plan
        if members is None or members.fresh is None or members.unanswered:
            return
        cells, members.fresh, profile.cells = members.fresh, None, {}
        due_ms = self._merge(profile.cells, [cells], [])
        self._evaluate([*range(len(plan.definitions))], due_ms)
        if profile.history is not None and profile.history.is_forgetting:
            profile.history.forget_words()
            profile.history = profile.history.only(plan.recalled)

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
            for id_, events in cells.items():
                if id_ in plan.judged:
                    due_ms = earliest(due_ms, self._judge(plan.judged[id_], held, events, found))
        return due_ms

    def _judge(self, judged: Judged, held: Cells, events: Iterable[Sequence[Any]], found: list[int]) -> int:
        """Put events to a cell that a user has kept for it, each by what the account was when it came."""
        cell, kind, now = judged.cell, judged.cell.kind, self.scene.now
        before = held.pop(cell.id, None)
        left = kind.advance(before, now) if before is not None else None
        scene = Scene(self.profile, now)
        for event in map(Unjudged._make, events):
            scene.profile = self._as_of(event.moment)
            scene.properties, scene.context, scene.source = event.properties, event.context, event.source
            scene.at_ms, scene.arrival = event.at_ms, event.arrival
            filled = judged.folds[event.name](scene, left)
            if filled is not None and filled is not KEPT:
                left = filled
        found.extend(self.plan.by_cell[cell.id])
        if left is None:
            return 0
        held[cell.id] = left
        return kind.next_flip_ms(left, now)

    # what it was

    def _as_of(self, moment: Moment) -> Profile:
        """The account just before a moment: of its custom traits and answers those that are asked."""
        profile, recalled, then = self.profile, self.plan.recalled, Profile()
        history = profile.history or History()
        for key in recalled.traits:
            written = profile.traits.get(key)
            value = value_at(history.traits.get(key), moment, written[0] if written is not None else None)
            then.traits[key] = [value, 0, 0]
        for key in recalled.answers:
            value = value_at(history.answers.get(key), moment, profile.emitted.get(key))
            if value is not None and not (history.is_forgetting and has_words(value)):
                then.emitted[key] = value
        return then

    def _emit(self, definition: DefinitionPlan, value: Any, previous: Any) -> None:
        super()._emit(definition, value, previous)
        spans = self.plan.recalled.answers
        if definition.key in spans:
            history = self.profile.history = self.profile.history or History()
            values = history.answers.setdefault(definition.key, [])
            note(values, previous, value, self._moment, spans[definition.key])

    def _write_traits(self, traits: dict[str, Any], at_ms: int, touched: list[int]) -> None:
        before, spans = self.profile.traits, self.plan.recalled.traits
        super()._write_traits(traits, at_ms, touched)
        for key in traits.keys() & spans.keys():
            previous, value = before[key][0] if key in before else None, self.profile.traits[key][0]
            if not same(previous, value):
                history = self.profile.history = self.profile.history or History()
                note(history.traits.setdefault(key, []), previous, value, self._moment, spans[key])

    @property
    def _moment(self) -> Moment:
        return self.scene.now, self.scene.arrival

    def _forget_unasked(self) -> None:
        super()._forget_unasked()
        if self.profile.history is not None:
            self.profile.history = self.profile.history.only(self.plan.recalled)

    def _call(self, call: Called, found: list[int], fresh: Cells | None) -> int:
        self.scene.arrival = call.arrival
        name = event_name(call.message)
        if name is None:
            self._write_traits(call.message.get("traits") or {}, call.at_ms, found)
            return 0
        cells = self.plan.cells_by_event.get(name, ())
        due_ms = self._fold(call.message, cells, call.at_ms, found)
        if fresh is not None:
            if self.profile.history is not None and self.profile.history.is_forgetting:
                self.scene.profile = self._as_of(self._moment)
            _fold_aside(cells, fresh, self.scene)
            self.scene.profile = self.profile
        return due_ms
