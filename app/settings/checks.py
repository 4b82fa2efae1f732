"""What a schema cannot say: names given twice, names that lead nowhere, networks, what belongs together.

Works on the document's values before they are settings, so that one fault does not hide another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_network

from app.errors import Fault
from app.settings.interpolation import Interpolated
from app.settings.positions import DocPath, Positions
from app.settings.validation import Json, did_you_mean

Check = Callable[[Json, Positions], Iterator[Fault]]


def check(document: Json, positions: Positions) -> Iterator[Fault]:
    """Every fault that the schema cannot see; values of a wrong type are passed over, the schema has them."""
    if isinstance(document, dict):
        for one in (_duplicates, _connections, _identifiers, _patterns, _networks, _security, _brokers):
            yield from one(document, positions)


def _items(document: Json, section: str) -> Iterator[tuple[DocPath, dict[str, Json]]]:
    found = document.get(section)
    for index, item in enumerate(found if isinstance(found, list) else []):
        if isinstance(item, dict):
            yield (section, index), item


def _section(document: Json, *names: str) -> dict[str, Json]:
    for name in names:
        document = document.get(name)
        if not isinstance(document, dict):
            return {}
    found: dict[str, Json] = document
    return found


def _duplicates(document: Json, positions: Positions) -> Iterator[Fault]:
    # Audiences and traits share one space of keys: `trait('key')` means either.
    groups = ((("audiences", "traits"), "key"), (("destinations",), "name"), (("sources",), "id"))
    for sections, field in groups:
        seen: dict[str, DocPath] = {}
        for section in sections:
            for path, item in _items(document, section):
                name = item.get(field)
                if not isinstance(name, str):
                    continue
                if name in seen:
                    line = positions.of((*seen[name], field)).line
                    yield positions.fault((*path, field), f"{name!r} is given twice; first on line {line}")
                else:
                    seen[name] = path
    yield from _shared_secrets(document, positions)


def _shared_secrets(document: Json, positions: Positions) -> Iterator[Fault]:
    tokens = _section(document, "api").get("tokens")
    groups: list[tuple[DocPath, Json, str]] = [
        (("sources",), document.get("sources"), "write_key"),
        (("api", "tokens"), tokens, "token"),
    ]
    for base, items, field in groups:
        seen: dict[str, DocPath] = {}
        for index, item in enumerate(items if isinstance(items, list) else []):
            value = item.get(field) if isinstance(item, dict) else None
            if not isinstance(value, str) or not value:
                continue
            path = (*base, index, field)
            if value in seen:
                line = positions.of(seen[value]).line
                yield positions.fault(path, f"the same secret as on line {line}; each needs its own")
            seen.setdefault(value, path)


def _connections(document: Json, positions: Positions) -> Iterator[Fault]:
    known = {
        "audience": [item["key"] for _, item in _items(document, "audiences") if isinstance(item.get("key"), str)],
        "trait": [item["key"] for _, item in _items(document, "traits") if isinstance(item.get("key"), str)],
    }
    for base, destination in _items(document, "destinations"):
        connect = destination.get("connect")
        seen: dict[tuple[str, str], DocPath] = {}
        for index, item in enumerate(connect if isinstance(connect, list) else []):
            if not isinstance(item, dict):
                continue
            path = (*base, "connect", index)
            given = [kind for kind in known if kind in item]
            if len(given) != 1:
                what = "both an audience and a trait" if given else "neither an audience nor a trait"
                yield positions.fault(path, f"a connection names one definition; this one names {what}")
                continue
            kind, key = given[0], item[given[0]]
            if not isinstance(key, str):
                continue
            if key not in known[kind]:
                yield positions.fault((*path, kind), f"no {kind} has the key {key!r}{_elsewhere(kind, key, known)}")
            elif (kind, key) in seen:
                line = positions.of(seen[kind, key]).line
                yield positions.fault((*path, kind), f"{key!r} is connected twice; first on line {line}")
            seen.setdefault((kind, key), (*path, kind))


def _elsewhere(kind: str, key: str, known: dict[str, list[str]]) -> str:
    other = "trait" if kind == "audience" else "audience"
    if key in known[other]:
        article = "an" if other == "audience" else "a"
        return f"; it is {article} {other}: write `{other}: {key}`"
    return did_you_mean(key, known[kind])


def _identifiers(document: Json, positions: Positions) -> Iterator[Fault]:
    identifiers = _section(document, "identity").get("identifiers")
    seen: dict[tuple[Json, ...], DocPath] = {}
    for index, item in enumerate(identifiers if isinstance(identifiers, list) else []):
        if not isinstance(item, dict):
            continue
        path: DocPath = ("identity", "identifiers", index)
        given = [source for source in ("trait", "property") if source in item]
        if len(given) != 1:
            what = "both a trait and a property" if given else "neither a trait nor a property"
            yield positions.fault(path, f"an identifier is found in one place; this one names {what}")
            continue
        place = (item.get("type"), given[0], item[given[0]])
        if not all(isinstance(each, str) for each in place):
            continue
        if place in seen:
            yield positions.fault(path, f"given twice; first on line {positions.of(seen[place]).line}")
        seen.setdefault(place, path)


def _patterns(document: Json, positions: Positions) -> Iterator[Fault]:
    patterns = _section(document, "identity").get("blocked_patterns")
    for index, pattern in enumerate(patterns if isinstance(patterns, list) else []):
        if isinstance(pattern, str) and pattern and not pattern.strip("*"):
            yield positions.fault(
                ("identity", "blocked_patterns", index), "blocks every value, so that nobody is known"
            )


def _networks(document: Json, positions: Positions) -> Iterator[Fault]:
    networks = _section(document, "delivery").get("allow_networks")
    for index, text in enumerate(networks if isinstance(networks, list) else []):
        if not isinstance(text, str):
            continue
        try:
            ip_network(text)
        except ValueError as error:
            reason = "a value that is not shown" if isinstance(text, Interpolated) else str(error)
            message = f"expected a network such as 10.0.0.0/8: {reason}"
            yield positions.fault(("delivery", "allow_networks", index), message)


def _security(document: Json, positions: Positions) -> Iterator[Fault]:
    path: DocPath = ("kafka", "security")
    security = _section(document, *map(str, path))
    protocol = security.get("protocol", "PLAINTEXT")
    if not isinstance(protocol, str):
        return
    sasl = ("mechanism", "username", "password")
    if protocol.startswith("SASL"):
        for name in sasl:
            if name not in security:
                yield positions.fault(path, f"{protocol} needs {name!r}")
    else:
        for name in sasl:
            if name in security:
                yield positions.key_fault(
                    (*path, name), f"is of no use with {protocol}; say SASL_SSL or SASL_PLAINTEXT"
                )
    if "SSL" not in protocol.split("_"):
        for name in ("ca_file", "cert_file", "key_file", "key_password", "check_hostname"):
            if name in security:
                yield positions.key_fault((*path, name), f"is of no use with {protocol}; say SSL or SASL_SSL")
    elif ("cert_file" in security) != ("key_file" in security):
        yield positions.fault(path, "'cert_file' and 'key_file' belong together")


def _brokers(document: Json, positions: Positions) -> Iterator[Fault]:
    kafka = _section(document, "kafka")
    brokers = kafka.get("brokers", "embedded")
    if not isinstance(brokers, str):
        return
    if brokers == "embedded":
        replication = kafka.get("replication", 1)
        if isinstance(replication, int) and replication > 1:
            yield positions.fault(("kafka", "replication"), "the embedded broker is one broker: at most 1")
        if _section(document, "kafka", "security").get("protocol", "PLAINTEXT") != "PLAINTEXT":
            yield positions.fault(("kafka", "security", "protocol"), "the embedded broker speaks PLAINTEXT on loopback")
        return
    for address in brokers.split(","):
        port = address.rpartition(":")[2]
        if port.isdigit() and not 1 <= int(port) <= 65_535:
            yield positions.fault(("kafka", "brokers"), "a port is 1 to 65535")
