"""One record of `profiles.in` applied to its profile."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any, NamedTuple

from app.compute.changes import Change, Origin
from app.compute.evaluate import earliest, evaluate
from app.compute.timers import pass_time
from app.definitions.plan import CONDITION, CellPlan, DefinitionPlan, Fold, Plan, Scene
from app.events.model import Message, event_name, id_text, properties_of
from app.identity.rules import IDENTIFYING_TYPES
from app.ids import message_id
from app.profiles.belonging import Belonging
from app.profiles.cells import KEPT
from app.profiles.merge import merge
from app.profiles.state import Profile, is_later

_RECEIVED_MS_MAX = (1 << 43) - 1
"""In the year 2248: from then on only offsets tell."""


class Turned(NamedTuple):
    """A condition of accounts holds of a user from an instant on, or no more."""

    at_ms: int
    condition: str
    holds: bool
    timed: bool = False
    """Whether time alone has done it."""


class Application:
    """Applies one record to one profile and collects the changes.

    `repeats` are of values that have not changed, for identifiers that are new to the profile: nobody has told whoever
    goes by those. `turned` are the conditions of accounts that have turned, in order.

    Args:
        epoch: The source topic's id.
        position: Of the record: (topic, partition, offset); with the epoch it makes the ids of its changes.
    """

    __slots__ = (
        "_account", "_not_before_ms", "_origin", "_position", "anonymous", "changes", "epoch", "is_replanned",
        "plan", "profile", "profile_id", "repeats", "scene", "turned",
    )  # fmt: skip

    def __init__(
        self, plan: Plan, profile: Profile, profile_id: str, epoch: str, position: tuple[str, int, int]
    ) -> None:
        self.plan = plan
        self.profile = profile
        self.profile_id = profile_id
        self.epoch = epoch
        self._position = position
        self.scene = Scene(profile, profile.clock)
        self.anonymous = is_anonymous(profile)
        self.changes: list[Change] = []
        self.repeats: list[Change] = []
        self.turned: list[Turned] = []
        self.is_replanned = False
        """Whether it has been evaluated by a plan that is new to it."""
        self._origin: Origin = "live"
        self._account = ""
        """Which account has told what is being applied."""
        self._not_before_ms = 0
        """When that account became so, which may be later than the user's own time."""

    def pass_time(self, until_ms: int) -> None:
        """Let time pass for the profile, up to and including an instant; it never goes back."""
        profile = self.profile
        if until_ms < profile.clock:
            until_ms = profile.clock
        if profile.armed_due and profile.armed_due <= until_ms:
            pass_time(self.plan, self.scene, until_ms, self.anonymous, self._emit)
            self.turned = [turned._replace(timed=True) for turned in self.turned]
        self.scene.now = profile.clock = until_ms

    def message(
        self, message: Message, at_ms: int, found: Iterable[tuple[str, str]], *, received_ms: int, repeat: bool
    ) -> None:
        """Apply a message as one step; `pass_time` to its arrival comes first.

        Args:
            at_ms: The event's own time, never later than its arrival.
            found: Its identifiers as (type, value).
            received_ms: When it arrived; before the profile's clock, if the profile has heard of a later instant.
            repeat: A message that was applied before under the same id: it counts no more, but may bring identifiers.
        """
        self.scene.arrival = arrival(received_ms, self._position[2])
        known, changed = len(self.profile.identifiers), len(self.changes)
        touched = self._take_identifiers(found)
        name = event_name(message)
        if repeat:
            pass
        elif name is not None:
            due_ms = self._fold(message, self.plan.cells_by_event.get(name, ()), at_ms, touched)
            self.profile.armed_due = earliest(self.profile.armed_due, due_ms)
        elif message["type"] == "identify":
            self._write_traits(message.get("traits") or {}, at_ms, touched)
        if touched:
            due_ms = evaluate(self.plan, self.scene, touched, self.anonymous, self._emit)
            self.profile.armed_due = earliest(self.profile.armed_due, due_ms)
        if known < len(self.profile.identifiers):
            self._tell("identifier", known, changed, {})

    def absorb(self, loser: Profile, origin: Origin = "merge") -> None:
        """Take in another profile's state as one step; `pass_time` to the merge, and to its clock, comes first."""
        known, changed = len(self.profile.identifiers), len(self.changes)
        self._take_in(loser, origin)
        self._tell(origin, known, changed, loser.emitted)

    def replace(self, left: Profile) -> None:
        """Have another's identifiers, custom traits and cells instead of one's own, as one step; `pass_time` to the
        split, and to its clock, comes first. It belongs to those of its accounts that the other does."""
        profile = self.profile
        profile.identifiers, profile.traits, profile.cells = [], {}, {}
        if profile.belonging is not None:
            profile.belonging = profile.belonging.only(left.belonging.accounts if left.belonging is not None else ())
        self._take_in(left, "split")

    def _take_in(self, other: Profile, origin: Origin) -> None:
        profile, plan = self.profile, self.plan
        merge(profile, other, {cell.id: cell.kind for cell in plan.cells.values()}, self.scene.now)
        if other.belonging is not None:
            belonging = profile.belonging = profile.belonging or Belonging()
            belonging.absorb(other.belonging, plan.collective_kinds, self.scene.now)
        self.anonymous = is_anonymous(profile)
        if profile.plan != plan.version:
            self.is_replanned = True
            self._forget_unasked()
        profile.plan = plan.version
        self._origin = origin
        due_ms = evaluate(plan, self.scene, range(len(plan.definitions)), self.anonymous, self._emit)
        profile.armed_due = earliest(profile.armed_due, due_ms)
        self._origin = "live"

    def fact(self, account: str, version: int, values: Mapping[str, Any], at_ms: int) -> None:
        """Apply what an account has become at an instant, as one step. No time passes for the user by that."""
        belonging, facts = self.profile.belonging, self.plan.facts
        if belonging is None or not belonging.tell(account, version, values):
            return
        self._account, self._not_before_ms = account, at_ms
        touched = [*self._take_identifiers(()), *(facts[key] for key in values if key in facts)]
        due_ms = evaluate(self.plan, self.scene, touched, self.anonymous, self._emit)
        self.profile.armed_due = earliest(self.profile.armed_due, due_ms)
        self._account, self._not_before_ms = "", 0

    def erase(self) -> None:
        """Take back all that was emitted, in the definitions' order; what it was stays unsaid. `pass_time` comes first.

        Of the custom traits only the e-mail is left, which may be where the taking back has to go.
        """
        profile = self.profile
        emitted, profile.emitted = profile.emitted, {}
        profile.traits = {key: written for key, written in profile.traits.items() if key == "email"}
        self._origin = "erasure"
        for definition in self.plan.definitions:
            value = emitted.get(definition.slot) if definition.role != "condition" else None
            if definition.kind == "audience" and value:
                self._emit(definition, False, True)
            elif definition.kind == "trait" and value is not None:
                self._emit(definition, None, None)
        self._origin = "live"

    def present(self, definitions: Container[str], *, left: bool) -> list[Change]:
        """What the profile is and has by what was last emitted, of definitions by id. Nothing changes by it: neither
        time nor sequence goes on, so whatever comes after it is newer.

        Args:
            left: With the audiences that it was in and has left.
        """
        emitted, found = self.profile.emitted, list[Change]()
        for definition in self.plan.definitions:
            value = emitted.get(definition.slot)
            if value is None or definition.role == "condition" or definition.id not in definitions:
                continue
            if value is False and definition.kind == "audience" and not left:
                continue
            found.append(self._described(definition, value, value, "present", "resync", None))
        return found

    def refresh(self) -> None:
        """Evaluate by a plan that is new to the profile; cells of definitions that are gone are dropped."""
        cells = self.profile.cells
        for gone in [cell for cell in cells if cell not in self.plan.cells]:
            del cells[gone]
        due_ms = evaluate(self.plan, self.scene, self._take_identifiers(()), self.anonymous, self._emit)
        self.profile.armed_due = earliest(self.profile.armed_due, due_ms)

    def _take_identifiers(self, found: Iterable[tuple[str, str]]) -> list[int]:
        """What a profile's first identifying identifier touches, or a plan that is new to it: any answer may turn."""
        profile, plan = self.profile, self.plan
        new = [each for each in found if each not in profile.identifiers]
        profile.identifiers.extend(new)
        was_anonymous = self.anonymous
        if new:
            self.anonymous = is_anonymous(profile)
        if profile.plan == plan.version and was_anonymous == self.anonymous:
            return []
        if profile.plan != plan.version:
            self.is_replanned = True
            self._forget_unasked()
            self._arm_cells()
        profile.plan = plan.version
        return list(range(len(plan.definitions)))

    def _arm_cells(self) -> None:
        """Cells that were there before may turn earlier for the definitions of a new plan than for those before."""
        profile, cells, now = self.profile, self.plan.cells, self.scene.now
        for cell_id, held in profile.cells.items():
            cell = cells.get(cell_id)
            if cell is not None and cell.timed:
                profile.armed_due = earliest(profile.armed_due, cell.kind.next_flip_ms(held, now))

    def _forget_unasked(self) -> None:
        """What no account asks any more: should one ask again, all that is known is told anew."""
        profile, plan = self.profile, self.plan
        for gone in [
            slot for slot in profile.emitted if slot.startswith(CONDITION) and slot[1:] not in plan.conditions
        ]:
            del profile.emitted[gone]
        if profile.belonging is not None:
            profile.belonging.keep(plan.collective_kinds)

    def _fold(self, message: Message, cells: Iterable[tuple[CellPlan, Fold]], at_ms: int, touched: list[int]) -> int:
        scene, held, by_cell = self.scene, self.profile.cells, self.plan.by_cell
        scene.properties = properties_of(message)
        scene.context = message.get("context") or {}
        scene.source = id_text(message.get("sourceId"))
        scene.at_ms = at_ms
        now = scene.now
        next_ms = 0
        for cell, fold in cells:
            cell_id = cell.id
            filled = fold(scene, held.get(cell_id))
            if filled is None or filled is KEPT:
                continue
            held[cell_id] = filled
            touched.extend(by_cell[cell_id])
            if cell.timed and (due_ms := cell.kind.next_flip_ms(filled, now)) and (not next_ms or due_ms < next_ms):
                next_ms = due_ms
        return next_ms

    def _write_traits(self, traits: dict[str, Any], at_ms: int, touched: list[int]) -> None:
        # A new mapping: changes that were made before hold the one that was.
        held = self.profile.traits = self.profile.traits.copy()
        for key, value in traits.items():
            written = [value, at_ms, self.scene.arrival]
            before = held.get(key)
            # The last writer by event time wins; of two at the same time the later to arrive.
            if before is None or not is_later(before, written):
                held[key] = written
                touched.extend(self.plan.by_trait.get(key, ()))

    def _tell(self, origin: Origin, known: int, changed: int, told: Mapping[str, Any]) -> None:
        """Values that are as they were, to identifiers that are new.

        Args:
            known: How many identifiers the profile had before.
            changed: How many changes there were before the step: what changed in it goes to everybody anyway.
            told: What the new identifiers have been told already. They have to hear of an exit, too.
        """
        emitted = self.profile.emitted
        if not emitted and not told:
            return
        before = tuple(self.profile.identifiers[:known])
        fresh = {change.definition_id for change in self.changes[changed:]}
        for definition in self.plan.definitions:
            value = emitted.get(definition.slot, False if definition.kind == "audience" else None)
            if definition.role == "condition" or definition.id in fresh:
                continue
            if (value is None or value is False) and not told.get(definition.slot):
                continue
            # Of whom was told by the profile that they were taken out of, none may miss an exit.
            ends = origin == "split" and (value is None or value is False)
            self.repeats.append(self._change(definition, value, value, "told", origin, None if ends else before))

    def _emit(self, definition: DefinitionPlan, value: Any, previous: Any) -> None:
        if definition.role == "condition":
            self.turned.append(Turned(self.scene.now, definition.id, value))
            return
        verb = "computed" if definition.kind == "trait" else "entered" if value else "exited"
        self.changes.append(self._change(definition, value, previous, verb, self._origin, None))

    def _change(
        self, definition: DefinitionPlan, value: Any, previous: Any, verb: str, origin: Origin,
        told: tuple[tuple[str, str], ...] | None,
    ) -> Change:  # fmt: skip
        self.profile.sequence += 1
        return self._described(definition, value, previous, verb, origin, told)

    def _described(
        self, definition: DefinitionPlan, value: Any, previous: Any, verb: str, origin: Origin,
        told: tuple[tuple[str, str], ...] | None,
    ) -> Change:  # fmt: skip
        profile = self.profile
        topic, partition, offset = self._position
        return Change(
            id=message_id(
                self.epoch,
                topic,
                partition,
                offset,
                definition.id,
                definition.version,
                self.profile_id,
                f"{verb}:{profile.sequence}",
            ),
            profile=self.profile_id,
            key=definition.key,
            kind=definition.kind,
            definition_id=definition.id,
            value=value,
            previous=previous,
            at_ms=max(self.scene.now, self._not_before_ms),
            sequence=profile.sequence,
            identifiers=tuple(profile.identifiers),
            traits=profile.traits,
            computed=profile.emitted,
            origin=origin,
            told=told,
            collection=self.plan.collection,
            account=self._told_by(definition, value) if definition.role == "fact" else "",
            absorbed=tuple(profile.merging.absorbed) if profile.merging is not None else (),
        )

    def _told_by(self, definition: DefinitionPlan, value: Any) -> str:
        belonging = self.profile.belonging
        return self._account or (belonging.teller(definition.key, value) if belonging is not None else "")


def arrival(received_ms: int, offset: int) -> int:
    """A record's place in the order of arrival, in 63 bits; the offset tells apart those of the same millisecond.

    It compares in every partition, because a profile that is merged into another takes with it what came elsewhere.
    """
    return min(received_ms, _RECEIVED_MS_MAX) << 20 | offset & 0xFFFFF


def is_anonymous(profile: Profile) -> bool:
    """Whether a profile has none of the identifiers that make a person known."""
    return IDENTIFYING_TYPES.isdisjoint([kind for kind, _ in profile.identifiers])
