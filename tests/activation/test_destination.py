"""What destinations have beyond their fixtures: signatures, settings that contradict each other, fixed hosts."""

from urllib.parse import parse_qsl

import pytest

from app.activation.destination import Attempt, Place
from app.activation.destinations import DESTINATIONS
from app.activation.destinations.kinesis import authorization
from app.errors import SettingsError
from tests.contract.destination_fixtures import configured, fixture, payload

AWS_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
AWS = {"scope": "us-east-1/service", "at": "20150830T123600Z", "key_id": "AKIDEXAMPLE", "secret": AWS_SECRET}
HOST = {"host": "example.amazonaws.com", "x-amz-date": "20150830T123600Z"}


@pytest.mark.parametrize(
    ("headers", "body", "signature"),
    [
        (HOST, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            HOST | {"content-type": "application/x-www-form-urlencoded"},
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
    ids=["post-vanilla", "post-x-www-form-urlencoded"],
)
def test_the_vectors_of_signature_version_4(headers, body, signature):
    signed = authorization(headers, body, **AWS)
    assert signed.startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders="
    )
    assert signed.endswith(f"host;x-amz-date, Signature={signature}")


WRONG = [
    ("hubspot", {"access_token": None}, "access_token"),
    ("hubspot", {"client_id": "app"}, "access_token"),
    ("hubspot", {"access_token": None, "client_id": "app", "refresh_token": "r"}, "access_token"),
    ("zendesk", {"email": None}, "api_token"),
    ("zendesk", {"access_token": "t"}, "api_token"),
    ("zendesk", {"subdomain": "evil.example/"}, "subdomain"),
    ("mailchimp", {"api_key": "nohyphen/x"}, "datacenter"),
    ("mailchimp", {"datacenter": "us6.evil"}, "datacenter"),
    ("marketo", {"account_id": "a.b"}, "account_id"),
    ("marketo", {"activities": {"Audience Entered": "one"}}, "activities"),
    ("sfmc", {"subdomain": "a@b"}, "subdomain"),
    ("kinesis", {"region": "eu-central-1.evil.example"}, "region"),
    ("kinesis", {"stream_name": "a b"}, "stream_name"),
    ("braze", {"instance": "iad-99"}, "instance"),
    ("slack", {"webhook_url": "https://hooks.slack.com.evil.example/services/T/B/c"}, "webhook_url"),
    ("slack", {"template": "{email.__class__}"}, "template"),
    ("salesforce", {"instance_url": "https://acme.my.salesforce.com.evil.example"}, "instance_url"),
    ("salesforce", {"instance_url": "https://x@acme.my.salesforce.com"}, "instance_url"),
    ("salesforce", {"object": "Contact/../Lead"}, "object"),
    ("salesforce", {"api_version": "60"}, "api_version"),
    ("pardot", {"business_unit_id": "1234"}, "business_unit_id"),
    ("responsys", {"api_url": "https://h.example/path"}, "api_url"),
    ("resci", {"key_header": "Host"}, "key_header"),
    ("klaviyo", {"revision": "new"}, "revision"),
    ("http", {"url": "https://{user_id}.example/"}, "url"),
    ("http", {"url": "https://h.example/{nobody}"}, "url"),
    ("http", {"auth": "basic"}, "username"),
    ("http", {"auth": "oauth2"}, "token_url"),
    ("http", {"format": "form"}, "format"),
    ("http", {"body": {"a": "{x}"}}, "body"),
    ("http", {"idempotency_header": "Content-Length"}, "idempotency_header"),
    ("http", {"retry_statuses": ["4xx"]}, "retry_statuses"),
]


@pytest.mark.parametrize(("name", "more", "path"), WRONG, ids=[f"{name} {path}" for name, _, path in WRONG])
def test_settings_that_cannot_be_sent_with_are_refused_without_being_told(name, more, path):
    with pytest.raises(SettingsError) as error:
        DESTINATIONS[name].configure(fixture(name)["settings"] | more)
    assert path in [fault.path for fault in error.value.faults]
    assert "canary" not in str(error.value)


def test_limits_that_settings_decide():
    assert configured("iterable", {"settings": {"bulk": True}}).limits.requests_per_s == 5
    assert configured("iterable", {"settings": {"bulk": True}}).limits.batch_items_max == 1000
    assert configured("http", {"settings": {"batch": 7, "in_flight": 3}}).limits.batch_items_max == 7


def test_a_question_about_many_leads_is_a_form():
    event = {"track": True, "kind": "entered"}
    who = [f"a.rather.long.name.{number}@mail.example.com" for number in range(200)]
    payloads = [payload({"id": f"m{number}", "ids": {"email": email}} | event) for number, email in enumerate(who)]
    request = next(configured("marketo").converse(payloads, Attempt(0)))
    assert (request.method, request.url) == ("POST", "https://123-ABC-456.mktorest.com/rest/v1/leads.json?_method=GET")
    told = {"filterType": "email", "filterValues": ",".join(who), "fields": "id,email"}
    assert dict(parse_qsl(request.body.decode())) == told


@pytest.mark.parametrize(("name", "chars"), [("zendesk", 60), ("klaviyo", 255), ("customerio", 150)])
def test_a_user_id_that_is_too_long_for_the_vendor_is_left_out(name, chars):
    def key(length: int) -> str:
        short = {"id": "m1", "kind": "entered", "ids": {"user_id": "u" * length, "email": "ana@example.com"}}
        place = configured(name).place(payload(short))
        assert isinstance(place, Place)
        return place.key

    assert key(chars) == "u" * chars
    assert key(chars + 1) == "ana@example.com"
