"""A profile as the changelog has it: its newest record, its parts, and the definitions in force."""

import msgspec
import pytest

from app.definitions.model import Catalog, Definition
from app.profiles import codec
from app.profiles.state import Profile
from app.profiles.store import META, PROFILE, part_key
from app.stages.meta import CATALOG_KEY
from app.stream.lookup import Sought

KEY = b"prf_1"


def profile(w: int, times: int = 0) -> Profile:
    made = Profile()
    made.w = w
    made.cells = {"c": list(range(times))}
    return made


def test_the_newest_is_the_one_that_has_applied_most() -> None:
    sought = Sought("prf_1")
    for w in (3, 9, 7):
        sought.take(PROFILE + KEY, codec.encode(profile(w), 1))
        sought.take(PROFILE + b"prf_12", codec.encode(profile(50), 1))
        sought.take(META, b"of no interest")
    found = sought.found()
    assert found.catalog is None
    assert found.profile is not None
    assert found.profile.w == 9


def test_nobody_and_the_last_catalogue() -> None:
    sought = Sought("prf_1")
    for key in ("old", "new"):
        catalog = Catalog((Definition(key, "trait", "event('A').count()"),))
        sought.take(CATALOG_KEY, msgspec.json.encode(catalog))
    found = sought.found()
    assert found.profile is None
    assert found.catalog is not None
    assert [each.key for each in found.catalog.definitions] == ["new"]


def test_parts_come_back_into_their_places() -> None:
    made = profile(1, times=5_000)
    data, parts = codec.encode_in_parts(made, 1)
    assert parts
    sought = Sought("prf_1")
    for name, part in parts.items():
        sought.take(part_key(KEY, name), part)
        sought.take(part_key(KEY, name), None)
    sought.take(PROFILE + KEY, data)
    found = sought.found().profile
    assert found is not None
    assert found.cells == made.cells


def test_a_missing_part_is_told() -> None:
    data, _ = codec.encode_in_parts(profile(1, times=5_000), 1)
    sought = Sought("prf_1")
    sought.take(PROFILE + KEY, data)
    with pytest.raises(codec.CorruptProfile, match="missing"):
        sought.found()
