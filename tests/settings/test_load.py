"""A configuration file is read whole, or refused with every fault at its line and column."""

from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from app.errors import SettingsError
from app.settings import (
    Api,
    Connection,
    DefinitionText,
    Delivery,
    EventNames,
    HealthSettings,
    IdentifierSource,
    Identity,
    IdentityLimit,
    Kafka,
    Security,
    Settings,
    Source,
    Space,
    Stream,
    Token,
    load,
    read,
    schema,
)

EXAMPLE = """\
space: {id: spa_demo, slug: demo, name: Demo shop}
kafka:
  brokers: embedded
  topic_prefix: ""
  partitions: 4
  replication: 1
  security: {protocol: PLAINTEXT}
sources:
  - {id: web, write_key: "${WEB_WRITE_KEY:-demo}"}
api: {host: 127.0.0.1, port: 8080, tokens: [{name: admin, token: "${API_TOKEN:-demo}", role: admin}]}
identity:
  limits: {user_id: 1, default: 5}
  priority: [user_id, email]
  blocked: ["-1", "null", "anonymous"]
audiences:
  - key: big_spenders
    name: Big spenders
    query: "event('Order Completed').within(30 days).sum(property('revenue')) >= 500"
    type: USERS
    historical: true
    include_anonymous_users: false
traits:
  - key: orders_90_days
    query: "event('Order Completed').within(90 days).count()"
destinations:
  - name: crm
    type: webhook
    settings: {url: "https://example.com/hook", secret: "${CRM_SECRET}"}
    rate_per_s: 100
    give_up_after_s: 900
    connect:
      - {audience: big_spenders, calls: [identify, track]}
      - {trait: orders_90_days, calls: [identify], interval: 6 hours}
delivery: {allow_networks: []}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "headwater.yaml"
    path.write_text(text)
    return path


def faults(folder: Path, text: str, **environ: str) -> list[tuple[int, int, str, str]]:
    return [
        (fault.line, fault.column, fault.path, fault.message) for fault in read(write(folder, text), environ).faults
    ]


def test_the_example_is_read_whole(tmp_path: Path) -> None:
    loaded = load(write(tmp_path, EXAMPLE), {"CRM_SECRET": "hush", "WEB_WRITE_KEY": "w-key"})
    settings = loaded.settings
    assert settings.space.name == "Demo shop"
    assert settings.sources[0].write_key.reveal() == "w-key"
    assert settings.api.tokens[0].token.reveal() == "demo"
    assert settings.audiences[0].key == "big_spenders"
    (crm,) = settings.destinations
    assert crm.settings == {"url": "https://example.com/hook", "secret": "hush"}
    assert (crm.rate_per_s, crm.give_up_after_s) == (100, 900)
    assert crm.connect[0].calls == ("identify", "track")
    assert crm.connect[1].interval_s == 21_600
    assert loaded.secrets == {"w-key", "demo", "hush"}


def test_an_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load(write(tmp_path, ""), {}).settings == Settings()
    assert load(write(tmp_path, "# nothing but a comment\n"), {}).settings == Settings()


IDENTITY = """\
identity:
  limits: {user_id: 1, anonymous_id: {limit: 5, per: month}, default: 4}
  blocked_patterns: ["test-*"]
  identifiers:
    - {type: phone, trait: contact.phone}
    - {type: coupon, property: coupon}
  max_identifiers: 50
  max_merges: 0
"""


def test_the_rules_of_identity_are_read(tmp_path: Path) -> None:
    identity = load(write(tmp_path, IDENTITY), {}).settings.identity
    assert identity.limits == {"user_id": 1, "anonymous_id": IdentityLimit(5, "month"), "default": 4}
    assert identity.blocked_patterns == ("test-*",)
    assert identity.identifiers == (
        IdentifierSource("phone", trait="contact.phone"), IdentifierSource("coupon", property="coupon"),
    )  # fmt: skip
    assert (identity.max_identifiers, identity.max_merges) == (50, 0)


def test_faults_in_the_rules_of_identity_have_their_places(tmp_path: Path) -> None:
    text = """\
identity:
  limits: {user_id: 0, email: many, crm: {limit: 2, per: day}, zip: {per: week}, a: {limit: 1, of: 2}}
  blocked_patterns: ["**", ""]
  identifiers:
    - {type: phone}
    - {type: phone, trait: a, property: b}
    - {type: "a:b", trait: c}
    - {type: x, trait: c}
    - {trait: c}
    - {type: x, trait: c}
  max_merges: -1
"""
    one_place = "an identifier is found in one place; this one names"
    assert [(line, path, message) for line, _, path, message in faults(tmp_path, text)] == [
        (2, "identity.limits.user_id", "expected at least 1, found 0"),
        (2, "identity.limits.email", "expected a whole number or a mapping, found 'many'"),
        (2, "identity.limits.crm.per", "expected one of ever, week, month, year, found 'day'"),
        (2, "identity.limits.zip", "the key 'limit' is missing"),
        (2, "identity.limits.a.of", "unknown key; known here: limit, per"),
        (3, "identity.blocked_patterns.0", "blocks every value, so that nobody is known"),
        (3, "identity.blocked_patterns.1", "expected something, not nothing, found ''"),
        (5, "identity.identifiers.0", f"{one_place} neither a trait nor a property"),
        (6, "identity.identifiers.1", f"{one_place} both a trait and a property"),
        (7, "identity.identifiers.2.type", "expected text that matches ^[A-Za-z][A-Za-z0-9_.-]*$, found 'a:b'"),
        (9, "identity.identifiers.4", "the key 'type' is missing"),
        (10, "identity.identifiers.5", "given twice; first on line 8"),
        (11, "identity.max_merges", "expected at least 0, found -1"),
    ]  # fmt: skip


def test_no_secret_is_in_any_repr(tmp_path: Path) -> None:
    canary = "canary-5f2b"
    loaded = load(write(tmp_path, EXAMPLE), dict.fromkeys(("CRM_SECRET", "WEB_WRITE_KEY", "API_TOKEN"), canary))
    assert canary not in repr(loaded)
    assert canary not in str(loaded.settings)
    assert canary not in f"{loaded.settings.api.tokens[0].token}"


def test_every_fault_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    text = """\
space: {id: Spa}
kafak: 1
kafka:
  partitions: 0
  security: {protocol: SASL_SSL, usrname: x}
audiences:
  - key: a
    quary: x
    type: USER
  - key: b
    query: 12
  - key: b
    query: event('x').count() > 1
destinations:
  - name: crm
    type: webhook
    settings: {secret: "${NOPE}"}
    connect:
      - {audience: d}
      - {}
      - {audience: a, trait: a}
      - {trait: a, calls: [identifi]}
delivery: {allow_networks: [10.0.0.1/8]}
"""
    assert faults(tmp_path, text) == [
        (1, 13, "space.id", "expected text that matches ^[a-z][a-z0-9_]*$, found 'Spa'"),
        (2, 1, "kafak", "unknown key; did you mean 'kafka'?"),
        (4, 15, "kafka.partitions", "expected at least 1, found 0"),
        (5, 13, "kafka.security", "SASL_SSL needs 'mechanism'"),
        (5, 13, "kafka.security", "SASL_SSL needs 'username'"),
        (5, 13, "kafka.security", "SASL_SSL needs 'password'"),
        (5, 24, "kafka.security.protocol", "the embedded broker speaks PLAINTEXT on loopback"),
        (5, 34, "kafka.security.usrname", "unknown key; did you mean 'username'?"),
        (7, 5, "audiences.0", "the key 'query' is missing"),
        (8, 5, "audiences.0.quary", "unknown key; did you mean 'query'?"),
        (9, 11, "audiences.0.type", "expected one of USERS, ACCOUNTS (did you mean USERS?), found 'USER'"),
        (11, 12, "audiences.1.query", "expected text, found 12"),
        (12, 10, "audiences.2.key", "'b' is given twice; first on line 10"),
        (
            17,
            24,
            "destinations.0.settings.secret",
            "the environment variable NOPE is not set; set it, or write ${NOPE:-default}",
        ),
        (19, 20, "destinations.0.connect.0.audience", "no audience has the key 'd'; known here: a, b"),
        (
            20,
            9,
            "destinations.0.connect.1",
            "a connection names one definition; this one names neither an audience nor a trait",
        ),
        (
            21,
            9,
            "destinations.0.connect.2",
            "a connection names one definition; this one names both an audience and a trait",
        ),
        (
            22,
            17,
            "destinations.0.connect.3.trait",
            "no trait has the key 'a'; it is an audience: write `audience: a`",
        ),
        (
            22,
            28,
            "destinations.0.connect.3.calls.0",
            "expected one of identify, track, group (did you mean identify?), found 'identifi'",
        ),
        (
            23,
            29,
            "delivery.allow_networks.0",
            "expected a network such as 10.0.0.0/8: 10.0.0.1/8 has host bits set",
        ),
    ]


def test_what_is_faulty_is_left_out_and_the_rest_keeps_its_place(tmp_path: Path) -> None:
    text = """\
audiences:
  - {key: NO, query: x}
  - {key: a, query: y, type: USER}
  - {query: z}
  - {key: b, query: w}
"""
    draft = read(write(tmp_path, text), {})
    assert draft.loaded is not None
    assert [audience.key for audience in draft.loaded.settings.audiences] == ["a", "b"]
    positions = draft.loaded.positions
    assert positions.original(("audiences", 1, "query")) == ("audiences", 3, "query")
    assert positions.of(positions.original(("audiences", 1, "query"))).line == 5


@pytest.mark.parametrize(
    ("text", "line", "column", "part"),
    [
        ("kafka:\n  partitions: [1\n", 3, 1, "not valid YAML"),
        ("a: b: c\n", 1, 5, "mapping values are not allowed"),
        ("space: {id: a}\nspace: {id: b}\n", 2, 1, "given twice; first on line 1"),
        ("space: !!python/object:os.system x\n", 1, 8, "custom tag"),
        ("space: {}\n---\nspace: {}\n", 2, 1, "second YAML document"),
        ("space: " + "[" * 5_000, 1, 40, "deep"),
        ("space: &a [*a]\n", 1, 12, "no anchor"),
        ("? [a]\n: 1\n", 1, 3, "a key that is no text"),
        ("- 1\n", 1, 1, "expected a mapping, found a list"),
        ("just words\n", 1, 1, "expected a mapping, found 'just words'"),
        ("kafka:\n", 1, 7, "expected a mapping, found nothing"),
        ("space: {name: \x01}\n", 1, 15, "a character that YAML does not allow"),
    ],
)
def test_broken_documents_are_refused_at_their_place(
    tmp_path: Path, text: str, line: int, column: int, part: str
) -> None:
    found = faults(tmp_path, text)
    assert [(at, of) for at, of, *_ in found] == [(line, column)], found
    assert part in found[0][3]


def test_an_alias_bomb_costs_nothing(tmp_path: Path) -> None:
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [
        f"{this}: &{this} [{', '.join(f'*{last}' for _ in range(10))}]" for last, this in ("ab", "bc", "cd", "de")
    ]
    found = faults(tmp_path, "\n".join(lines))
    assert "100000 values" in found[0][3]


def test_a_file_over_the_limit_is_refused(tmp_path: Path) -> None:
    assert "larger than" in faults(tmp_path, "# " + "x" * (1 << 20))[0][3]


def test_a_missing_file_and_bytes_that_are_no_text(tmp_path: Path) -> None:
    assert "No such file" in read(tmp_path / "none.yaml", {}).faults[0].message
    path = tmp_path / "bytes.yaml"
    path.write_bytes(b"space:\n  name: \xff\n")
    (fault,) = read(path, {}).faults
    assert (fault.line, fault.message) == (2, "not UTF-8 text")


def test_load_raises_all_faults_in_one_error(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, "a: 1\nb: 2\n"), {})
    assert len(caught.value.faults) == 2


def test_the_core_schema_of_yaml_decides_what_a_plain_word_is(tmp_path: Path) -> None:
    text = "sources: [{id: on, write_key: 2026-01-31}, {id: 'no', write_key: '1'}]\nspace: {name: 1:30}\n"
    settings = load(write(tmp_path, text), {}).settings
    assert [source.id for source in settings.sources] == ["on", "no"]
    assert settings.sources[0].write_key.reveal() == "2026-01-31"
    assert settings.space.name == "1:30"


SECTIONS = {
    (): Settings,
    ("space",): Space,
    ("kafka",): Kafka,
    ("kafka", "security"): Security,
    ("sources", "[]"): Source,
    ("api",): Api,
    ("api", "tokens", "[]"): Token,
    ("identity",): Identity,
    ("identity", "identifiers", "[]"): IdentifierSource,
    ("audiences", "[]"): DefinitionText,
    ("destinations", "[]", "connect", "[]"): Connection,
    ("destinations", "[]", "connect", "[]", "event_names"): EventNames,
    ("delivery",): Delivery,
    ("stream",): Stream,
    ("health",): HealthSettings,
}


@pytest.mark.parametrize("path", SECTIONS, ids=lambda path: ".".join(path) or "root")
def test_the_schema_and_the_dataclasses_agree(path: tuple[str, ...]) -> None:
    rule = schema()
    for part in path:
        rule = rule["items"] if part == "[]" else rule["properties"][part]
        if "$ref" in rule:
            rule = schema()["$defs"][rule["$ref"].rsplit("/", 1)[1]]
    known = {field.name: field for field in fields(SECTIONS[path])}
    known = {("interval" if name == "interval_s" else name): field for name, field in known.items()}
    assert rule["properties"].keys() == known.keys()
    assert rule["additionalProperties"] is False
    for name, part in rule["properties"].items():
        if "$ref" not in part:
            assert part["description"], name
        if "default" not in part:
            continue
        field = known[name]
        default = field.default if field.default is not MISSING else field.default_factory()  # type: ignore[misc]
        assert (list(default) if isinstance(default, tuple) else default) == part["default"], name
