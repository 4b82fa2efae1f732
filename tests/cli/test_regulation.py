"""How a regulation is asked for, and how its receipt is shown. On a broker it is asked for in `tests/faults`."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.activation.lists.leaving import Leaving, Left
from app.cli.commands import run
from app.cli.output import CommandError
from app.cli.regulation import subject_of
from app.cli.regulation_receipt import Elsewhere, as_text, as_value
from app.identity.regulations import RegulationType
from app.stages.receipts import Receipt
from app.stages.regulations import Decided, Erased, Failed, Requested, Settled
from app.stream.regulate import Remains, holding, remaining
from app.topics import Topics

AT_MS = 1_767_225_600_000
DAY_MS = 86_400_000
BOTH = RegulationType.SUPPRESS_WITH_DELETE


def receipt() -> Receipt:
    made = Receipt("reg_1")
    for part in (
        Requested("reg_1", BOTH, AT_MS, "ab12"),
        Decided("reg_1", BOTH, AT_MS, suppressed=2, erased=2, profiles=["prf_1", "prf_2"]),
        Erased("reg_1", "prf_1", 3, identifiers=2, traits=1, cells=4, timers=1, changelog=1, changes=2,
               asked={"crm": 1, "mail": 1}, told=["lake"]),
        Erased("reg_1", "prf_2", 0, redirect=True),
        Settled("reg_1", "p1", "prf_1", "crm", "delivered", dropped=3),
        Settled("reg_1", "p2", "prf_1", "mail", "not_supported"),
    ):  # fmt: skip
        made.take(part)
    return made


REMAINS = [
    remaining("events.raw", "messages", {"cleanup.policy": "delete", "retention.ms": "604800000",
                                         "segment.ms": "604800000"}, AT_MS),
    remaining("log", "states", {"cleanup.policy": "compact", "max.compaction.lag.ms": "9223372036854775807"}, AT_MS),
]  # fmt: skip


LISTS = [
    ("ads", Leaving("buyers", Left.REMOVED, None)),
    ("ads", Leaving("vip", Left.WAITING, AT_MS + DAY_MS)),
    ("mail", Leaving("vip", Left.ANOTHERS, None)),
]


def test_until_when_a_topic_may_hold_it() -> None:
    assert [each.until_ms for each in REMAINS] == [AT_MS + 14 * DAY_MS, None]
    for_ever = remaining("t", "", {"cleanup.policy": "delete", "retention.ms": "-1", "segment.ms": "5"}, AT_MS)
    assert for_ever.until_ms is None
    compacted = remaining("t", "", {"cleanup.policy": "compact", "max.compaction.lag.ms": "5"}, AT_MS)
    assert compacted == Remains("t", "", AT_MS + 5, "max.compaction.lag.ms=5")


def test_every_topic_with_people_in_it_is_named() -> None:
    topics = Topics("p.")
    named = set(holding(topics, ["crm"]))
    made = {getattr(topics, name) for name in vars(Topics) if isinstance(vars(Topics)[name], property)}
    made |= {topics.destination("crm"), topics.destination_dead("crm"), topics.lists_changelog("crm")}
    assert named == made - {topics.regulations, topics.dead_settled}


def test_a_receipt_for_people() -> None:
    assert as_text(receipt(), Elsewhere(REMAINS, LISTS)).splitlines() == [
        "reg_1  FINISHED  SUPPRESS_WITH_DELETE, asked 2026-01-01T00:00:00.000Z",
        "",
        "identifiers",
        "  2 erased, 2 suppressed",
        "",
        "profiles",
        "  prf_1  1 traits, 4 cells, 0 parts, 1 timers, 1 changelog records; 2 changes taken back",
        "  prf_2  was part of another",
        "",
        "destinations",
        "  crm   delivered 1      3 payloads dropped",
        "  mail  not supported 1  0 payloads dropped",
        "",
        "lists",
        "  ads   buyers  removed",
        "  ads   vip     to be removed by the next update, which is due at 2026-01-02T00:00:00.000Z",
        "  mail  vip     stays: another profile stands for the same member",
        "",
        "remains, until at the latest",
        "  events.raw  2026-01-15T00:00:00.000Z  retention.ms=604800000, segment.ms=604800000  messages",
        "  log         no time is set            max.compaction.lag.ms=9223372036854775807     states",
    ]


def test_a_receipt_for_machines() -> None:
    value = as_value(receipt(), Elsewhere(REMAINS, LISTS))
    assert (value["id"], value["state"], value["subject"]) == ("reg_1", "FINISHED", "ab12")
    assert value["identifiers"] == {"erased": 2, "suppressed": 2, "lifted": 0}
    assert value["destinations"] == [
        {"destination": "crm", "asked": 1, "outcomes": {"delivered": 1}, "payloads_dropped": 3},
        {"destination": "mail", "asked": 1, "outcomes": {"not_supported": 1}, "payloads_dropped": 0},
    ]
    assert value["in_their_topics"] == ["lake"]
    assert value["lists"] == [
        {"destination": "ads", "audience": "buyers", "state": "removed", "update_due": None},
        {"destination": "ads", "audience": "vip", "state": "waiting", "update_due": "2026-01-02T00:00:00.000Z"},
        {"destination": "mail", "audience": "vip", "state": "anothers", "update_due": None},
    ]
    made = receipt()
    made.take(Failed("reg_1", "prf_1", "KeyError"))
    assert as_value(made)["failed"] == [{"profile": "prf_1", "reason": "KeyError"}]
    assert "prf_1  FAILED: KeyError" in as_text(made)


def test_one_identifier_is_named_without_a_doubt() -> None:
    assert subject_of("ann") == ("user_id", "ann")
    assert subject_of("email:ann@example.com") == ("email", "ann@example.com")
    assert subject_of("user_id:shop:17") == ("user_id", "shop:17")
    assert subject_of("user_id:prf_1") == ("user_id", "prf_1")
    for text in ("", "email:", ":x", "prf_0123456789abcdef01234567"):
        with pytest.raises(CommandError):
            subject_of(text)


@pytest.mark.parametrize(
    "words",
    [["create"], ["create", "FORGET", "ann"], ["create", "DELETE_ONLY"], ["create", "DELETE_ONLY", "email:"],
     ["show"], ["list", "reg_1"], ["burn"]],
)  # fmt: skip
def test_wrong_usage(words: list[str], tmp_path: Path) -> None:
    assert run(["regulation", *words, "--config", str(tmp_path / "none.yaml")]) == 2
