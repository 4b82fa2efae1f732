"""Settings are read whole or refused whole, with every fault; secrets never show."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import jsonschema
import pytest

from app.activation.destination import Attempt, Destination, Limits, Request, Secret, post, settings_schema
from app.activation.destinations import DESTINATIONS
from app.activation.settings import Rule, read_settings, secrets_in
from app.errors import SettingsError

CANARY = "canary-4711"


@dataclass(frozen=True, slots=True)
class Sample:
    key: Secret
    region: Annotated[Literal["eu", "us"], Rule("Where.")]
    size: Annotated[int, Rule("How many.", minimum=1, maximum=5)] = 2
    ratio: float = 0.5
    on: bool = True
    tags: tuple[str, ...] = ()
    headers: Mapping[str, Secret] | None = None
    labels: Mapping[str, str] | None = None
    note: str | None = field(default=None)


SAMPLE = Destination("sample", Sample, Limits(requests_per_s=1), build=lambda p, s, n: post("https://v/x?a=1", []))


def test_values_of_every_type_are_read():
    raw = {
        "key": CANARY,
        "region": "eu",
        "size": 3,
        "ratio": 1,
        "on": False,
        "tags": ["a", "b"],
        "headers": {"X": CANARY},
        "labels": {"l": "m"},
        "note": "n",
        "timeout_s": 3,
    }
    settings, common = read_settings(Sample, raw)
    assert settings == Sample(Secret(CANARY), "eu", 3, 1.0, False, ("a", "b"), {"X": Secret(CANARY)}, {"l": "m"}, "n")
    assert common.timeout_s == 3.0
    assert [secret.reveal() for secret in secrets_in(settings)] == [CANARY, CANARY]
    assert CANARY not in repr(settings) + str(settings) + f"{settings.key}"
    jsonschema.validate(raw, settings_schema(SAMPLE))


WRONG = {
    "region": "moon",
    "size": 9,
    "ratio": True,
    "on": 1,
    "tags": "a",
    "headers": {"X": 1},
    "labels": [],
    "note": 5,
    "base_url": "ftp://x",
    "timeout_s": 0,
    "colour": "red",
}


def test_every_fault_is_told_at_once():
    with pytest.raises(SettingsError) as error:
        read_settings(Sample, WRONG)
    told = {fault.path: fault.message for fault in error.value.faults}
    assert told.keys() == WRONG.keys() | {"key"}
    assert told["key"].startswith("missing")
    assert told["region"] == "expected one of eu, us"
    assert told["size"] == "expected 5 or less"
    assert told["ratio"] == "expected a number"
    assert told["note"] == "expected a text"
    assert told["colour"].startswith("unknown setting; known are base_url, headers,")


def test_the_schema_refuses_each_fault_too():
    schema = settings_schema(SAMPLE)
    jsonschema.Draft202012Validator.check_schema(schema)
    good = {"key": "k", "region": "eu"}
    jsonschema.validate(good, schema)
    for name, value in WRONG.items():
        if name != "base_url":  # its form is the reader's to check
            with pytest.raises(jsonschema.ValidationError):
                jsonschema.validate(good | {name: value}, schema)


def test_secrets_are_named_in_the_schema():
    properties = settings_schema(SAMPLE)["properties"]
    assert properties["key"] == {"type": "string", "writeOnly": True, "description": ""}
    assert properties["headers"]["additionalProperties"] == {"type": "string", "writeOnly": True}


def test_common_settings_reach_limits_and_requests():
    configured = SAMPLE.configure(
        {"key": "k", "region": "eu", "timeout_s": 3, "base_url": "http://127.0.0.1:9/base/"}, rate_per_s=7
    )
    assert configured.limits == Limits(requests_per_s=7, timeout_s=3.0)
    assert next(configured.converse([], Attempt(0))).url == "http://127.0.0.1:9/base/x?a=1"


def test_a_request_shows_no_secret():
    request = Request("POST", Secret(f"https://h.example:8443/{CANARY}"), {"A": Secret(CANARY), "B": "b"}, b"{}")
    assert request.shown() == {"method": "POST", "url": "https://h.example:8443", "headers": {"B": "b"}}
    assert CANARY not in repr(request)


@pytest.mark.parametrize("destination", DESTINATIONS.values(), ids=DESTINATIONS.keys())
def test_every_destination_has_a_sound_schema(destination):
    schema = settings_schema(destination)
    jsonschema.Draft202012Validator.check_schema(schema)
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert [name for name, told in properties.items() if not told["description"]] == []
