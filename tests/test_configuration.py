"""From a configuration to the core, and every problem of definitions and destinations at its place in the file."""

from pathlib import Path

import pytest

from app import configuration
from app.definitions.model import Definition, Subscription
from app.errors import SettingsError
from app.identity.rules import Extra, IdentityRules, Limit, LinkRules
from app.settings import load

SOUND = """\
space: {id: spa_shop}
audiences:
  - key: big
    name: Big
    query: |
      event('Order Completed').within(30 days).count() >= 3
    include_anonymous_users: true
traits:
  - {key: orders, query: "event('Order Completed').within(90 days).count()", historical: false}
destinations:
  - name: crm
    type: webhook
    rate_per_s: 7
    settings:
      url: https://crm.example/hook/canary-path
      secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw
    connect:
      - audience: big
        calls: [identify, track]
        event_names: {entered: Got Big}
        mapping: {b: y, a: x}
        traits: [plan]
      - {trait: orders}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "headwater.yaml"
    path.write_text(text)
    return path


def faults(folder: Path, text: str) -> list[tuple[int, int, str, str]]:
    found = configuration.check(write(folder, text), {})
    return [(fault.line, fault.column, fault.path, fault.message) for fault in found]


def test_the_rules_of_identity_are_what_was_written(tmp_path: Path) -> None:
    text = """\
identity:
  limits: {anonymous_id: {limit: 5, per: month}, default: 4}
  priority: [email]
  blocked: [Guest]
  blocked_patterns: ["test-*"]
  identifiers: [{type: phone, trait: phone}, {type: coupon, property: a.b}]
  max_merges: 7
"""
    assert configuration.identity_rules(load(write(tmp_path, text), {}).settings) == IdentityRules(
        blocked=frozenset({"guest"}),
        blocked_patterns=("test-*",),
        extra=(Extra("phone", "trait", "phone"), Extra("coupon", "property", "a.b")),
        link=LinkRules(
            limits={"user_id": Limit(1), "anonymous_id": Limit(5, "month")},
            default_limit=Limit(4),
            priority=("email",),
            max_merges=7,
        ),
    )


def test_nothing_said_of_identity_is_the_usual(tmp_path: Path) -> None:
    assert configuration.identity_rules(load(write(tmp_path, ""), {}).settings) == IdentityRules()


def test_the_catalogue_is_what_was_written(tmp_path: Path) -> None:
    catalog = configuration.catalog(load(write(tmp_path, SOUND), {}).settings)
    assert catalog.space == "spa_shop"
    assert catalog.destination_types == (("crm", "webhook"),)
    assert catalog.definitions == (
        Definition(
            "big",
            "audience",
            "event('Order Completed').within(30 days).count() >= 3",
            name="Big",
            include_anonymous_users=True,
        ),
        Definition("orders", "trait", "event('Order Completed').within(90 days).count()", historical=False),
    )
    assert catalog.subscriptions == (
        Subscription(
            "big",
            "audience",
            "crm",
            ("identify", "track"),
            (("entered", "Got Big"),),
            ("plan",),
            (("a", "x"), ("b", "y")),
        ),
        Subscription("orders", "trait", "crm"),
    )


def test_no_secret_is_in_the_catalogue_and_all_are_known_to_the_logs(tmp_path: Path) -> None:
    loaded = configuration.open_configuration(write(tmp_path, SOUND), {})
    told = repr(configuration.catalog(loaded.settings)) + repr(configuration.destinations(loaded.settings))
    assert "MfKQ9r8" not in told
    assert "canary-path" not in told
    assert any("MfKQ9r8" in secret for secret in configuration.secrets(loaded))
    assert any("canary-path" in secret for secret in configuration.secrets(loaded))


def test_a_destinations_rate_is_the_configurations(tmp_path: Path) -> None:
    settings = load(write(tmp_path, SOUND), {}).settings
    assert configuration.destinations(settings)["crm"].limits.requests_per_s == 7


def test_a_sound_configuration_has_no_faults(tmp_path: Path) -> None:
    assert faults(tmp_path, SOUND) == []


def test_a_definitions_error_stands_where_its_text_stands(tmp_path: Path) -> None:
    text = """\
audiences:
  - key: a
    query: "event('x').count() >> 3"
  - key: b
    query: |
      event('x').within(7 days).count() >= 1
        AND trait('q'
  - {key: c, query: event('x').cuont() > 2}
"""
    (_, one), (_, two), (_, three) = [((line, column), message) for line, column, _, message in faults(tmp_path, text)]
    assert [(line, column) for line, column, *_ in faults(tmp_path, text)] == [(3, 33), (7, 22), (8, 32)]
    assert one.endswith("\n    event('x').count() >> 3\n                        ^")
    assert two.endswith("\n      AND trait('q'\n                   ^")
    assert "did you mean 'count'?" in three
    assert three.endswith("\n    event('x').cuont() > 2\n               ^^^^^")


def test_what_can_never_hold_is_refused_and_what_is_odd_is_a_doubt(tmp_path: Path) -> None:
    text = """\
audiences:
  - {key: never, query: "event('x').count() < 0"}
  - {key: always, query: "event('x').count() >= 0"}
  - {key: like, query: "trait('alway') = true"}
  - {key: fine, query: "trait('custom') = true"}
"""
    found = configuration.examine(write(tmp_path, text), {})
    assert [(fault.line, fault.column, fault.path) for fault in found.faults] == [(2, 47, "audiences.0.query")]
    assert found.faults[0].message.endswith("\n    event('x').count() < 0\n                         ^")
    assert [(doubt.line, doubt.column, doubt.path) for doubt in found.doubts] == [
        (3, 49, "audiences.1.query"),
        (4, 25, "audiences.2.query"),
    ]
    assert "did you mean 'always'?" in found.doubts[1].message
    with pytest.raises(SettingsError):
        configuration.open_configuration(write(tmp_path, text), {})
    without = "\n".join(line for line in text.split("\n") if "never" not in line)
    assert (
        len(configuration.catalog(configuration.open_configuration(write(tmp_path, without), {}).settings).definitions)
        == 3
    )


def test_a_caret_and_its_place_fit_a_block_with_tabs_and_wide_characters(tmp_path: Path) -> None:
    text = """\
audiences:
  - key: a
    query: |
      event('購入').count() >= 1
      \tAND event('カート 🛒').cuont() >= 1
"""
    ((line, column, _, message),) = faults(tmp_path, text)
    assert (line, column) == (5, text.split("\n")[4].index("cuont") + 1)
    assert message.split("\n")[1:] == [
        "        AND event('カート 🛒').cuont() >= 1",
        "                               ^^^^^",
    ]


def test_a_long_line_is_shown_around_its_fault(tmp_path: Path) -> None:
    query = " AND ".join(["event('x').count() > 1"] * 20) + " AND nonsense"
    ((_, _, _, message),) = faults(tmp_path, f'traits: []\naudiences: [{{key: a, query: "{query}"}}]\n')
    *_, line, caret = message.split("\n")
    assert len(line) <= 104
    assert line[caret.index("^") :].startswith("nonsense")


def test_destinations_settings_are_checked_by_their_type(tmp_path: Path) -> None:
    text = """\
destinations:
  - {name: x, type: webhok}
  - {name: y, type: gopher}
  - {name: z, type: webhook, settings: {urll: 3}}
"""
    one, two, *rest = faults(tmp_path, text)
    assert one == (2, 21, "destinations.0.type", "no destination type is called 'webhok'; did you mean 'webhook'?")
    assert two[:3] == (3, 21, "destinations.1.type")
    assert "known here: amplitude, amplitude_cohorts, braze," in two[3]
    assert (4, 41, "destinations.2.settings.urll") in [fault[:3] for fault in rest]
    assert (4, 40, "destinations.2.settings.url") in [fault[:3] for fault in rest]


def test_faults_of_structure_and_of_definitions_are_told_together_and_once(tmp_path: Path) -> None:
    text = """\
kafak: {}
audiences:
  - {key: a, query: "nonsense", type: USER}
  - {key: a, query: "more nonsense"}
"""
    assert [fault[:3] for fault in faults(tmp_path, text)] == [
        (1, 1, "kafak"),
        (3, 22, "audiences.0.query"),
        (3, 39, "audiences.0.type"),
        (4, 11, "audiences.1.key"),
    ]


def test_open_refuses_with_every_fault(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        configuration.open_configuration(write(tmp_path, "kafak: {}\naudiences: [{key: a, query: '('}]\n"), {})
    assert len(caught.value.faults) == 2


def test_the_readmes_example_of_an_error_is_what_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "audiences:\n  - key: vip\n    query: event('Order Completed').wihtin(30 days).count() >= 2\n"
    Path("headwater.yaml").write_text(text)
    (fault,) = configuration.check(Path("headwater.yaml"), {})
    assert str(fault) in (Path(configuration.__file__).parent / "definitions" / "README.md").read_text()


def test_keys_that_become_one_field_at_the_vendor_are_found(tmp_path: Path) -> None:
    text = """\
audiences:
  - {key: first_time_shopper, query: "event('a').count() >= 1"}
  - {key: first_time_saver, query: "event('b').count() >= 1"}
  - {key: other, query: "event('c').count() >= 1"}
destinations:
  - name: mails
    type: mailchimp
    settings: {api_key: canary-us6, audience_id: a1}
    connect:
      - {audience: first_time_shopper}
      - {audience: first_time_saver}
      - {audience: other, mapping: {other: FirstTimeS}}
"""
    one, two = faults(tmp_path, text)
    assert one[:3] == (11, 20, "destinations.0.connect.1.audience")
    assert one[3] == (
        "'first_time_saver' and 'first_time_shopper' both become the field 'FIRSTTIMES' there; "
        "give one another name in mapping"
    )
    assert two[2] == "destinations.0.connect.2.audience"


def test_a_call_that_the_vendor_has_no_place_for_is_refused(tmp_path: Path) -> None:
    text = """\
audiences:
  - {key: vip, query: "event('a').count() >= 1"}
destinations:
  - name: crm
    type: pardot
    settings: {client_id: a, client_secret: s, refresh_token: r, business_unit_id: 0Uv000000000001AAA}
    connect:
      - {audience: vip, calls: [identify, track]}
"""
    ((line, _, path, message),) = faults(tmp_path, text)
    assert (line, path, message) == (8, "destinations.0.connect.0.calls", "pardot takes identify, and no track")


def test_a_group_call_is_for_definitions_of_accounts(tmp_path: Path) -> None:
    text = """\
audiences:
  - {key: vip, query: "event('a').count() >= 1"}
traits:
  - {key: seats, type: ACCOUNTS, query: "event('a').count()"}
destinations:
  - name: crm
    type: webhook
    settings: {url: https://crm.example/hook, secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}
    connect:
      - {trait: seats, calls: [group, identify, track]}
      - {audience: vip, calls: [identify, group]}
"""
    told = [(line, path, message) for line, _, path, message in faults(tmp_path, text) if "group" in message]
    message = "group tells of an account, and 'vip' is of users; take identify or track, or type: ACCOUNTS"
    assert told == [(11, "destinations.0.connect.1.calls", message)]


def test_events_that_a_setting_is_missing_for_are_refused(tmp_path: Path) -> None:
    text = """\
audiences:
  - {key: vip, query: "event('a').count() >= 1"}
destinations:
  - name: crm
    type: hubspot
    settings: {access_token: a}
    connect: [{audience: vip, calls: [identify, track]}]
  - name: more
    type: hubspot
    settings: {access_token: a, hub_id: "4711"}
    connect: [{audience: vip, calls: [identify, track]}]
"""
    ((line, _, path, message),) = faults(tmp_path, text)
    assert (line, path) == (7, "destinations.0.connect.0.calls")
    assert message == "hubspot takes identify, and no track without hub_id"


def test_what_a_vendor_insists_on_goes_along(tmp_path: Path) -> None:
    text = """\
traits:
  - {key: orders, query: "event('a').count()"}
destinations:
  - name: help
    type: zendesk
    settings: {subdomain: acme, access_token: t}
    connect:
      - {trait: orders, traits: [plan, name]}
"""
    (found,) = configuration.catalog(load(write(tmp_path, text), {}).settings).subscriptions
    assert found.traits == ("plan", "name", "first_name", "last_name", "firstName", "lastName")


def test_what_no_list_can_do_is_refused_where_it_stands(tmp_path: Path) -> None:
    text = """
audiences: [{key: vip, query: "event('Order').count() >= 1"}]
traits: [{key: orders, query: "event('Order').count()"}]
destinations:
  - name: ads
    type: google_customer_match
    settings: {client_id: a, client_secret: b, refresh_token: c, customer_id: 123-456}
    connect:
      - {audience: vip, interval: 5 hours, calls: [track]}
      - {trait: orders}
  - name: crm
    type: pardot
    settings: {business_unit_id: 0Uv000000000000000, client_id: a, client_secret: b, refresh_token: c}
    connect: [{audience: vip, interval: 6 hours}]
"""
    assert [(line, path, message) for line, _, path, message in faults(tmp_path, text)] == [
        (9, "destinations.0.connect.0.interval", "google_customer_match takes an update every 6 hours at most"),
        (9, "destinations.0.connect.0.calls", "google_customer_match takes identify, and no track"),
        (
            10,
            "destinations.0.connect.1.trait",
            "google_customer_match keeps lists of people: an audience can go there, and no trait",
        ),
        (14, "destinations.1.connect.0.interval", "pardot gets each change at once; only lists have an interval"),
    ]


def test_a_lists_interval_is_the_connections_or_the_types(tmp_path: Path) -> None:
    text = """
audiences:
  - {key: vip, query: "event('Order').count() >= 1"}
  - {key: gone, query: "event('Order').count() >= 2"}
destinations:
  - name: ads
    type: google_customer_match
    settings: {client_id: a, client_secret: b, refresh_token: c, customer_id: 123-456}
    connect: [{audience: vip, interval: 12 hours}, {audience: gone}]
  - {name: topic, type: kafka, connect: [{audience: vip}]}
"""
    settings = configuration.open_configuration(write(tmp_path, text), {}).settings
    assert configuration.list_intervals(settings) == {"ads": {"vip": 43_200.0, "gone": 21_600.0}}
    assert [one.lists for one in configuration.catalog(settings).subscriptions] == [True, True, False]
