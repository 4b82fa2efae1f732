"""From an export of Segment's Public API to a configuration that passes the check."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest

from app import configuration
from app.cli.commands import run
from app.cli.migration.document import document
from app.cli.migration.mapping import Migration, migrate
from app.cli.migration.segment_export import ExportError, read_export
from app.settings import Settings, load
from tests.cli.migration.exports import BIG, ORDERS, audience, page, trait


def migrated(export: Any) -> Migration:
    return migrate(read_export(json.dumps(export).encode()))


def written(export: Any, folder: Path) -> Settings:
    """What the written file says, once it has been checked."""
    path = folder / "out.yaml"
    path.write_text(document(migrated(export), "export.json"))
    assert configuration.check(path, {}) == [], path.read_text()
    return load(path, {}).settings


def keys(export: Any) -> tuple[list[str], dict[str, str]]:
    """What is carried over, and key → reason of what is not."""
    done = migrated(export)
    return [each.definition.key for each in done.carried], {each.key: each.reason for each in done.left_out}


# ── the mapping ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_a_definition_becomes(tmp_path: Path) -> None:
    big = audience(
        "big_spenders",
        BIG,
        name='Big "spenders" ☕',
        description="Two orders\nof 100",
        options={"includeAnonymousUsers": True, "includeHistoricalData": False},
    )
    settings = written([page("audiences", big), page("computedTraits", trait("orders_90_days", ORDERS))], tmp_path)
    (one,), (two,) = settings.audiences, settings.traits
    assert (one.key, one.name, one.description, one.query) == (
        "big_spenders",
        'Big "spenders" ☕',
        "Two orders\nof 100",
        BIG,
    )
    assert (one.type, one.historical, one.include_anonymous_users) == ("USERS", False, True)
    assert (two.key, two.query, two.historical) == ("orders_90_days", ORDERS, True)


@pytest.mark.parametrize(
    "export",
    [
        {"data": {"audiences": [audience("a", BIG)], "pagination": {"current": "MA==", "totalEntries": 1}}},
        {"data": {"audience": audience("a", BIG)}},
        {"audiences": [audience("a", BIG)]},
        [audience("a", BIG)],
        audience("a", BIG),
        [page("audiences", audience("a", BIG)), page("audiences", audience("a", BIG))],
        {"name": "A", "description": "", "definition": {"query": BIG, "type": "users"}},
        [{"name": "a", "enabled": True, "audienceType": "USERS", "definition": {"query": BIG}, "options": {}}],
    ],
)
def test_every_form_of_an_export_is_read(export: Any, tmp_path: Path) -> None:
    (found,) = written(export, tmp_path).audiences
    assert (found.key, found.query) == ("a", BIG)


@pytest.mark.parametrize(
    "export",
    [
        page("computedTraits", trait("a", ORDERS)),
        {"data": {"computedTrait": trait("a", ORDERS)}},
        [trait("a", ORDERS)],
        {"name": "A", "definition": {"query": ORDERS, "type": "USERS"}},
    ],
)
def test_a_computed_trait_is_one_also_where_only_its_query_says_so(export: Any, tmp_path: Path) -> None:
    (found,) = written(export, tmp_path).traits
    assert (found.key, found.query) == ("a", ORDERS)


@pytest.mark.parametrize(
    ("key", "name", "made"),
    [
        ("big_spenders", "x", "big_spenders"),
        ("", "Big Spenders (30 days)", "big_spenders_30_days"),
        ("", "Café ☕ visités", "cafe_visites"),
        ("", "90 days", "d_90_days"),
        ("", "購入", "definition_1"),
        ("Big-Spenders", "x", "big_spenders"),
        ("", "x" * 200, "x" * 128),
    ],
)
def test_keys(key: str, name: str, made: str, tmp_path: Path) -> None:
    (found,) = written([audience(key, BIG, name=name)], tmp_path).audiences
    assert found.key == made


def test_what_has_no_counterpart_is_left_out_with_its_reason() -> None:
    carried, left_out = keys(
        [
            audience("fine", BIG),
            audience("off", BIG, enabled=False),
            audience("linked", BIG, audienceType="LINKED"),
            audience("entities", BIG, definition={"query": BIG, "targetEntity": "accounts"}),
            audience("built", None),
            audience("odd", BIG, audienceType="DEVICES"),
            audience("long", f"{BIG} AND trait('{'x' * 20_000}') = 1"),
        ]
    )
    assert carried == ["fine"]
    assert {key: reason.split(";")[0] for key, reason in left_out.items()} == {
        "off": "it is disabled there",
        "linked": "it is about entities of a warehouse, which are not known here",
        "entities": "it is about entities of a warehouse, which are not known here",
        "built": "it has no query",
        "odd": "its type DEVICES is not known here",
        "long": "its query has more than 20,000 characters",
    }


def test_a_query_that_is_refused_is_left_out_with_its_carets() -> None:
    carried, left_out = keys([audience("fine", BIG), audience("typo", "event('V')\n  .cuont() > 0")])
    assert carried == ["fine"]
    first, line, carets = left_out["typo"].split("\n")
    assert first.startswith("line 2, column 4: found 'cuont'")
    assert (line, carets) == ("      .cuont() > 0", "       ^^^^^")
    _, left_out = keys([audience("never", "event('V').count() < 0")])
    assert "a count is a whole number from 0" in left_out["never"]


def test_what_reads_a_definition_that_is_left_out_is_left_out_too() -> None:
    """It would read a custom trait of that name instead."""
    carried, left_out = keys(
        [
            audience("third", "trait('second') = true"),
            audience("second", "trait('first') = true AND trait('plan') = 'pro'"),
            audience("first", BIG, enabled=False),
            audience("fine", "trait('plan') = 'pro'"),
            audience("Old-Key", BIG),
            audience("reads_old", "trait('Old-Key') = true"),
        ]
    )
    assert carried == ["fine", "old_key"]
    assert left_out["second"] == "it reads trait('first'), which is not carried over"
    assert left_out["third"] == "it reads trait('second'), which is not carried over"
    assert left_out["reads_old"] == "it reads trait('Old-Key'), which is not carried over"


def test_a_key_that_is_taken_stays_with_the_first() -> None:
    carried, left_out = keys([audience("a", BIG), trait("a", ORDERS, name="Other"), audience("b", "trait('a') = true")])
    assert carried == ["a", "b"]
    assert left_out == {"a": "its key a is taken by 'A'"}


def test_what_of_a_definition_is_not_carried_over_is_noted() -> None:
    done = migrated(
        [
            page(
                "audiences",
                audience("a", BIG, options={"filterByExternalIds": ["phone"], "backfillEventDataDays": 30}),
                audience("b", BIG, options={"filterByExternalIds": ["ios.idfa", "user_id", "email", "android.idfa"]}),
                audience("c", BIG, options={"filterByExternalIds": ["anonymous_id", "user_id"]}),
                audience("d", BIG, name="x" * 300),
                audience("e", "event('V').count() >= 0"),
                total=7,
            )
        ]
    )
    notes = {each.definition.key: each.notes for each in done.carried}
    assert notes["a"] == (
        "filterByExternalIds is not carried over; members have one of user_id, email, android.idfa, ios.idfa",
        "the option backfillEventDataDays has no counterpart",
    )
    assert notes["b"] == notes["c"] == ()
    assert [each.definition.key for each in done.carried if each.definition.include_anonymous_users] == ["c"]
    assert notes["d"] == ("its name was cut at 200 characters",)
    assert "found count() >= 0, expected something that can fail" in notes["e"][0]
    assert done.notes == ["the export has 5 of 7 audiences: fetch the other pages too"]


def test_accounts_keep_their_type() -> None:
    done = migrated([audience("a", "ANY (trait('plan') = 'pro')", audienceType="ACCOUNTS")])
    assert [each.definition.scope for each in done.carried] == ["ACCOUNTS"]
    assert "    type: ACCOUNTS\n" in document(done, "export.json")


# ── the file ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_any_text_comes_back_from_the_file_as_it_was(tmp_path: Path) -> None:
    pieces = [
        "'",
        '"',
        "\\\\",
        "\n",
        "\n\n",
        "\t",
        " ",
        "#",
        ": ",
        "- ",
        "${HOME}",
        "$${x}",
        "é",
        "☕",
        "\u2028",
        "%",
        "{",
    ]
    pieces += ["\r", "\x85", "\x00", "\x7f", "|", "&a", "*a", "!b", "…", "\ufeff", "x"]
    for seed in range(150):
        random = Random(seed)
        text = "".join(random.choices(pieces, k=random.randrange(12)))
        quoted = text.replace("'", "\\'")
        space = random.choice((" ", "\n", "\n  \n\t"))
        query = f"event('V').count() > 1{space}AND trait('{quoted}') = 1"
        # A custom trait may be named anything, so every such query is sound.
        (found,) = written([audience("a", query, name=text, description=text)], tmp_path).audiences
        assert (found.query, found.name, found.description) == (query, text, text), f"seed {seed}"


def test_what_is_left_out_stands_in_the_file_so_that_it_can_be_mended(tmp_path: Path) -> None:
    typo = audience("typo", "event('V').cuont() > 0\n\n", name="Ty\u2028po\nkey: x", description="Left out")
    export = [audience("fine", BIG), typo]
    text = document(migrated(export), "export.json")
    assert "# Ty\ufffdpo\n# key: x: line 1, column 12: found 'cuont'" in text
    head, _, commented = text.partition("#   - key: typo")
    mended = "audiences:\n  - key: typo" + commented.replace("\n# ", "\n").replace("cuont", "count")
    (tmp_path / "mended.yaml").write_text(mended)
    assert configuration.check(tmp_path / "mended.yaml", {}) == []
    (found,) = load(tmp_path / "mended.yaml", {}).settings.audiences
    assert (found.name, found.description, found.query) == (
        "Ty\u2028po\nkey: x",
        "Left out",
        "event('V').count() > 0",
    )
    (tmp_path / "fine.yaml").write_text(head)
    assert configuration.check(tmp_path / "fine.yaml", {}) == []


# ── bad input ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[1]", "$[0]: found 1, expected an audience"),
        ('"x"', "$: found 'x', expected an audience"),
        ('{"data": {"sources": []}}', "$.data: found an object with sources"),
        ('{"data": {"audiences": [null]}}', "$.data.audiences[0]: found null"),
        ('[{"definition": {"query": 7}}]', "$[0].definition.query: found 7, expected text"),
        ('[{"definition": [], "name": "x"}]', "$[0].definition: found a list, expected an object"),
        ('[{"definition": {}, "options": "x"}]', "$[0].options: found 'x', expected an object"),
    ],
)
def test_what_is_no_export_is_refused_with_its_place(content: str, message: str) -> None:
    with pytest.raises(ExportError) as caught:
        read_export(content.encode())
    assert message in str(caught.value)


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    items = [audience("a", BIG), audience("off", BIG, enabled=False)]
    Path("export.json").write_text(json.dumps(page("audiences", *items)))
    return "export.json"


def test_the_command_writes_a_file_and_tells_what_is_not_in_it(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "segment", export, "--out", "out.yaml"]) == 0
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "left out: off: it is disabled there",
        "export.json: 1 audience and 0 traits carried over, 1 left out",
    ]
    assert run(["validate", "out.yaml"]) == 0


def test_the_command_writes_to_standard_output(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "segment", export]) == 0
    out = capsys.readouterr().out
    assert run(["import", "segment", export, "--out", "out.yaml"]) == 0
    assert Path("out.yaml").read_text() == out


def test_the_command_answers_machines(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["import", "segment", export, "--out", "out.yaml", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "audiences": ["a"],
        "traits": [],
        "left_out": [{"key": "off", "name": "Off", "reason": "it is disabled there"}],
        "notes": [],
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("segment", "missing.json"),
        ("segment", "broken.json"),
        ("segment", "empty.json"),
        ("segment", "export.json", "--json"),
        ("segment", "export.json", "--out", "export.json"),
        ("rudder", "export.json"),
        ("segment",),
    ],
    ids=" ".join,
)
def test_bad_input_is_2_and_writes_nothing(
    arguments: tuple[str, ...], export: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.json").write_text('{"data": 7}')
    Path("empty.json").write_text('{"data": {"audiences": []}}')
    before = {path: path.read_text() for path in Path().iterdir()}
    assert run(["import", *arguments]) == 2
    assert capsys.readouterr().out == ""
    assert {path: path.read_text() for path in Path().iterdir()} == before


def test_nothing_carried_over_is_1(export: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("off.json").write_text(json.dumps([audience("off", BIG, enabled=False)]))
    assert run(["import", "segment", "off.json", "--out", "out.yaml"]) == 1
    assert "nothing could be carried over" in capsys.readouterr().err
    assert not Path("out.yaml").exists()
