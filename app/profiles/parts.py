"""Long lists of a profile in parts of their own, so that an update of one does not rewrite it all.

A profile is one value, rewritten whenever it changes; that is right for some hundred bytes and wrong for a window with
100,000 events. In a value that has become large, each list or mapping of more than `ENTRIES_INLINE_MAX` entries is cut
into runs; each run is a value under a key of its own, named by a hash of its bytes, and the profile holds the names.

A text of bytes of more than `BYTES_INLINE_MAX` is a part of its own.

Where a list is cut follows from the entries at the cut alone. So an entry that comes or goes changes the run it is in
and no other: a run is written once, read when its profile is, and deleted when nothing names it any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from typing import Any
from zlib import crc32

import msgspec

ENTRIES_INLINE_MAX = 512
RUN_ENTRIES_MAX = 2_048
"""Where entries are alike, so that none of them is a cut."""
_CUT_MASK = 0xFF  # one entry in 256 ends its run
NAME_BYTES = 16
BYTES_INLINE_MAX = 64 * 1024

_LIST, _MAPPING, _BYTES = 1, 2, 3
_SPLIT = (list, dict, bytes)
_encoder = msgspec.msgpack.Encoder(decimal_format="string")

Read = Callable[[Sequence[bytes]], Sequence[bytes | None]]
"""The bytes of parts, by their names and in their order."""


class MissingPart(Exception):
    """A part that a profile names is not there: the store is damaged."""


def split(tree: Any, parts: dict[bytes, bytes]) -> Any:
    """The tree with the names of its long lists' parts in their places; the parts go into `parts`, by name."""
    if type(tree) is list:
        if len(tree) > ENTRIES_INLINE_MAX:
            return msgspec.msgpack.Ext(_LIST, b"".join(_stored(tree, parts)))
        return [split(each, parts) if type(each) in _SPLIT else each for each in tree]
    if type(tree) is dict:
        if len(tree) > ENTRIES_INLINE_MAX:
            return msgspec.msgpack.Ext(_MAPPING, b"".join(_stored(tree.items(), parts)))
        return {key: split(each, parts) if type(each) in _SPLIT else each for key, each in tree.items()}
    if type(tree) is bytes and len(tree) > BYTES_INLINE_MAX:
        return msgspec.msgpack.Ext(_BYTES, _named(tree, parts))
    return tree


class Named:
    """A long list, mapping or text of bytes that has not been read yet; what a decoder gives in its place."""

    __slots__ = ("code", "names")

    def __init__(self, code: int, data: memoryview) -> None:
        if code not in (_LIST, _MAPPING, _BYTES) or len(data) % NAME_BYTES:
            raise ValueError(f"extension {code} of {len(data)} bytes names no parts")
        self.code = code
        self.names = [bytes(data[at : at + NAME_BYTES]) for at in range(0, len(data), NAME_BYTES)]


def names(tree: Any) -> Iterator[bytes]:
    """The names of all parts in a decoded tree."""
    if type(tree) is Named:
        yield from tree.names
    elif type(tree) in (list, dict):
        for each in tree.values() if type(tree) is dict else tree:
            yield from names(each)


def join(tree: Any, read: Read) -> Any:
    """The decoded tree with its long lists in their places.

    Raises:
        MissingPart: one is not there.
    """
    if type(tree) is Named:
        entries: list[Any] = []
        for name, data in zip(tree.names, read(tree.names), strict=True):
            if data is None:
                raise MissingPart(f"part {name.hex()} is missing")
            if tree.code == _BYTES:
                return data
            entries += msgspec.msgpack.decode(data)
        return dict(entries) if tree.code == _MAPPING else entries
    if type(tree) is list:
        return [join(each, read) if type(each) in (list, dict, Named) else each for each in tree]
    if type(tree) is dict:
        return {key: join(each, read) if type(each) in (list, dict, Named) else each for key, each in tree.items()}
    return tree


def _stored(entries: Iterable[Any], parts: dict[bytes, bytes]) -> Iterator[bytes]:
    for run in _runs(entries):
        # An array is its length and then its entries, so what was encoded to find the cuts is not encoded again.
        data = b"\xdd" + len(run).to_bytes(4, "big") + b"".join(run)
        yield _named(data, parts)


def _named(data: bytes, parts: dict[bytes, bytes]) -> bytes:
    name = blake2b(data, digest_size=NAME_BYTES).digest()
    parts[name] = data
    return name


def _runs(entries: Iterable[Any]) -> Iterator[list[bytes]]:
    encode = _encoder.encode
    run: list[bytes] = []
    for entry in entries:
        data = encode(entry)
        run.append(data)
        if not crc32(data) & _CUT_MASK or len(run) == RUN_ENTRIES_MAX:
            yield run
            run = []
    if run:
        yield run
