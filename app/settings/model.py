"""The configuration as values: frozen, typed, parsed once. Defaults live here; a test holds the schema's to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from app.settings.secret import Secret

Role = Literal["admin", "editor", "viewer", "profile-read"]
Call = Literal["identify", "track", "group"]
EMBEDDED = "embedded"


@dataclass(frozen=True, slots=True)
class Space:
    id: str = "spa_demo"
    """Goes out in every payload as `space_id`."""
    slug: str = "demo"
    name: str = "Demo"


@dataclass(frozen=True, slots=True)
class Security:
    """How to reach the broker: librdkafka's words for the protocol and the SASL mechanism."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    username: str | None = None
    password: Secret | None = None
    ca_file: str | None = None
    """PEM; without it, the system's authorities."""
    cert_file: str | None = None
    key_file: str | None = None
    key_password: Secret | None = None
    check_hostname: bool = True


@dataclass(frozen=True, slots=True)
class Kafka:
    brokers: str = EMBEDDED
    """`embedded`, or `host:port,host:port`."""
    topic_prefix: str = ""
    partitions: int = 4
    """Of events.raw, profiles.in and accounts.in; fixed for life."""
    replication: int = 1
    security: Security = Security()

    @property
    def is_embedded(self) -> bool:
        return self.brokers == EMBEDDED


@dataclass(frozen=True, slots=True)
class Source:
    id: str
    write_key: Secret
    name: str = ""


@dataclass(frozen=True, slots=True)
class Token:
    name: str
    token: Secret
    role: Role = "viewer"


@dataclass(frozen=True, slots=True)
class Api:
    host: str = "127.0.0.1"
    port: int = 8080
    """0: any free one."""
    tokens: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True)
class IdentityLimit:
    limit: int
    per: Literal["ever", "week", "month", "year"] = "ever"
    """Values that were added longer ago do not count."""


@dataclass(frozen=True, slots=True)
class IdentifierSource:
    """A trait or a property that identifies: exactly one of the two is given, as a path."""

    type: str
    trait: str | None = None
    property: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    limits: Mapping[str, int | IdentityLimit] = field(default_factory=lambda: {"user_id": 1, "default": 5})
    """Identifier type → how many values of it one profile may have; a number is for ever."""
    priority: tuple[str, ...] = ("user_id", "email")
    """The strongest first; all other types follow by alphabet."""
    blocked: tuple[str, ...] = ("-1", "null", "anonymous")
    """Values that identify nobody."""
    blocked_patterns: tuple[str, ...] = ()
    """The same as shell patterns: `*`, `?`, `[abc]`."""
    identifiers: tuple[IdentifierSource, ...] = ()
    """Besides those that every message has."""
    max_identifiers: int = 1_000
    """Of one profile, of all types together."""
    max_merges: int = 100
    """Of one profile and all that were merged into it."""


@dataclass(frozen=True, slots=True)
class DefinitionText:
    """An audience or a trait as written; app.configuration parses its query."""

    key: str
    query: str
    name: str = ""
    description: str = ""
    type: Literal["USERS", "ACCOUNTS"] = "USERS"
    historical: bool = True
    include_anonymous_users: bool = False


@dataclass(frozen=True, slots=True)
class EventNames:
    entered: str = "Audience Entered"
    exited: str = "Audience Exited"
    computed: str = "Trait Computed"


@dataclass(frozen=True, slots=True)
class Connection:
    """One definition to one destination: exactly one of audience and trait is given."""

    audience: str | None = None
    trait: str | None = None
    calls: tuple[Call, ...] = ("identify",)
    event_names: EventNames = EventNames()
    ids: Mapping[str, Literal["first", "last", "all"]] = field(default_factory=dict)
    """Identifier type → which of its values go out; exits always send all."""
    resend_on_new_identifier: bool = True
    historical: bool = True
    """Whether what there is when the connection is made is told, too."""
    traits: tuple[str, ...] = ()
    """Keys that go along with every message."""
    mapping: Mapping[str, str] = field(default_factory=dict)
    """Our key → the vendor's."""
    interval_s: float | None = None
    """Lists only: seconds between two updates of the list."""


@dataclass(frozen=True, slots=True)
class Destination:
    name: str
    type: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The type's own settings, checked by the type; may hold secrets."""
    rate_per_s: float | None = None
    """Requests per second of all senders together; none: the type's own limit."""
    give_up_after_s: float | None = None
    """As in `Delivery`, for this destination; none: what holds for all."""
    connect: tuple[Connection, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    allow_networks: tuple[str, ...] = ()
    """CIDR ranges a destination may reach besides public addresses."""
    give_up_after_s: float = 14_400.0
    """A payload that has failed for so long, and `attempts_min` times, is a dead letter."""
    attempts_min: int = 3
    parked_max: int = 10_000
    """Payloads of one lane waiting for another try; at the limit the lane stops reading."""
    in_flight_max: int = 64
    """Requests of one lane under way at once."""
    list_first_wait_s: float = 60.0
    """From a list's first member to its first update, so that an audience that comes in goes out whole."""


@dataclass(frozen=True, slots=True)
class Stream:
    batch_records: int = 2_000
    """Most records of one partition in one step of the commit protocol."""
    compute_budget_s: float = 0.1
    """A step has fewer records where computing them would take longer: everything else of the worker waits for it."""
    timer_grace_ms: int = 200
    """Timers fire this much after they are due, so that records of the same moment come first."""
    revoke_budget_s: float = 5.0
    """Time to finish a batch when its partition is taken away; then it is dropped, which is safe."""
    flush_interval_s: float = 600.0
    store_memory_bytes: int = 268_435_456
    """Block cache and write buffers of all partitions of one worker together."""


@dataclass(frozen=True, slots=True)
class HealthSettings:
    host: str = "127.0.0.1"
    port: int = 0
    """0: any free one, written to DATA/run/<name>.json."""
    stalled_after_s: float = 60.0
    """Lag and no commit for so long: the process logs every stack and exits."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a configuration file says."""

    space: Space = Space()
    kafka: Kafka = Kafka()
    sources: tuple[Source, ...] = ()
    api: Api = Api()
    identity: Identity = field(default_factory=Identity)
    audiences: tuple[DefinitionText, ...] = ()
    traits: tuple[DefinitionText, ...] = ()
    destinations: tuple[Destination, ...] = ()
    delivery: Delivery = Delivery()
    stream: Stream = Stream()
    health: HealthSettings = HealthSettings()


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What one worker process is told on its command line."""

    data_dir: Path
    brokers: str
    """`host:port,host:port`: never `embedded`, a worker is told the address."""
    name: str
    """`stream-0`, `delivery`, `api`: names its directory and its DATA/run/<name>.json."""
    config_path: Path
