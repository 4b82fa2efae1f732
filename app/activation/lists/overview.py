"""What is known of a destination's lists, read out of its changelog."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from app.activation.lists.state import ADD, ENTRY, LIST, REMOVE, Entry, Has, KeptList, Run, entry_of, list_of


@dataclass(frozen=True, slots=True)
class RefusedMember:
    """Whom the vendor does not take, or does not let go."""

    key: str
    wanted: bool
    reason: str
    at_ms: int


@dataclass(slots=True)
class ListView:
    """One list."""

    id: str
    """The audience's id."""
    audience: str
    name: str
    external: str
    runs: Sequence[Run]
    """The newest last."""
    wanted: int = 0
    held: int = 0
    """On the vendor's list by our own doing."""
    in_doubt: int = 0
    to_add: int = 0
    to_remove: int = 0
    unreported: int = 0
    """Accepted requests of which the vendor has yet to say what it made of them."""
    refused: list[RefusedMember] = field(default_factory=list)


class Ledger:
    """A destination's changelog, as far as it has been read."""

    def __init__(self) -> None:
        self._lists: dict[bytes, KeptList] = {}
        self._entries: dict[bytes, dict[bytes, Entry]] = {}
        self._added: dict[bytes, dict[bytes, Entry]] = {}
        """As they were when they were last known to be on the vendor's list."""

    def take(self, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """More of it, in order."""
        for key, value in records:
            if key is None:
                continue
            if key.startswith(LIST) and value is not None:
                self._lists[key[len(LIST) :]] = list_of(value)
            elif key.startswith(ENTRY):
                list_, _, id_ = key[len(ENTRY) :].partition(b"|")
                if value is None:
                    self._entries.get(list_, {}).pop(id_, None)
                    continue
                entry = self._entries.setdefault(list_, {})[id_] = entry_of(value)
                if entry.has is Has.YES:
                    self._added.setdefault(list_, {})[id_] = entry

    @property
    def lists(self) -> Mapping[bytes, KeptList]:
        return self._lists

    def entry(self, list_: bytes, id_: bytes) -> Entry | None:
        """A member, or one who is to be removed."""
        return self._entries.get(list_, {}).get(id_)

    def entries(self, list_: bytes) -> Iterable[Entry]:
        """A list's members, those that are to be removed too."""
        return self._entries.get(list_, {}).values()

    def past(self, list_: bytes) -> Iterable[Entry]:
        """Who was put on a list and is off it again, as far back as the changelog has not been compacted."""
        entries = self._entries.get(list_, {})
        return [entry for id_, entry in self._added.get(list_, {}).items() if id_ not in entries]

    def views(self) -> list[ListView]:
        """Every list, by the audience's key."""
        return sorted((self._view(list_, kept) for list_, kept in self._lists.items()), key=lambda view: view.audience)

    def _view(self, list_: bytes, kept: KeptList) -> ListView:
        view = ListView(list_.decode(), kept.audience, kept.name, kept.external, kept.runs, unreported=len(kept.jobs))
        for entry in self.entries(list_):
            what = entry.queue()
            view.wanted += bool(entry.by)
            view.held += entry.has is Has.YES
            view.in_doubt += entry.has is Has.DOUBT
            view.to_add += what == ADD
            view.to_remove += what == REMOVE
            if entry.refused:
                view.refused.append(RefusedMember(entry.key, bool(entry.by), entry.refused, entry.refused_ms))
        view.refused.sort(key=lambda one: (-one.at_ms, one.key))
        return view
