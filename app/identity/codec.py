"""A profile of the graph as bytes: MessagePack, [version, w, created, ids, absorbed, met, parted, apart, origin].

`ids` is [[type, value, added ms], …], `absorbed` [[profile, when ms, message id], …]. `w` is the offset of the last
request that changed it: of two records of a profile the one with the higher `w` is the newer. `parted` is [[type,
hash, new profile, when ms, id of the split], …], `apart` [[type, value, when last ms, first out of which profile, when
first ms], …], in older records without the last two; `origin` [profile, id of the split].
"""

from __future__ import annotations

import msgspec

from app.identity.graph import Apart, Node, size_bytes

VERSION = 1


class _Apart(msgspec.Struct, array_like=True):
    kind: str
    value: str
    at_ms: int
    first: str = ""
    first_ms: int = 0


class _Record(msgspec.Struct, array_like=True):
    version: int
    w: int
    created: int
    ids: list[tuple[str, str, int]]
    absorbed: list[tuple[str, int, str]]
    met: list[int]
    parted: list[tuple[str, bytes, str, int, str]] = []
    apart: list[_Apart] = []
    origin: tuple[str, ...] = ()


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Record)


def encode(node: Node, w: int) -> bytes:
    """A profile's bytes."""
    ids = [(kind, value, added_ms) for (kind, value), added_ms in node.ids.items()]
    apart = [_Apart(*identifier, each.at_ms, each.first, each.first_ms) for identifier, each in node.apart.items()]
    return _encoder.encode(
        _Record(VERSION, w, node.created, ids, node.absorbed, sorted(node.met), node.parted, apart, node.origin)
    )


def decode(data: bytes) -> tuple[Node, int]:
    """The profile and its `w`.

    Raises:
        msgspec.DecodeError: These are no profile's bytes.
        ValueError: They are of a later version.
    """
    record = _decoder.decode(data)
    if record.version != VERSION:
        raise ValueError(f"a profile of the graph in version {record.version}; this program reads {VERSION}")
    ids = {(kind, value): added_ms for kind, value, added_ms in record.ids}
    apart = {(each.kind, each.value): Apart(each.at_ms, each.first, each.first_ms) for each in record.apart}
    node = Node(
        record.created, ids, record.absorbed, set(record.met), sum(map(size_bytes, ids)), record.parted, apart,
        record.origin,
    )  # fmt: skip
    return node, record.w
