"""A migration as a configuration: YAML that `headwater validate` accepts, with what is missing as comments."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import yaml

from app.cli.migration.mapping import Carried, LeftOut, Migration


def document(migration: Migration, source: str) -> str:
    """The text of the file."""
    lines = [*_comment(f"Definitions of {source}, carried over by `headwater import segment`.")]
    if migration.left_out:
        lines += _comment("What is not carried over is at the end, with the reason.")
    lines += [line for note in migration.notes for line in _comment(note)]
    for section, carried in (("audiences", migration.of("audience")), ("traits", migration.of("trait"))):
        if carried:
            lines += ["", f"{section}:", *_entries(carried)]
    if migration.left_out:
        lines += ["", *_comment("Not carried over:")]
    for each in migration.left_out:
        lines += ["#", *_left_out(each)]
    return "\n".join(lines) + "\n"


def _entries(carried: Sequence[Carried]) -> Iterator[str]:
    for each in carried:
        definition = each.definition
        yield f"  - key: {definition.key}"
        for note in each.notes:
            yield from (f"    {line}" for line in _comment(note))
        if definition.name:
            yield f"    name: {_quoted(definition.name)}"
        if each.description:
            yield f"    description: {_quoted(each.description)}"
        yield from (f"    {line}" for line in _query(definition.query))
        if definition.scope != "USERS":
            yield f"    type: {definition.scope}"
        if not definition.historical:
            yield "    historical: false"
        if definition.include_anonymous_users:
            yield "    include_anonymous_users: true"


def _left_out(each: LeftOut) -> Iterator[str]:
    """With what it would be, so that it can be mended and taken in."""
    yield from _comment(f"{each.name or each.key}: {each.reason}")
    if each.mendable is not None:
        yield from (f"# {line}" if line else "#" for line in _entries([each.mendable]))


def _query(query: str) -> list[str]:
    """As a block where YAML keeps every character of one, else in quotes. It begins and ends with no space."""
    lines = _escaped(query).split("\n")
    if all(line.replace("\t", " ").isprintable() for line in lines):
        return ["query: |-", *(f"  {line}" if line else "" for line in lines)]
    return [f"query: {_quoted(query)}"]


def _quoted(text: str) -> str:
    """In double quotes, on one line."""
    written: str = yaml.safe_dump(_escaped(text), default_style='"', allow_unicode=True, width=2**31)
    return written.removesuffix("\n")


def _escaped(text: str) -> str:
    """A text that `${…}` stands in is no reference to the environment."""
    return text.replace("${", "$${")


def _comment(text: str) -> list[str]:
    """YAML ends a comment at more than line feeds, so nothing unprintable goes in."""
    return [
        "# " + "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
        for line in text.split("\n")
    ]
