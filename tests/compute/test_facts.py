"""What an account tells its user is so at once, and makes no time pass for the user."""

from __future__ import annotations

from app.compute.apply import Application
from app.definitions.checker import compile_ready
from app.definitions.compiler import compile_plan
from app.definitions.model import Definition
from app.profiles.belonging import Belonging
from app.profiles.state import Profile

START_MS = 1_767_225_600_000
READY, _ = compile_ready(
    (
        Definition("trial", "audience", "trait('plan') = 'trial'", "ACCOUNTS"),
        Definition("active", "audience", "event('V').within(1 hour).count() >= 1"),
        Definition("wanted", "audience", "trait('trial') = true AND trait('active') = true"),
    )
)
PLAN = compile_plan(READY)


def application(profile: Profile, offset: int) -> Application:
    return Application(PLAN, profile, "prf_1", "ep0c", ("profiles.in", 0, offset))


def test_an_accounts_time_is_not_its_users() -> None:
    profile = Profile()
    profile.belonging = Belonging(accounts={"acme": [0, {}]})
    seen = application(profile, 0)
    seen.pass_time(START_MS)
    message = {"type": "track", "event": "V", "userId": "u"}
    seen.message(message, START_MS, [("user_id", "u")], received_ms=START_MS, repeat=False)
    assert [change.key for change in seen.changes] == ["active"]
    # Another user of the account has done something two hours later; of this one there may be more that waits.
    told = application(profile, 1)
    told.fact("acme", 1, {"trial": True}, START_MS + 7_200_000)
    assert profile.clock == START_MS
    assert [(change.key, change.value) for change in told.changes] == [("trial", True), ("wanted", True)]
    assert {change.at_ms for change in told.changes} == {START_MS + 7_200_000}
    assert [change.account for change in told.changes] == ["acme", ""]
    later = application(profile, 2)
    later.pass_time(START_MS + 1_800_000)
    later.message(message, START_MS + 1_800_000, [], received_ms=START_MS + 1_800_000, repeat=False)
    assert later.changes == [], "the window had run out for an event that waits"
