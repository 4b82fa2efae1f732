from pathlib import Path

import pytest

from app.embedded.jvm import StartCache


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    jar = tmp_path / "a.jar"
    jar.write_bytes(b"jar")
    return jar


def option(options: tuple[str, ...] | None, name: str) -> Path:
    """The file that an option of a JVM names."""
    assert options is not None
    return Path(next(each for each in options if each.startswith(f"-XX:{name}=")).partition("=")[2])


def test_a_run_records_the_next_one_makes_and_the_third_uses(jar: Path, tmp_path: Path) -> None:
    cache = StartCache(tmp_path / "java", [jar])
    assert cache.to_use() == ()
    assert cache.to_make() is None
    option(cache.to_record(), "AOTConfiguration").write_text("classes")
    cache.recorded(143)

    next_run = StartCache(tmp_path / "java", [jar])
    making = next_run.to_make()
    assert option(making, "AOTConfiguration").read_text() == "classes"
    option(making, "AOTCache").write_text("cache")
    next_run.made(0)

    third = StartCache(tmp_path / "java", [jar])
    assert option(third.to_use(), "AOTCache").read_text() == "cache"
    assert third.to_record() == ()
    assert third.to_make() is None
    assert len(list((tmp_path / "java").iterdir())) == 1, "nothing else is left"


@pytest.mark.parametrize("exit_code", [1, -9])
def test_what_a_killed_run_recorded_is_not_used(jar: Path, tmp_path: Path, exit_code: int) -> None:
    cache = StartCache(tmp_path / "java", [jar])
    option(cache.to_record(), "AOTConfiguration").write_text("half")
    cache.recorded(exit_code)
    assert cache.to_make() is None
    assert list((tmp_path / "java").iterdir()) == []


@pytest.mark.parametrize("exit_code", [1, None])
def test_a_recording_of_which_no_cache_can_be_made_is_not_tried_again(
    jar: Path, tmp_path: Path, exit_code: int | None
) -> None:
    cache = StartCache(tmp_path / "java", [jar])
    option(cache.to_record(), "AOTConfiguration").write_text("classes")
    cache.recorded(0)
    option(cache.to_make(), "AOTCache").write_text("half")
    cache.made(exit_code)
    assert cache.to_make() is None
    assert cache.to_use() == ()
    assert cache.to_record() != ()


def test_another_jar_has_another_cache(jar: Path, tmp_path: Path) -> None:
    before = option(StartCache(tmp_path / "java", [jar]).to_record(), "AOTConfiguration")
    jar.write_bytes(b"a newer jar")
    assert option(StartCache(tmp_path / "java", [jar]).to_record(), "AOTConfiguration") != before
