"""What holds for the project as a whole: its two commands, its own names only, nothing declared that nobody uses."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from app.observability import catalogue
from app.settings import Settings

ROOT = Path(__file__).parents[2]
MODULE_LINES_MAX = 500
"""Where a module must be taken apart. The aim is near 100."""


def project_files() -> list[Path]:
    """What is checked in, and what would be; without git, whatever is not hidden."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        found = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
        return [path for path in found if not any(part.startswith(".") for part in path.parts)]
    return [Path(line) for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def our_code() -> list[Path]:
    return [path for path in project_files() if path.suffix == ".py" and path.parts[:2] != ("tests", "oracle")]


# The two commands


def commands() -> list[str]:
    readme = (ROOT / "README.md").read_text()
    return [line.strip() for line in readme.splitlines() if line.strip().startswith("python3.11 -m venv ")]


def test_the_readme_has_one_command_for_the_demo_and_one_for_the_tests() -> None:
    demo, tests = commands()
    assert demo.endswith("&& .venv/bin/headwater demo")
    assert tests.endswith("&& .venv/bin/python -m pytest -n 2")
    assert "-r requirements.lock" in demo
    assert "-r requirements-dev.lock" in tests


def test_ci_takes_the_test_command_out_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    pattern = re.search(r"grep -m1 -E '([^']+)' README\.md", script)
    assert pattern is not None
    found = re.findall(pattern[1], (ROOT / "README.md").read_text(), re.MULTILINE)
    assert len(found) == 1, "the pattern has to find the test command and nothing else"
    assert "pip install" not in script, "an environment of its own would not be the one that newcomers get"
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_a_checksum(lock: str) -> None:
    text = (ROOT / lock).read_text()
    packages = re.findall(r"^\S+==\S+.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)*", text, re.MULTILINE)
    assert len(packages) > 50
    assert [package.split()[0] for package in packages if "--hash=" not in package] == []


@pytest.mark.parametrize(("lock", "extras"), [("requirements.lock", ()), ("requirements-dev.lock", ("dev",))])
def test_the_locks_hold_what_the_project_asks_for(lock: str, extras: tuple[str, ...]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    locked = {name.lower() for name in re.findall(r"^([A-Za-z0-9_.-]+)==", (ROOT / lock).read_text(), re.MULTILINE)}
    names = {re.split(r"[<>=!~\[ ;]", requirement)[0].lower() for requirement in wanted}
    assert names - locked == set(), f"make {lock} anew by the command in its first lines"


# Names


FOREIGN = ("shared" + "/spec", "shared" + "/prototypes", "." + "library", "/" + "work/", "/" + "opt/wheels")
"""Places of the machines on which the project is made; whoever reads it has none of them."""


def test_no_file_names_a_place_that_its_readers_do_not_have() -> None:
    named = [
        f"{path}: {word}" for path in project_files() for word in FOREIGN if word.encode() in (ROOT / path).read_bytes()
    ]
    assert named == []


# Sizes


def function_sizes(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse((ROOT / path).read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield (node.end_lineno or node.lineno) - node.lineno + 1, f"{path}:{node.lineno} {node.name}"


def test_no_module_is_too_large_to_be_read() -> None:
    """Run with -s to see what is far above the aims: modules near 100 lines, functions to 40."""
    modules = {path: len((ROOT / path).read_bytes().splitlines()) for path in our_code()}
    for path, lines in sorted(modules.items(), key=lambda item: -item[1]):
        if lines > 300:
            print(f"{path}: {lines} lines")
    functions = sorted((size for path in modules for size in function_sizes(path)), reverse=True)
    for lines, name in functions:
        if lines > 60:
            print(f"{name}: {lines} lines")
    assert [str(path) for path, lines in modules.items() if lines > MODULE_LINES_MAX] == []


# Metrics


def names_in(path: Path) -> set[str]:
    """Every name and attribute that a module's code reads."""
    tree = ast.parse((ROOT / path).read_bytes())
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def test_every_metric_of_the_catalogue_is_emitted() -> None:
    declared = {name for name, value in vars(catalogue).items() if isinstance(value, catalogue.Entry)}
    assert len(declared) == len(catalogue.CATALOGUE)
    home = Path("app/observability/catalogue.py")
    used = set().union(*(names_in(path) for path in our_code() if path.parts[0] == "app" and path != home))
    assert declared - used == set(), "declared, and emitted nowhere"


def test_every_metric_says_what_it_means_and_what_to_do() -> None:
    for entry in catalogue.CATALOGUE:
        assert entry.meaning.endswith("."), entry.name
        assert entry.remedy.endswith("."), entry.name


# Settings


def in_schema(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else node


def setting_classes(hint: Any) -> Iterator[type]:
    if isinstance(hint, type) and is_dataclass(hint) and hint.__module__ == "app.settings.model":
        yield hint
    for argument in get_args(hint):
        yield from setting_classes(argument)


def undocumented(cls: type, node: dict[str, Any], schema: dict[str, Any], path: str) -> Iterator[str]:
    """Fields that the schema does not have, or has without a description."""
    hints = get_type_hints(cls)
    for field in fields(cls):
        here = f"{path}.{field.name}".lstrip(".")
        found = next((node["properties"][name] for name in (field.name, field.name.removesuffix("_s"))
                      if name in node["properties"]), None)  # fmt: skip
        if found is None or not in_schema(schema, found).get("description"):
            yield here
            continue
        for inner in setting_classes(hints[field.name]):
            target = in_schema(schema, found)
            # A list's items, a mapping's values, or the value itself.
            each = target.get("items") or (target if "properties" in target else target["additionalProperties"])
            yield from undocumented(inner, in_schema(schema, each), schema, here)


def test_every_setting_is_in_the_schema_with_a_description() -> None:
    schema = json.loads((ROOT / "app" / "settings" / "schema.json").read_text())
    # One class stands for both kinds of definitions; what a trait does not have, an audience has.
    audience, trait = (schema["$defs"][kind] for kind in ("audience", "trait"))
    trait["properties"] = audience["properties"] | trait["properties"]
    assert list(undocumented(Settings, schema, schema, "")) == []


def setting_classes_below(cls: type) -> Iterator[type]:
    yield cls
    for hint in get_type_hints(cls).values():
        for inner in setting_classes(hint):
            yield from setting_classes_below(inner)


def settings_used() -> set[str]:
    return set().union(
        *(names_in(path) for path in our_code() if path.parts[0] == "app" and path.parts[1] != "settings")
    )


READ_LATER = {"limits", "priority", "resend_on_new_identifier", "interval_s", "description", "slug", "ids"}
"""Read and checked; what they ask for comes with a later version, as README.md says."""


def test_a_setting_that_nothing_reads_is_known_to_be_one() -> None:
    used = settings_used()
    unread = {field.name for cls in setting_classes_below(Settings) for field in fields(cls) if field.name not in used}
    assert unread <= READ_LATER
