"""What a user brings along to an account, where it is too long for one record: in pieces that lie beside the account.

They come before the record that they go with, and mean nothing until that is applied, as one step with all of them. A
record that comes again brings its pieces again, under the same keys.
"""

from __future__ import annotations

from app.profiles.belonging import Cells, unpack
from app.profiles.store import brought_key
from app.stages.envelope import Brought, Member
from app.stages.folding import Folding


class Pieces:
    """The pieces that lie beside the accounts of a partition, as one batch leaves them."""

    def __init__(self, folding: Folding) -> None:
        self._folding = folding

    def put(self, account: bytes, body: Brought) -> None:
        """A piece has come."""
        key = brought_key(account, body.user, body.version, body.piece)
        self._folding.work.writes[key] = body.data

    def cells(self, account: bytes, body: Member) -> list[Cells]:
        """What a user brings along with a record.

        Raises:
            ValueError: They are no cells, or a piece of them is missing.
        """
        if not body.pieces:
            return unpack(body.cells)
        data = b""
        for key in _keys(account, body):
            piece = self._folding.work.writes.get(key) or self._folding.held.value_of(key)
            if piece is None:
                raise ValueError(f"of {body.pieces} pieces of what a user brings along one is missing")
            data += piece
        return unpack(data)

    def drop(self, account: bytes, body: Member) -> None:
        """The record that they go with has been applied, or never will be."""
        keys = _keys(account, body)
        for key in keys:
            self._folding.work.writes.pop(key, None)
        # Before the record itself: wherever the changelog is cut, one that is still there leads to those that are left.
        self._folding.gone[:0] = keys


def _keys(account: bytes, body: Member) -> list[bytes]:
    return [brought_key(account, body.user, body.version, piece) for piece in range(body.pieces)]
