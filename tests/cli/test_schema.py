"""The published schema knows every destination type's settings; an editor finds what `validate` would."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from app.activation.destinations import DESTINATIONS
from app.cli.commands import run
from tests.contract.destination_fixtures import fixture


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    from app.configuration import published_schema

    return Draft202012Validator(published_schema())


def document(kind: str, settings: dict[str, Any]) -> dict[str, Any]:
    return {"destinations": [{"name": "one", "type": kind, "settings": settings}]}


def test_it_is_printed_and_a_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("name", sorted(DESTINATIONS))
def test_each_types_settings_are_known(name: str, validator: Draft202012Validator) -> None:
    settings = fixture(name)["settings"]
    assert not [error.message for error in validator.iter_errors(document(name, settings))]
    assert [*validator.iter_errors(document(name, settings | {"no_such_setting": 1}))]
    assert not [*validator.iter_errors(document(name, settings | {"base_url": "https://proxy.example"}))]


def test_a_type_that_is_none_and_settings_that_are_missing(validator: Draft202012Validator) -> None:
    assert [*validator.iter_errors(document("brase", {}))]
    assert [*validator.iter_errors({"destinations": [{"name": "one", "type": "braze"}]})]
    assert not [*validator.iter_errors({"destinations": [{"name": "one", "type": "kafka"}]})]
