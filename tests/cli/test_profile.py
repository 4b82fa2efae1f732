"""What is shown of a profile. On a broker it is shown in `test_explain`, of the same person."""

from app.cli.profile import as_text, as_value, message_of
from app.definitions.model import Catalog, Definition
from app.identity.graph import Node
from app.profiles.belonging import Belonging
from app.profiles.members import Members
from app.profiles.state import Profile
from app.stream.lookup import Found, Known

START_MS = 1_767_225_600_000
NODE = Node(
    1,
    {("user_id", "ann"): START_MS, ("email", "ann@example.com"): START_MS + 1_000},
    [("prf_2", START_MS + 2_000, "m:signed-in"), ("prf_3", START_MS + 3_000, "o:2:17")],
)
CATALOG = Catalog(
    (
        Definition("vip", "audience", "trait('plan') = 'pro'"),
        Definition("new", "audience", "trait('plan') = 'x'"),
        Definition("orders", "trait", "event('Order').count()"),
    )
)


def profile() -> Profile:
    made = Profile()
    made.clock = START_MS + 5_000
    made.identifiers = [("user_id", "ann")]
    made.traits = {"plan": ["pro", START_MS, 1], "näme": [{"first": "Ann"}, START_MS + 1, 2]}
    made.emitted = {"orders": 0, "vip": True, "new": False, "of_a_definition_that_is_gone": True}
    return made


def test_all_there_is_for_people() -> None:
    found = Found(CATALOG, "prf_1", profile(), Known("prf_1", None, NODE))
    assert as_text(found).splitlines() == [
        "prf_1, as of 2026-01-01T00:00:05.000Z",
        "",
        "identifiers",
        "  user_id  ann              added 2026-01-01T00:00:00.000Z",
        "  email    ann@example.com  added 2026-01-01T00:00:01.000Z",
        "",
        "became part of it",
        "  prf_2  2026-01-01T00:00:02.000Z  by message signed-in",
        "  prf_3  2026-01-01T00:00:03.000Z  by message at offset 17 of partition 2 of events.raw",
        "",
        "traits",
        '  plan  "pro"             written 2026-01-01T00:00:00.000Z',
        '  näme  {"first": "Ann"}  written 2026-01-01T00:00:00.001Z',
        "",
        "audiences",
        "  vip",
        "",
        "computed traits",
        "  orders  0",
    ]


def test_all_there_is_for_machines() -> None:
    value = as_value(Found(CATALOG, "prf_1", profile(), Known("prf_1", None, NODE)))
    assert value["identifiers"] == [
        {"type": "user_id", "value": "ann", "added_at": "2026-01-01T00:00:00.000Z"},
        {"type": "email", "value": "ann@example.com", "added_at": "2026-01-01T00:00:01.000Z"},
    ]
    assert value["traits"] == {
        "plan": {"value": "pro", "written_at": "2026-01-01T00:00:00.000Z"},
        "näme": {"value": {"first": "Ann"}, "written_at": "2026-01-01T00:00:00.001Z"},
    }
    assert (value["audiences"], value["computed_traits"]) == (["vip"], {"orders": 0})
    assert value["accounts"] == {}


def test_whom_only_the_graph_knows_and_whom_it_does_not_know() -> None:
    only_graph = Found(CATALOG, "prf_1", None, Known("prf_1", None, Node(1, {("user_id", "ann"): START_MS})))
    assert as_text(only_graph).splitlines() == [
        "prf_1, nothing has been applied to it yet",
        "",
        "identifiers",
        "  user_id  ann  added 2026-01-01T00:00:00.000Z",
    ]
    assert as_value(only_graph)["as_of"] is None
    no_graph = as_value(Found(None, "prf_1", profile(), None))
    assert no_graph["identifiers"] == [{"type": "user_id", "value": "ann", "added_at": None}]
    assert (no_graph["absorbed"], no_graph["audiences"], no_graph["computed_traits"]) == ([], [], {})


def test_a_user_of_accounts() -> None:
    held = profile()
    held.belonging = Belonging(accounts={"acme": [3, {"trial": True}], "other": [1, {}]})
    found = Found(CATALOG, "prf_1", held, Known("prf_1", None, NODE))
    assert as_value(found)["accounts"] == {"acme": {"trial": True}, "other": {}}
    lines = as_text(found).splitlines()
    assert lines[-3:] == ["accounts, and what they are", '  acme   {"trial": true}', "  other  {}"]


def test_an_account() -> None:
    held = Profile()
    held.clock = START_MS
    held.identifiers = [("group_id", "acme")]
    held.traits = {"plan": ["pro", START_MS, 1]}
    held.emitted = {"trial": True, "vip": True}
    held.members = Members()
    for user in ("prf_1", "prf_2"):
        held.members.join(user, 1)
    catalog = Catalog((*CATALOG.definitions, Definition("trial", "audience", "trait('plan') = 'trial'", "ACCOUNTS")))
    found = Found(catalog, "acme", held, None, "accounts")
    value = as_value(found)
    assert (value["users"], value["audiences"], value["identifiers"]) == (
        2, ["trial"], [{"type": "group_id", "value": "acme", "added_at": None}],
    )  # fmt: skip
    assert "accounts" not in value
    assert as_text(found).splitlines()[-5:] == ["audiences", "  trial", "", "users", "  2"]


def test_messages() -> None:
    assert message_of("m:a:b") == "a:b"
    assert message_of("o:0:12") == "at offset 12 of partition 0 of events.raw"
