"""Every identifier in a message, in order of priority."""

from __future__ import annotations

from collections.abc import Callable

from app.events.model import Message, id_text
from app.events.values import path_steps, values_at
from app.identity.rules import Blocked, Identifier, IdentityRules, LinkRules

TYPE_CHARS_MAX = 128


class Identifiers:
    """Finds what identifies in messages, by rules that hold for all of its life."""

    def __init__(self, rules: IdentityRules) -> None:
        self._is_blocked: Callable[[str], bool] = Blocked(rules).holds
        self._rank = rules.link.rank
        # In the usual order of priority no message has to be sorted that brings only the usual types.
        self._is_usual = rules.link.priority == LinkRules().priority
        self._extra = tuple((extra.type, extra.source == "trait", path_steps(extra.path)) for extra in rules.extra)

    def of(self, message: Message) -> list[Identifier]:
        """The identifiers from the strongest type to the weakest, those of one type as they stand in the message.

        Each is there once, and none that identifies nobody. An alias's previousId is not among them: whose it is only
        the graph knows (`previous`).
        """
        context = message.get("context") or {}
        found: list[Identifier] = []
        # The order is that of the usual priority: user_id, email, then the others by alphabet.
        if (value := message.get("userId")) is not None and (text := self._usable(value)) is not None:
            found.append(("user_id", text))
        traits = message.get("traits") if message["type"] == "identify" else context.get("traits")
        if type(traits) is dict and (text := self._usable(traits.get("email"))) is not None:
            found.append(("email", text))
        device = context.get("device")
        kind = device.get("type") if type(device) is dict else None
        if kind == "android":
            self._device(context["device"], "android", found)
        if (value := message.get("anonymousId")) is not None and (text := self._usable(value)) is not None:
            found.append(("anonymous_id", text))
        if kind == "ios":
            self._device(context["device"], "ios", found)
        usual = len(found)
        if "externalIds" in context:
            self._external(context["externalIds"], found)
        if self._extra:
            self._extras(message, traits, found)
        if len(found) > usual:
            found = list(dict.fromkeys(found))
        elif self._is_usual:
            return found
        if len(found) > 1:
            found.sort(key=self._rank)
        return found

    def previous(self, message: Message) -> str | None:
        """The usable previousId of an alias."""
        return self._usable(message.get("previousId")) if message["type"] == "alias" else None

    def _usable(self, value: object) -> str | None:
        text = value if type(value) is str else id_text(value)
        return None if text is None or self._is_blocked(text) else text

    def _device(self, device: Message, kind: str, found: list[Identifier]) -> None:
        for field, name in (("id", "id"), ("advertisingId", "idfa")):
            if (text := self._usable(device.get(field))) is not None:
                found.append((f"{kind}.{name}", text))

    def _external(self, external_ids: object, found: list[Identifier]) -> None:
        for external in external_ids if type(external_ids) is list else ():
            if (
                type(external) is dict
                and external.get("collection") == "users"
                and external.get("encoding") == "none"
                and (kind := type_text(external.get("type"))) is not None
                and (text := self._usable(external.get("id"))) is not None
            ):
                found.append((kind, text))

    def _extras(self, message: Message, traits: object, found: list[Identifier]) -> None:
        properties = message.get("properties")
        for kind, is_trait, steps in self._extra:
            for value in values_at(traits if is_trait else properties, steps):  # type: ignore[arg-type]
                if (text := self._usable(value)) is not None:
                    found.append((kind, text))


def type_text(kind: object) -> str | None:
    """A sender's word as a type, if it can be one: a colon would make `type:value` mean two things."""
    if not isinstance(kind, str) or not 0 < len(kind) <= TYPE_CHARS_MAX or ":" in kind or not kind.isprintable():
        return None
    return kind


def with_previous(usable: list[Identifier], previous: Identifier, rules: LinkRules) -> list[Identifier]:
    """An alias's identifiers with its previous one: behind its first user id, before its anonymous id."""
    kinds = [kind for kind, _ in usable]
    at = kinds.index("user_id") + 1 if previous[0] == "user_id" and "user_id" in kinds else 0
    return sorted(dict.fromkeys([*usable[:at], previous, *usable[at:]]), key=rules.rank)
