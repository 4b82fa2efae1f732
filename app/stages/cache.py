"""Decoded profiles, kept between batches up to a number of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from app.profiles import codec
from app.profiles.parts import Read
from app.profiles.state import Profile
from app.profiles.store import PROFILE, part_key
from app.stages.overlay import Overlay

_LOADED_BYTES = 256  # what a profile is taken for that was read and not yet encoded again


class ProfileCache:
    """Profiles by key. What was written longest ago goes first."""

    def __init__(self, state: Overlay, max_bytes: int) -> None:
        self._state = state
        self._max_bytes = max_bytes
        self._profiles: dict[bytes, Profile] = {}
        self._sizes: dict[bytes, int] = {}
        self._bytes = 0

    def clear(self) -> None:
        """Forget all of them."""
        self._profiles.clear()
        self._sizes.clear()
        self._bytes = 0

    def load(self, keys: Iterable[bytes]) -> Mapping[bytes, Profile]:
        """Bring in, with one read of the store, those that are not here; the oldest make room before that.

        Returns:
            The profiles by key, good until the next call: a batch asks for each of its records.
        """
        self._evict()
        held = self._profiles
        missing = list(dict.fromkeys(key for key in keys if key not in held))
        if not missing:
            return held
        for key, data in zip(missing, self._state.get_many([PROFILE + key for key in missing]), strict=True):
            held[key] = codec.decode(data, self._parts_of(key)) if data is not None else Profile()
            self._resize(key, len(data) if data is not None else _LOADED_BYTES)
        return held

    def peek(self, keys: Sequence[bytes]) -> Iterator[tuple[bytes, Profile]]:
        """Profiles as they are, to be looked at only: what was not here before is not kept."""
        missing = [key for key in keys if key not in self._profiles]
        read = dict(zip(missing, self._state.get_many([PROFILE + key for key in missing]), strict=True))
        for key in keys:
            data = read.get(key)
            if key in self._profiles:
                yield key, self._profiles[key]
            elif data is not None:
                yield key, codec.decode(data, self._parts_of(key))

    def _parts_of(self, key: bytes) -> Read:
        return lambda names: self._state.get_many([part_key(key, name) for name in names])

    def put(self, key: bytes, profile: Profile, size: int) -> None:
        """A profile was encoded in so many bytes: it is now the newest."""
        held, sizes = self._profiles, self._sizes
        held[key] = held.pop(key)
        self._bytes += size - sizes.get(key, 0)
        sizes[key] = size

    def drop(self, key: bytes) -> None:
        """Forget one."""
        if key in self._profiles:
            del self._profiles[key]
            self._bytes -= self._sizes.pop(key)

    def _resize(self, key: bytes, size: int) -> None:
        self._bytes += size - self._sizes.get(key, 0)
        self._sizes[key] = size

    def _evict(self) -> None:
        while self._bytes > self._max_bytes:
            key = next(iter(self._profiles))
            del self._profiles[key]
            self._bytes -= self._sizes.pop(key)
