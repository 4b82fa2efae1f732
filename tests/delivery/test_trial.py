"""One message to a vendor, with all that was said, and nothing that must not be seen."""

from __future__ import annotations

from collections.abc import Callable

import orjson

from app.activation.destination import Request, Secret
from app.activation.outcome import Failure, Reason, Response
from app.activation.payload import Payload, parse_payload
from app.clock import SystemClock
from app.delivery.trial import Trial, try_one
from tests.contract.destination_fixtures import configured
from tests.contract.destination_fixtures import record as record_of
from tests.delivery.records import CANARY, SECRET, webhook

TOKEN = "canary-access-token"


def payload() -> Payload:
    short = {"id": "m1", "profile": "prf_1", "kind": "entered", "ids": {"user_id": "u-1", "email": "p@example.com"}}
    return parse_payload(orjson.dumps(record_of(short)))


async def tried(name: str, reply: Callable[[Request], Response | Failure]) -> Trial:
    async def deliver(request: Request, timeout_s: float) -> Response | Failure:
        return reply(request)

    destination = webhook() if name == "webhook" else configured(name)
    return await try_one(destination, payload(), deliver, SystemClock())


async def test_what_was_sent_and_answered_is_shown_without_secrets():
    def echo(request: Request) -> Response:
        headers = {
            name: value.reveal() if isinstance(value, Secret) else value for name, value in request.headers.items()
        }
        return Response(422, {"x-echo": CANARY}, orjson.dumps(headers) + SECRET.encode())

    trial = await tried("webhook", echo)
    assert (trial.delivered, trial.word, trial.reason, trial.message) == (
        False, "rejected", Reason.REFUSED, "HTTP status 422",
    )  # fmt: skip
    ((said),) = trial.said
    assert (said.request["method"], said.request["url"]) == ("POST", "https://h.example")
    assert orjson.loads(str(said.request["body"]))["userId"] == "u-1"
    assert said.response is not None
    assert said.response["status"] == 422
    shown = repr(trial)
    assert "webhook-signature" in shown
    for secret in (CANARY, SECRET, SECRET.removeprefix("whsec_")):
        assert secret not in shown


async def test_a_token_is_asked_for_and_shown_to_nobody():
    def reply(request: Request) -> Response:
        url = request.url.reveal() if isinstance(request.url, Secret) else request.url
        if url.endswith("/token"):
            return Response(200, {}, orjson.dumps({"access_token": TOKEN, "instance_url": "https://x"}))
        return Response(200, {"x-echo": f"Bearer {TOKEN}"}, orjson.dumps([{"success": True, "you": TOKEN}]))

    trial = await tried("salesforce", reply)
    assert (trial.delivered, trial.word, trial.reason) == (True, "delivered", None)
    asked, told = trial.said
    assert asked.request == {"method": "POST", "url": "https://login.salesforce.com", "for": "an access token"}
    assert asked.response == {"status": 200}
    assert told.response is not None
    assert TOKEN not in repr(trial)
    assert "canary" not in repr(trial)


async def test_a_vendor_that_does_not_answer():
    trial = await tried("braze", lambda request: Failure(Reason.TIMEOUT, "no answer within 30 s"))
    assert (trial.word, trial.reason, trial.said[0].response) == ("retry", Reason.TIMEOUT, None)
    assert trial.said[0].failure == "no answer within 30 s"


async def test_a_vendor_that_judges_its_items_is_asked_about_the_one():
    body = {"message": "success", "errors": [{"type": "no", "input_array": "attributes", "index": 0}]}
    trial = await tried("braze", lambda request: Response(201, {}, orjson.dumps(body)))
    assert (trial.word, trial.reason) == ("rejected", Reason.REFUSED)
