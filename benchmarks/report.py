"""Tables, and their place between the markers of benchmarks/README.md."""

from collections.abc import Sequence
from pathlib import Path

README = Path(__file__).with_name("README.md")


class MarkersMissing(Exception):
    """The README has no place for a section; who edited the README puts the markers back."""

    def __init__(self, section: str) -> None:
        super().__init__(f"no lines {begin(section)} … {end(section)}, each once and in this order")


def begin(section: str) -> str:
    return f"<!-- {section}: begin -->"


def end(section: str) -> str:
    return f"<!-- {section}: end -->"


def replace_section(text: str, section: str, body: str) -> str:
    """The text with `body` between the section's markers; all else stays as it was.

    Raises:
        MarkersMissing: a marker is absent, there twice, or in the wrong order.
    """
    first, last = begin(section), end(section)
    if text.count(first) != 1 or text.count(last) != 1 or text.index(first) > text.index(last):
        raise MarkersMissing(section)
    head, _, rest = text.partition(first)
    _, _, tail = rest.partition(last)
    return f"{head}{first}\n\n{body.strip()}\n\n{last}{tail}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table: the first and the last column are text, those between are figures and stand on the right."""
    lines = [header, ["---", *["---:"] * (len(header) - 2), "---"], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def fenced(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


def write_section(section: str, body: str, path: Path = README) -> None:
    path.write_text(replace_section(path.read_text("utf-8"), section, body), "utf-8")
