"""What is asked of every destination whose vendor works on jobs: how it asks how far one is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.activation.destination import Request
from app.activation.outcome import Delivered, Pause, Reason, Response, Retry
from tests.contract.destination_fixtures import configured, exchanges, payload, response, revealed, talk
from tests.contract.test_destinations import SENDERS
from tests.contract.test_list_destinations import LISTS, cases_of
from tests.contract.test_list_destinations import talk as talk_of_a_list

NOW_S = 1_700_000_000
NO_MATTER = {"sendgrid"}
"""Its first answer has said that it has them, so it does not matter that nobody knows more."""


def jobs() -> Iterator[Any]:
    """Exchanges that ask how far a job is: with the place of the first question among their steps."""
    for name in (*SENDERS, *LISTS):
        for case in exchanges(name) if name in SENDERS else cases_of(name):
            asks = [at for at, step in enumerate(case["steps"]) if step.get("after_s")]
            if asks:
                yield pytest.param(name, case, asks[0], id=f"{name}: {case['name']}")


def asked(name: str, case: dict[str, Any], first: int, *answers: Response) -> tuple[list[Request], object]:
    """The questions about the job, answered so, and what came of the exchange; None: it asks for more."""
    replies = [*(response(step["reply"]) for step in case["steps"][:first]), *answers]
    if name in LISTS:
        requests, outcome = talk_of_a_list(configured(name, case), case, replies, NOW_S)
        return requests[first:], outcome
    done = talk(configured(name, case), [payload(short) for short in case["payloads"]], replies, now_s=NOW_S)
    return [*done.requests[first:]], done.outcome


def test_there_are_as_many_as_are_known() -> None:
    assert {param.values[0] for param in jobs()} == {
        "klaviyo", "klaviyo_lists", "marketo_static_lists", "responsys_batch", "salesforce", "sendgrid",
        "sendgrid_lists", "sfmc_lists", "zendesk",
    }  # fmt: skip


@pytest.mark.parametrize(("name", "case", "first"), jobs())
def test_a_question_that_is_turned_away_is_asked_again_when_the_vendor_wants(name, case, first):
    answers = Response(429, {"retry-after": "700"}), Response(503), Response(200, {}, b"<html>")
    requests, outcome = asked(name, case, first, *answers)
    assert outcome is None
    waits = [one.after_s for one in requests]
    assert waits[1] == 700
    assert 0 < waits[0] < waits[2] <= waits[3] < 700
    assert len({revealed(one.url) for one in requests}) == 1


@pytest.mark.parametrize(("name", "case", "first"), jobs())
def test_a_question_that_is_refused_says_nothing_of_the_payloads(name, case, first):
    again, stopped = (asked(name, case, first, Response(status))[1] for status in (404, 401))
    if name in NO_MATTER:
        assert (again, stopped) == (Delivered(), Delivered())
    else:
        assert again == Retry(Reason.REFUSED, attempts_max=3)
        assert stopped == Pause(Reason.UNAUTHORIZED)


@pytest.mark.parametrize(("name", "case", "first"), jobs())
def test_a_job_of_which_nobody_says_that_it_has_ended_is_given_up(name, case, first):
    requests, outcome = asked(name, case, first)
    while outcome is None:
        requests, outcome = asked(name, case, first, *[Response(200, {}, b"<html>")] * len(requests))
    waits = [one.after_s for one in requests]
    assert outcome == (Delivered() if name in NO_MATTER else Retry(Reason.TIMEOUT))
    assert waits == sorted(waits)
    assert 120 < sum(waits) < 3_600
