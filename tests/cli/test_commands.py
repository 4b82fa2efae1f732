"""Exit codes and words of the command line: 0 done, 1 failed, 2 wrong usage or configuration; never a traceback."""

import json
from pathlib import Path

import pytest

from app import __version__
from app.cli.commands import COMMANDS, run
from tests.cli.program import headwater


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    for name in COMMANDS:
        assert f"  {name} " in told


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([command, "--help"]) == 0
    told = capsys.readouterr().out
    assert f"Usage: headwater {command}" in told
    assert f"Examples:\n    headwater {command}" in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("validate",),
        ("validate", "a", "b"),
        ("worker", "plumber"),
        ("worker",),
        ("up", "--workers", "0"),
        ("up", "--nonsense"),
        ("send",),
        ("send", "x.jsonl", "--rate", "0"),
        ("send", "x.jsonl", "--rate", "fast"),
        ("apply",),
        ("demo", "--seconds", "x"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(list(arguments)) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "Usage: headwater" in told.err


def test_the_program_is_the_same_as_the_command() -> None:
    assert headwater("--version").stdout == f"headwater {__version__}\n"
    done = headwater("validate")
    assert (done.returncode, done.stdout) == (2, "")


BAD = """\
kafka:
  partitions: 0
audiences:
  - key: a
    query: |
      event('Order Completed').count() >= 1
        AND trait('plan' = 'pro'
destinations:
  - {name: crm, type: webhok}
  - {name: erp, type: webhook, settings: {url: "${URL}", secret: "${file:none.secret}"}}
extra: 1
"""


def test_validate_tells_every_problem_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text(BAD)
    assert run(["validate", "bad.yaml"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "bad.yaml:2:15: kafka.partitions: expected at least 1, found 0",
        "bad.yaml:7:26: audiences.0.query: a: found '=', expected ')'",
        "      AND trait('plan' = 'pro'",
        "                       ^",
        "bad.yaml:9:23: destinations.0.type: no destination type is called 'webhok'; did you mean 'webhook'?",
        (
            "bad.yaml:10:48: destinations.1.settings.url: the environment variable URL is not set; set it, "
            "or write ${URL:-default}"
        ),
        "bad.yaml:10:66: destinations.1.settings.secret: ${file:none.secret}: No such file or directory",
        (
            "bad.yaml:11:1: extra: unknown key; known here: space, kafka, sources, api, identity, audiences, traits, "
            "destinations, delivery, stream, health"
        ),
        "6 problems",
    ]


def test_validate_answers_machines(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.yaml").write_text(BAD)
    assert run(["validate", "bad.yaml", "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    places = [(fault["line"], fault["column"]) for fault in found["faults"]]
    assert places == [(2, 15), (7, 26), (9, 23), (10, 48), (10, 66), (11, 1)]
    assert {fault["file"] for fault in found["faults"]} == {"bad.yaml"}


def test_validate_passes_what_is_sound(capsys: pytest.CaptureFixture[str]) -> None:
    Path("good.yaml").write_text("traits:\n  - {key: orders, query: event('Order Completed').count()}\n")
    assert run(["validate", "good.yaml"]) == 0
    assert capsys.readouterr().out == "good.yaml: no problems\n"
    assert run(["validate", "good.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "faults": [], "warnings": []}


def test_validate_warns_of_what_is_allowed_but_odd(capsys: pytest.CaptureFixture[str]) -> None:
    Path("odd.yaml").write_text("audiences:\n  - {key: a, query: event('V').count() >= 0}\n")
    assert run(["validate", "odd.yaml"]) == 0
    told = capsys.readouterr()
    assert told.out == "odd.yaml: no problems\n"
    first, line, carets = told.err.splitlines()
    assert first.startswith("odd.yaml:2:43: warning: audiences.0.query: a: found count() >= 0, expected something that")
    assert (line, carets) == ("    event('V').count() >= 0", "                          ^")
    assert run(["validate", "odd.yaml", "--json"]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert (warning["line"], warning["column"], warning["path"]) == (2, 43, "audiences.0.query")


@pytest.mark.parametrize("arguments", [("up", "--config"), ("worker", "api", "--config"), ("apply",)])
def test_a_wrong_configuration_is_2_and_starts_nothing(arguments: tuple[str, ...], tmp_path: Path) -> None:
    Path("bad.yaml").write_text(BAD)
    done = headwater(*arguments, "bad.yaml", "--data", "data", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.yaml:2:15" in done.stderr
    assert "6 problems" in done.stderr
    assert "Traceback" not in done.stderr
    assert not Path("data").exists()


def test_a_missing_configuration_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["apply", "none.yaml"]) == 2
    assert capsys.readouterr().err == "none.yaml:0:0: cannot be read: No such file or directory\n1 problem\n"


def test_a_wrong_failpoint_is_2(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("")
    done = headwater("worker", "api", "--config", "c.yaml", cwd=tmp_path, environ={"HEADWATER_FAILPOINT": "nowhere"})
    assert done.returncode == 2
    assert "unknown failpoint 'nowhere'" in done.stderr


def test_an_embedded_broker_that_does_not_run_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("c.yaml").write_text("")
    assert run(["apply", "c.yaml"]) == 1
    assert "no `headwater up` is serving on data" in capsys.readouterr().err


def test_a_data_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    Path("headwater.yaml").write_text("")
    Path("data").write_text("a file")
    done = headwater("up", cwd=tmp_path)
    assert done.returncode == 1
    assert "data cannot be used: " in done.stderr
    assert "Traceback" not in done.stderr
