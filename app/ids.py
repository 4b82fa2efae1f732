"""The names of things, and how a message id is made. Everything may import this; it imports nothing of ours."""

from hashlib import blake2b, sha1
from typing import NewType
from uuid import UUID

ProfileId = NewType("ProfileId", str)
"""`prf_` and 24 hexadecimal digits."""

TimeMs = NewType("TimeMs", int)
"""An instant: milliseconds since 1970-01-01 UTC."""

MESSAGE_NAMESPACE = UUID("6f0d3b0e-8f0a-5a57-9c39-6b2b7a1c1d7e")
_NAMESPACE = MESSAGE_NAMESPACE.bytes
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""A UUID's 17th digit, whose upper two bits are 10."""


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
    """`str(uuid.uuid5(MESSAGE_NAMESPACE, name))` in a fifth of its time: each change and payload needs one."""
    text = sha1(_NAMESPACE + name.encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def profile_id(identifier_type: str, value: str, erased: int = 0) -> ProfileId:
    """The profile that an identifier belongs to while no other identifier has been linked to it.

    Args:
        erased: How many profiles that it made have been erased before: an id is never given twice.
    """
    # No type is empty, so no identifier's own text begins with a colon.
    before = f":{erased}:" if erased else ""
    return ProfileId("prf_" + blake2b(f"{before}{identifier_type}:{value}".encode(), digest_size=12).hexdigest())


def definition_id(kind: str, key: str) -> str:
    """`aud_…` or `tra_…`: what vendors see as the computation's id. Keys are never reused, so neither is this."""
    return kind[:3] + "_" + blake2b(f"{kind}:{key}".encode(), digest_size=12).hexdigest()
