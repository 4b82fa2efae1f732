"""`${NAME}`, `${NAME:-default}` and `${file:PATH}` in a configuration's values; `$${` is a literal `${`."""

import re
from collections.abc import Mapping
from pathlib import Path

FILE_BYTES_MAX = 65_536
_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Interpolated(str):
    """A text of which some part came from outside the file: it may be secret, so no message may show it."""

    __slots__ = ()


class InterpolationError(Exception):
    """A reference that leads nowhere; its message names the reference, never a value."""


def interpolate(text: str, environ: Mapping[str, str], base: Path) -> str:
    """The text with its references replaced: the very text where there was none, else an `Interpolated`.

    Args:
        base: The directory that relative file paths start from.
    Raises:
        InterpolationError: a variable that is not set, a file that cannot be read, a malformed reference.
    """
    if "${" not in text:
        return text
    outside = False

    def replace(match: re.Match[str]) -> str:
        nonlocal outside
        if match[0] == "$${":
            return "${"
        if not match[0].endswith("}"):
            raise InterpolationError("`${` without its `}`; write `$${` for a literal `${`")
        outside = True
        return _resolve(match[1], environ, base)

    value = _REFERENCE.sub(replace, text)
    return Interpolated(value) if outside else value


def _resolve(reference: str, environ: Mapping[str, str], base: Path) -> str:
    if reference.startswith("file:"):
        return _read(base / reference.removeprefix("file:"), reference)
    name, has_default, default = reference.partition(":-")
    if not _NAME.fullmatch(name):
        raise InterpolationError("a reference is ${NAME}, ${NAME:-default} or ${file:PATH}")
    value = environ.get(name, "")
    if value:
        return value
    if has_default:
        return default
    state = "is not set" if name not in environ else "is empty"
    raise InterpolationError(f"the environment variable {name} {state}; set it, or write ${{{name}:-default}}")


def _read(path: Path, reference: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise InterpolationError(f"${{{reference}}}: {error.strerror or 'cannot be read'}") from None
    if len(content) > FILE_BYTES_MAX:
        raise InterpolationError(f"${{{reference}}}: larger than {FILE_BYTES_MAX} bytes")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise InterpolationError(f"${{{reference}}}: not UTF-8 text") from None
