import os
import socket
from pathlib import Path

import pytest

from app.embedded.home import Home, HomeLocked, Ports, free_port, is_free


def test_the_cluster_keeps_its_id(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.path.mkdir()
    first = home.cluster_id()
    assert Home(tmp_path).cluster_id() == first
    assert len(first) == 22
    assert not first.startswith("-")


def test_ports_are_remembered(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.last_ports() is None
    home.path.mkdir()
    home.write_ports(Ports(client=1, controller=2))
    assert home.last_ports() == Ports(client=1, controller=2)


@pytest.mark.parametrize("note", ["", "{", "[]", '{"client": 1}', '{"client": "x", "controller": 2}'])
def test_a_damaged_note_of_ports_is_no_note(tmp_path: Path, note: str) -> None:
    home = Home(tmp_path)
    home.path.mkdir()
    (home.path / "ports.json").write_text(note)
    assert home.last_ports() is None


def test_a_home_has_one_holder_and_names_it(tmp_path: Path) -> None:
    descriptor = Home(tmp_path).lock()
    Home(tmp_path).write_holder(descriptor, 4711)
    with pytest.raises(HomeLocked) as refused:
        Home(tmp_path).lock()
    assert refused.value.holder == "4711"
    os.close(descriptor)
    os.close(Home(tmp_path).lock())


def test_given_properties_win_and_backslashes_survive(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.path.mkdir()
    home.write_settings(Ports(1, 2), {"message.max.bytes": "5", "some.pattern": r"\d"})
    lines = home.server_properties.read_text().splitlines()
    assert "message.max.bytes=5" in lines
    assert r"some.pattern=\\d" in lines
    assert "auto.create.topics.enable=false" in lines
    assert all("0.0.0.0" not in line for line in lines)


def test_only_what_was_said_since_the_start_counts_as_last_words(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.path.mkdir()
    home.server_log.write_text("of yesterday\n")
    start = home.log_size_bytes()
    with home.server_log.open("a") as log:
        log.write("of today\n")
    home.console_log.write_text("from the JVM\n")
    assert home.last_words(start) == "of today\nfrom the JVM"
    home.server_log.write_text("anew\n")
    assert home.last_words(start) == "anew\nfrom the JVM", "the log was rolled over since"


def test_a_port_somebody_listens_on_is_not_free() -> None:
    assert is_free(free_port())
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert not is_free(other.getsockname()[1])
