"""The other vendors of lists: what each answers where nothing is wrong, and its documented limits.

A dialect is lines of method and path, as a pattern, with the answer; `{n}` in it is another number each time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import orjson

from app.activation.outcome import Response
from tests.vendors.lists import DataManager, Facebook, ListSite, MarketoLists, Window, told

TOKEN = {"access_token": "canary-at", "expires_in": 3_599}
Dialect = Sequence[tuple[str, object]]


class Spoken(ListSite):
    """A vendor that is all dialect."""

    dialect: ClassVar[Dialect]

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        for pattern, value in self.dialect:
            if re.fullmatch(pattern, what):
                text = orjson.dumps(value).decode().replace("{n}", str(len(self.asked)))
                return Response(200, {}, text.encode())
        raise AssertionError(f"the documentation does not know {what}")


class HubSpot(Spoken):
    windows: ClassVar = (Window("in 10 s", "", 190, 10.0),)
    dialect: ClassVar = (
        ("POST /crm/v3/lists", {"list": {"listId": "{n}"}}),
        (r"PUT /crm/v3/lists/\d+/memberships/add-and-remove", {"recordIdsMissing": []}),
    )

    def throttled(self, window: str) -> Response:
        return told({"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}, 429)

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        if what != "POST /crm/v3/objects/contacts/batch/upsert":
            return super().answer(what, query, body)
        found = [{"id": f"c-{one['id']}", "properties": {"email": one["id"]}} for one in body["inputs"]]
        return told({"status": "COMPLETE", "results": found})


def spoken(*windows: Window, dialect: Dialect) -> type[Spoken]:
    """A vendor's class."""
    return type("Spoken", (Spoken,), {"windows": windows, "dialect": dialect})


SITES: Mapping[str, type[ListSite]] = {
    "amplitude_cohorts": spoken(
        Window("a second", "", 100, 1.0),
        dialect=[
            ("POST /api/3/cohorts/upload", {"cohortId": "c{n}"}),
            ("POST /api/3/cohorts/membership", {"memberships_result": []}),
        ],
    ),
    "braze_cohorts": spoken(
        Window("in 3 s", "", 3_000, 3.0),
        dialect=[("POST /partners/acme/cohorts(/users)?", {"message": "success"})],
    ),
    "customerio_segments": spoken(
        Window("in 3 s", "", 3_000, 3.0),
        dialect=[
            ("POST /v1/segments", {"segment": {"id": "{n}"}}),
            (r"POST /api/v1/segments/\d+/add_customers", {}),
        ],
    ),
    "dv360": DataManager,
    "facebook_audiences": Facebook,
    "google_customer_match": DataManager,
    "hubspot_lists": HubSpot,
    "iterable_lists": spoken(
        Window("a second", "/api/lists", 5, 1.0),
        dialect=[("POST /api/lists", {"listId": "{n}"}), ("POST /api/lists/subscribe", {"successCount": 2})],
    ),
    "klaviyo_lists": spoken(
        Window("a second", "", 10, 1.0),
        Window("a minute", "", 150, 60.0),
        Window("lists a day", "POST /api/lists$", 150, 86_400.0),
        dialect=[
            ("POST /api/lists", {"data": {"id": "L{n}"}}),
            ("POST /api/profile-bulk-import-jobs", {"data": {"id": "j{n}"}}),
            (r"GET /api/profile-bulk-import-jobs/j\d+", {"data": {"attributes": {"status": "complete"}}}),
        ],
    ),
    "marketo_static_lists": MarketoLists,
    "pinterest_audiences": spoken(
        Window("a second", "", 100, 1.0),
        Window("writes a minute", "/ad_accounts/", 400, 60.0),
        dialect=[
            ("POST /v5/oauth/token", TOKEN),
            ("POST /v5/ad_accounts/44/(customer_lists|audiences)", {"id": "l{n}"}),
            (r"PATCH /v5/ad_accounts/44/customer_lists/l\d+", {}),
        ],
    ),
    "sendgrid_lists": spoken(
        dialect=[
            ("POST /v3/marketing/lists", {"id": "L{n}"}),
            ("PUT /v3/marketing/contacts", {"job_id": "j{n}"}),
            (r"GET /v3/marketing/contacts/imports/j\d+", {"status": "completed"}),
        ],
    ),
    "sfmc_lists": spoken(
        dialect=[
            ("POST /v2/token", TOKEN),
            ("PUT /data/v1/async/dataextensions/key:People/rows", {"requestId": "r{n}"}),
            (
                r"GET /data/v1/async/r\d+/status",
                {"status": {"requestStatus": "Complete", "resultStatus": "OK"}},
            ),
        ],
    ),
    "snapchat_audiences": spoken(
        Window("a second", "/v1/", 10, 1.0),
        dialect=[
            ("POST /login/oauth2/access_token", TOKEN),
            (
                "POST /v1/adaccounts/acc/segments",
                {"request_status": "SUCCESS", "segments": [{"segment": {"id": "s{n}"}}]},
            ),
            (r"POST /v1/segments/s\d+/users", {"request_status": "SUCCESS", "users": []}),
        ],
    ),
    "tiktok_audiences": spoken(
        dialect=[
            ("POST /open_api/v1.3/segment/audience/", {"code": 0, "data": {"audience_id": "a{n}"}}),
            ("POST /open_api/v1.3/segment/mapping/", {"code": 0}),
        ],
    ),
}
"""Type → its vendor; where no window is given, none is published."""
