"""The names of things, and how a message id is made. Everything may import this; it imports nothing of ours."""

from hashlib import blake2b, sha1
from typing import NewType
from uuid import UUID

ProfileId = NewType("ProfileId", str)
"""`prf_` and 24 hexadecimal digits."""

TimeMs = NewType("TimeMs", int)
"""An instant: milliseconds since 1970-01-01 UTC."""

MESSAGE_NAMESPACE = UUID("6f0d3b0e-8f0a-5a57-9c39-6b2b7a1c1d7e")


def message_id(
    epoch: str, topic: str, partition: int, offset: int, definition: str, version: str, profile: str, kind: str
) -> str:
    """The id of what one log record caused: the same on any worker, at any repeat, so receivers can drop repeats.

    Args:
        epoch: The source topic's id; a recreated topic is another epoch.
        kind: What about the definition: `entered:1767225600000`, with the instant, because several flips may be due
            by the time one record is applied.
    """
    return _uuid5(f"{epoch}|{topic}|{partition}|{offset}|{definition}|{version}|{profile}|{kind}")


def derived_id(message: str, *parts: str) -> str:
    """The id of one payload of a message: the same message to another destination, or for another identifier."""
    return _uuid5("|".join((message, *parts)))


def _uuid5(name: str) -> str:
    """`str(uuid.uuid5(MESSAGE_NAMESPACE, name))` in a third of its time: each change and payload needs one."""
    digest = int.from_bytes(sha1(MESSAGE_NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()[:16], "big")
    text = f"{digest & ~(0xF000 << 64) & ~(0xC000 << 48) | 0x5000 << 64 | 0x8000 << 48:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def profile_id(identifier_type: str, value: str) -> ProfileId:
    """The profile that an identifier belongs to while no other identifier has been linked to it."""
    return ProfileId("prf_" + blake2b(f"{identifier_type}:{value}".encode(), digest_size=12).hexdigest())


def definition_id(kind: str, key: str) -> str:
    """`aud_…` or `tra_…`: what vendors see as the computation's id. Keys are never reused, so neither is this."""
    return kind[:3] + "_" + blake2b(f"{kind}:{key}".encode(), digest_size=12).hexdigest()
