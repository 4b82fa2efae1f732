"""The records of `profiles.in` and `accounts.in`: everything that changes a profile or an account, which key them.

JSON values with a `kind`.

| kind | fields | key |
|---|---|---|
| event | `at`: when `events.raw` got it, ms; `id`: its messageId, else its position; `type`; `name`: what definitions
call it; `ids`: its identifiers as [type, value]; `message`: as it came; `went_on`: whether a profile has
passed it on that these had left | profile |
| timer | `due`: the instant that has come, ms; for an account up to which all users have | profile |
| refresh | `at`: the instant that has come, ms | profile, to be evaluated by the definitions in force |
| catalog | `catalog`: every definition and subscription, in force from here on | none |
| resync | `id`; `after`: the portion of the profiles behind that one is to be told to connections that are new;
`payloads`: how many there is room for, 0 for all of the portion | none |
| absorb | `at`; `id`: of the message that linked the two; `loser`: the profile that this one takes in, and whose state
is on its way: until it has come, what happens to this profile waits | profile |
| merge | `at`; `id`; `winner`: the profile that this one is now part of | profile |
| import | `at`; `id`; `loser`: whose state it is; `part`, `parts`; `data`: bytes of it, base64; `seen`:
day → hashes of the messages that have been applied to it, base64, of the last days, or of all where it was taken out of
another; `split`: what has been folded anew; `into`: the profile that the identifier makes; `accounts`: to which of the
profile's accounts that belongs, with what is left | profile |
| part | `at`; `id`: of the split; `ids`: the one identifier that leaves this profile; `into`: the profile that it
makes, or this one where the identifier is back as a new one; `number`: rises with every split; `since`: before which
instants events of which identifiers were erased | profile |
| erase | `at`; `id`: of the regulation | profile, of which nothing is to be left |
| member | what one step of a user means to one of its accounts (`Member`) | account, in `accounts.in` |
| brought | a piece of what a user brings along (`Brought`) | account, in `accounts.in` |
| continue | `at`; `number`: of the portion of its members that an account tells next | account, in `accounts.in` |
| fact | `at`; `account`; `version`; `values`: definition key → what that account has become | profile |
| recollect | `at`; `account`; `number`: the account asks its users once more for what they brought along, because one
of them has left | profile |

Timers, refreshes, catalogues and resyncs are records of both topics.

What is asked of every event stands outside the message: most messages are never parsed a second time, because nothing
that is live looks at them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
import orjson

from app.definitions.model import Catalog

Instant: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]
"""ms since 1970, before the year 10,000: a later one could be neither written as text nor, for long, kept in a
profile's bytes."""


SEEN_BYTES = 1 << 20
"""Of hashes in one record, before base64: as many bytes as the hashes of 131,072 messages. Those are of one length, of
which this is a multiple."""


Fold: TypeAlias = Literal["", "left", "taken", "both"]


class Event(msgspec.Struct, tag_field="kind", tag="event"):
    at: Instant
    id: str
    type: str
    ids: list[tuple[str, str]]
    message: msgspec.Raw
    name: str | None = None
    went_on: bool = False
    """Whether a profile has passed it on that these of its identifiers had left: it never counted there."""


class Timer(msgspec.Struct, tag_field="kind", tag="timer"):
    due: Instant


class Refresh(msgspec.Struct, tag_field="kind", tag="refresh"):
    at: Instant


class CatalogChange(msgspec.Struct, tag_field="kind", tag="catalog"):
    catalog: Catalog


class Resync(msgspec.Struct, tag_field="kind", tag="resync"):
    id: str
    after: str
    payloads: Annotated[int, msgspec.Meta(ge=0)] = 0


class Absorb(msgspec.Struct, tag_field="kind", tag="absorb"):
    at: Instant
    id: str
    loser: str


class Merge(msgspec.Struct, tag_field="kind", tag="merge"):
    at: Instant
    id: str
    winner: str


class Import(msgspec.Struct, tag_field="kind", tag="import"):
    at: Instant
    id: str
    loser: str
    part: Annotated[int, msgspec.Meta(ge=0)]
    parts: Annotated[int, msgspec.Meta(ge=1)]
    data: bytes
    seen: dict[int, bytes] = {}
    split: Fold = ""
    """What has been folded anew: what a split has left of the profile, which takes the place of what it has, or what it
    has taken out; or, of two that become one, the cells in which something has counted for both."""
    into: str = ""
    """Of a split: the profile that the identifier makes; of two that become one: the loser."""
    accounts: list[str] = []
    """With what is left of a profile: the accounts that the other belongs to."""


class Part(msgspec.Struct, tag_field="kind", tag="part"):
    at: Instant
    id: str
    ids: Annotated[list[tuple[str, str]], msgspec.Meta(min_length=1, max_length=1)]
    into: str
    number: int
    since: dict[str, int] = {}
    """`type:value` → ms, of identifiers of the profile that had left it before, and were erased then: what was said of
    them before they came back is not to be folded again."""


class Erase(msgspec.Struct, tag_field="kind", tag="erase"):
    at: Instant
    id: str


class Call(msgspec.Struct):
    """A call of a user that concerns an account: a group call of that account, or an event."""

    at: Instant
    """When `events.raw` got it."""
    arrival: int
    """Its place in the order of arrival, as the user has it."""
    message: msgspec.Raw


class Member(msgspec.Struct, tag_field="kind", tag="member", omit_defaults=True):
    """What one step of a user means to one of its accounts. All of it is one step of the account, too.

    Attributes:
        at: The user's clock.
        user: The profile's id.
        version: Rises with each of the user's records; one that is not newer than the last is a repeat.
        timed: Whether time alone brought it about.
        joins: The user belongs to the account from here on; all of its conditions are in `conditions`.
        leaves: The user belongs to it no more, and has never done anything.
        parts: An identifier has left the user: some of what it had done, it has never done.
        recounted: Some of what it had done, two had done under one id: it counts once.
        expects: The profile which that makes, and which belongs to the account, too. It will say so itself.
        parted: It joins as such a profile: what it has done was the other's, so the account has counted it already.
        recollects: It answers the account's question of that number.
        replaces: Profiles that have become part of the user, and have belonged to the account.
        cells: What the user remembers of events that count for the account and that it has not been sent, packed
            (`app.profiles.belonging`).
        pieces: As how many `Brought`, before this record, `cells` have come, because they are too long for one.
        conditions: Those that have turned, by id, and whether they hold.
        call: A call that the account applies.
        arrival: The place of the step in the order of arrival, where accounts have to remember when they were what.
    """

    at: Instant
    user: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    timed: bool = False
    joins: bool = False
    leaves: bool = False
    parts: bool = False
    recounted: bool = False
    expects: str = ""
    parted: bool = False
    recollects: int = 0
    replaces: list[str] = []
    cells: bytes = b""
    pieces: int = 0
    conditions: dict[str, bool] = {}
    call: Call | None = None
    arrival: int = 0


class Brought(msgspec.Struct, tag_field="kind", tag="brought"):
    """A piece of what a user brings along. It lies there until the account applies the `Member` that it goes with."""

    user: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    """Of that `Member`."""
    piece: Annotated[int, msgspec.Meta(ge=0)]
    data: bytes


class Continue(msgspec.Struct, tag_field="kind", tag="continue"):
    at: Instant
    number: int


class Fact(msgspec.Struct, tag_field="kind", tag="fact"):
    at: Instant
    account: str
    version: Annotated[int, msgspec.Meta(ge=1)]
    """Rises with each record of the account to its members."""
    values: dict[str, Any]


class Recollect(msgspec.Struct, tag_field="kind", tag="recollect"):
    at: Instant
    account: str
    number: int


Body: TypeAlias = (
    Event
    | Timer
    | Refresh
    | CatalogChange
    | Resync
    | Absorb
    | Merge
    | Import
    | Part
    | Erase
    | Member
    | Brought
    | Continue
    | Fact
    | Recollect
)

_decoder: msgspec.json.Decoder[Body] = msgspec.json.Decoder(Body)


def decode(value: bytes | None) -> Body:
    """What a record says.

    Raises:
        ValueError: It is none of the kinds above; where and why is in the text.
    """
    return _decoder.decode(value or b"")


def event(at_ms: int, id_: str, kind: str, name: str | None, ids: Sequence[tuple[str, str]], raw: bytes) -> bytes:
    """An event's value; the message's own bytes go in as they came."""
    dumps = orjson.dumps
    return b'{"kind":"event","at":%d,"id":%b,"type":"%b","name":%b,"ids":%b,"message":%b}' % (
        at_ms, dumps(id_), kind.encode(), dumps(name), dumps(ids), raw,
    )  # fmt: skip


def passed_on(body: Event, ids: Sequence[tuple[str, str]]) -> bytes:
    """An event's value for a profile that has just these of its identifiers."""
    value = event(body.at, body.id, body.type, body.name, ids, bytes(memoryview(body.message)))
    return value[:-1] + b',"went_on":true}'


def timer(due_ms: int) -> bytes:
    """A timer's value."""
    return b'{"kind":"timer","due":%d}' % due_ms


def refresh(at_ms: int) -> bytes:
    """A refresh's value."""
    return b'{"kind":"refresh","at":%d}' % at_ms


def catalog(catalog: Catalog) -> bytes:
    """A catalogue's value."""
    return orjson.dumps({"kind": "catalog", "catalog": catalog})


def absorb(at_ms: int, id_: str, loser: str) -> bytes:
    """An absorb's value."""
    return orjson.dumps({"kind": "absorb", "at": at_ms, "id": id_, "loser": loser})


def merge(at_ms: int, id_: str, winner: str) -> bytes:
    """A merge's value."""
    return orjson.dumps({"kind": "merge", "at": at_ms, "id": id_, "winner": winner})


def part(
    at_ms: int, id_: str, identifier: tuple[str, str], into: str, number: int, since: Mapping[str, int] | None = None
) -> bytes:
    """A part's value."""
    return msgspec.json.encode(Part(at_ms, id_, [identifier], into, number, dict(since or {})))


def erase(at_ms: int, regulation: str) -> bytes:
    """An erase's value."""
    return orjson.dumps({"kind": "erase", "at": at_ms, "id": regulation})


def imports(
    at_ms: int, id_: str, loser: str, pieces: Sequence[bytes], seen: Mapping[int, bytes],
    split: Fold = "", into: str = "", accounts: Sequence[str] = (),
) -> list[bytes]:  # fmt: skip
    """The values of an import, one for each piece, and for as many hashes as fit beside one, in order."""
    known = list(_portions(seen)) or [{}]
    count = max(len(pieces), len(known))
    data, known = [*pieces, *[b""] * (count - len(pieces))], [*[{}] * (count - len(known)), *known]
    return [
        msgspec.json.encode(Import(at_ms, id_, loser, at, count, data[at], known[at], split, into, [*accounts]))
        for at in range(count)
    ]


def _portions(seen: Mapping[int, bytes]) -> Iterator[dict[int, bytes]]:
    """The hashes of days, cut to what fits into a record."""
    portion, room = dict[int, bytes](), SEEN_BYTES
    for day, hashes in seen.items():
        while hashes:
            portion[day], hashes = hashes[:room], hashes[room:]
            room -= len(portion[day])
            if not room:
                yield portion
                portion, room = {}, SEEN_BYTES
    if portion:
        yield portion


def encode(body: Member | Brought | Continue | Fact | Recollect | Resync) -> bytes:
    """The value of a record between users and accounts, or of a resync."""
    return msgspec.json.encode(body)
