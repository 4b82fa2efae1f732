"""A process's addresses are found by others, and only while they are true."""

import os
import subprocess
import sys
from pathlib import Path

from app.observability import run_file


def test_what_is_written_is_read(tmp_path: Path) -> None:
    run_file.write(tmp_path / "data", "api", {"health": "http://127.0.0.1:1", "api": "http://127.0.0.1:2"})
    expected = {"health": "http://127.0.0.1:1", "api": "http://127.0.0.1:2"}
    assert run_file.read(tmp_path / "data", "api") == expected
    assert run_file.read(tmp_path / "data", "api", pid=os.getpid()) == expected
    assert [path.name for path in (tmp_path / "data" / "run").iterdir()] == ["api.json"]


def test_the_file_of_another_process_is_not_believed(tmp_path: Path) -> None:
    run_file.write(tmp_path, "api", {"health": "x"})
    assert run_file.read(tmp_path, "api", pid=os.getpid() + 1) is None


def test_the_file_of_a_dead_process_is_not_believed(tmp_path: Path) -> None:
    write = f"run_file.write(Path({str(tmp_path)!r}), 'a', {{}})"
    program = f"from pathlib import Path; from app.observability import run_file; {write}"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "run" / "a.json").exists()
    assert run_file.read(tmp_path, "a") is None


def test_no_file_and_a_broken_one_are_the_same(tmp_path: Path) -> None:
    assert run_file.read(tmp_path, "none") is None
    (tmp_path / "run").mkdir()
    for text in ("", "[]", "{}", '{"pid": "x"}'):
        (tmp_path / "run" / "broken.json").write_text(text)
        assert run_file.read(tmp_path, "broken") is None


def test_removing_twice_is_fine(tmp_path: Path) -> None:
    run_file.write(tmp_path, "a", {})
    run_file.remove(tmp_path, "a")
    run_file.remove(tmp_path, "a")
    assert run_file.read(tmp_path, "a") is None
