"""The configuration: a YAML file in, frozen typed settings out, or every fault at once with line and column.

Takes: a path and an environment. Gives: `Loaded`, settings with the places they came from. Promises: nothing that
came from the environment or a secret file is in a message or a repr; no file can cost unbounded time or memory.
"""

from app.settings.load import Draft, Loaded, load, read
from app.settings.model import (
    EMBEDDED,
    Api,
    Connection,
    DefinitionText,
    Delivery,
    Destination,
    EventNames,
    HealthSettings,
    IdentifierSource,
    Identity,
    IdentityLimit,
    Kafka,
    Role,
    Security,
    Settings,
    Source,
    Space,
    Stream,
    Token,
    WorkerOptions,
)
from app.settings.positions import DocPath, Place, Positions
from app.settings.secret import Secret
from app.settings.validation import did_you_mean, schema

__all__ = [
    "EMBEDDED",
    "Api",
    "Connection",
    "DefinitionText",
    "Delivery",
    "Destination",
    "DocPath",
    "Draft",
    "EventNames",
    "HealthSettings",
    "IdentifierSource",
    "Identity",
    "IdentityLimit",
    "Kafka",
    "Loaded",
    "Place",
    "Positions",
    "Role",
    "Secret",
    "Security",
    "Settings",
    "Source",
    "Space",
    "Stream",
    "Token",
    "WorkerOptions",
    "did_you_mean",
    "load",
    "read",
    "schema",
]
