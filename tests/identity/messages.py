"""Messages of people whose identifiers meet, merge and contradict one another."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.oracle.scenario import Options, generate


def scenario_messages(seed: int) -> list[dict[str, Any]]:
    """What people of the oracle's generator send: devices, log-ins, aliases, a shared device, too many devices."""
    options = Options(
        events=60, profiles=5, definitions=1, merges=True, conflicts=True, anonymous=True, alias=True,
        other_identifiers=True, blocked_values=True, accounts=False,
    )  # fmt: skip
    return [each["message"] for each in generate(seed, options).records]  # type: ignore[misc]


def tangled_messages(random: Random, count: int, again: float = 0.0) -> list[dict[str, Any]]:
    """Identifiers of a few types, thrown together and aliased without any sense.

    Args:
        again: How often somebody comes again, with the same identifiers.
    """
    values = [f"v{number}" for number in range(random.choice((4, 10, 20, 50)))]
    made: list[dict[str, Any]] = []
    for _ in range(count):
        if made and random.random() < again:
            message = {**random.choice(made), "type": "track", "event": "Seen"}
            message.pop("previousId", None)
            made.append(message)
            continue
        message: dict[str, Any] = {"type": random.choice(("identify", "track", "alias", "alias")), "event": "Seen"}
        if random.random() < 0.5:
            message["userId"] = random.choice((*values, "null"))
        if random.random() < 0.5:
            message["anonymousId"] = random.choice((*values, "000"))
        if message["type"] == "alias" and random.random() < 0.9:
            message["previousId"] = random.choice((*values, "-1"))
        email = {"email": random.choice(values)} if random.random() < 0.4 else {}
        message["traits"], message["context"] = email, {"traits": email}
        if random.random() < 0.2:
            message["context"]["device"] = {"type": "ios", "advertisingId": random.choice(values)}
        if random.random() < 0.2:
            message["context"]["externalIds"] = [
                {"type": random.choice(("crm", "email", "zip")), "id": random.choice(values), "collection": "users",
                 "encoding": "none"}
                for _ in range(random.randint(1, 3))
            ]  # fmt: skip
        made.append(message)
    return made


def linked_messages(random: Random, count: int) -> list[dict[str, Any]]:
    """Up to 50 devices, addresses and customer numbers that come alone at first, and then turn out to be together."""
    numbers = range(random.choice((8, 20, 50)))
    together = random.choice((0.05, 0.2, 0.4))
    made: list[dict[str, Any]] = []
    for _ in range(count):
        message: dict[str, Any] = {"type": "track", "event": "Seen", "context": {}}
        for number in random.sample(numbers, 2 if random.random() < together else 1):
            if number % 3 == 0 or "anonymousId" not in message:
                message["anonymousId"] = f"device-{number}"
            elif number % 3 == 1:
                message["context"]["traits"] = {"email": f"{number}@example.org"}
            else:
                crm = {"type": "crm", "id": f"c{number}", "collection": "users", "encoding": "none"}
                message["context"]["externalIds"] = [crm]
        if random.random() < together / 3:
            message |= {"type": "alias", "previousId": f"device-{random.choice(numbers)}", "userId": "u0"}
        made.append(message)
    return made
