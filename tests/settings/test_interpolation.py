"""References to the environment and to files, and what their messages never tell."""

from pathlib import Path

import pytest

from app.settings import load, read
from app.settings.interpolation import Interpolated, InterpolationError, interpolate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${A}", "1"),
        ("x${A}y${B:-z}", "x1yz"),
        ("${B:-}", ""),
        ("${EMPTY:-d}", "d"),
        ("$${A}", "${A}"),
        ("$A {A}", "$A {A}"),
        ("${B:-a:-b}", "a:-b"),
        ("${file:secret.txt}", "hush"),
    ],
)
def test_references_are_replaced(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "secret.txt").write_text("hush\n")
    assert interpolate(text, {"A": "1", "EMPTY": ""}, tmp_path) == expected


def test_only_text_from_outside_is_marked(tmp_path: Path) -> None:
    assert isinstance(interpolate("${A}", {"A": "1"}, tmp_path), Interpolated)
    assert not isinstance(interpolate("$${A}", {}, tmp_path), Interpolated)


def test_a_value_that_looks_like_a_reference_is_not_followed(tmp_path: Path) -> None:
    assert interpolate("${A}", {"A": "${B}", "B": "never"}, tmp_path) == "${B}"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("${NOPE}", "NOPE is not set"),
        ("${EMPTY}", "EMPTY is empty"),
        ("${a b}", "a reference is"),
        ("${}", "a reference is"),
        ("${A", "without its `}`"),
        ("${file:none}", "No such file"),
        ("${file:.}", "Is a directory"),
        ("${file:big}", "larger than"),
        ("${file:bytes}", "not UTF-8"),
    ],
)
def test_references_that_lead_nowhere(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "big").write_text("x" * 70_000)
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(InterpolationError, match=part):
        interpolate(text, {"A": "1", "EMPTY": ""}, tmp_path)


def test_the_schema_says_what_a_value_from_outside_is(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text('api: {port: "${PORT}"}\nspace:\n  name: ${NAME}\ndelivery:\n  give_up_after_s: ${S}\n')
    settings = load(path, {"PORT": "9", "NAME": "123", "S": "1.5"}).settings
    assert (settings.api.port, settings.space.name, settings.delivery.give_up_after_s) == (9, "123", 1.5)


def test_a_destinations_own_setting_is_read_as_if_it_stood_there(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        "destinations:\n- name: a\n  type: b\n  settings:\n    timeout_s: ${N}\n    on: ${T}\n    secret: '${N}'\n"
    )
    loaded = load(path, {"N": "12", "T": "true"})
    assert loaded.settings.destinations[0].settings == {"timeout_s": 12, "on": True, "secret": "12"}
    assert {type(value) for value in loaded.settings.destinations[0].settings.values()} == {int, bool, str}


def test_no_message_shows_a_value_from_outside_or_of_a_secret_field(tmp_path: Path) -> None:
    canary = "canary-77aa"
    path = tmp_path / "c.yaml"
    path.write_text(
        'api: {port: "${C}", tokens: [{name: a, token: [canary-77aa]}, {name: b, token: "${C}", role: "${C}"}]}\n'
        "space: {id: '${C}'}\n"
        "destinations: [{name: a, type: b, settings: canary-77aa}]\n"
        'delivery: {allow_networks: ["${C}"]}\n'
        "sources: [{id: a, write_key: {canary-77aa: 1}}, {id: b, write_key: canary-77aa}, "
        "{id: c, write_key: canary-77aa}]\n"
    )
    faults = read(path, {"C": canary}).faults
    assert len(faults) == 8, faults
    assert canary not in "\n".join(map(str, faults))


def test_a_value_from_outside_cannot_change_the_documents_shape(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("space:\n  name: ${NAME}\n")
    name = "x\nkafka: {partitions: 9}"
    assert load(path, {"NAME": name}).settings.space.name == name
