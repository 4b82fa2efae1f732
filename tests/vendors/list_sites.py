"""The other vendors of lists: each keeps its members, says whom it refuses where it can, and has its limits."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from app.activation.outcome import Response
from tests.vendors.lists import DataManager, Facebook, ListSite, MarketoLists, Window, told

TOKEN = {"access_token": "canary-at", "expires_in": 3_599}


def unknown(what: str) -> AssertionError:
    return AssertionError(f"the documentation does not know {what}")


class Amplitude(ListSite):
    windows: ClassVar = (Window("a second", "", 100, 1.0),)

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /api/3/cohorts/upload":
                return told({"cohortId": self.made(members=body["ids"])})
            case "POST /api/3/cohorts/membership":
                (one,) = body["memberships"]
                skipped = self.change(body["cohort_id"], one["ids"], add=one["operation"] == "ADD")
                return told({"memberships_result": [{"operation": one["operation"], "skipped_ids": skipped}]})
        raise unknown(what)


class Braze(ListSite):
    """A cohort's id is the sender's."""

    windows: ClassVar = (Window("in 3 s", "", 3_000, 3.0),)

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /partners/acme/cohorts":
                self.made(body["cohort_id"])
            case "POST /partners/acme/cohorts/users":
                (one,) = body["cohort_changes"]
                self.change(body["cohort_id"], one["user_ids"], add=not one.get("should_remove"))
            case _:
                raise unknown(what)
        return told({"message": "success"}, 201)


class CustomerIo(ListSite):
    windows: ClassVar = (Window("in 3 s", "", 3_000, 3.0),)

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        if what == "POST /v1/segments":
            return told({"segment": {"id": int(self.made())}})
        found = re.fullmatch(r"POST /api/v1/segments/(\d+)/(add|remove)_customers", what)
        if found is None:
            raise unknown(what)
        self.change(found[1], body["ids"], add=found[2] == "add")
        return told({})


class HubSpot(ListSite):
    """Contacts are made by an upsert, which leaves out those that cannot be; lists hold their records."""

    windows: ClassVar = (Window("in 10 s", "", 190, 10.0),)
    CONTACTS = "POST /crm/v3/objects/contacts/batch/"

    def __init__(self) -> None:
        super().__init__()
        self.contacts: set[str] = set()

    def throttled(self, window: str) -> Response:
        return told({"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}, 429)

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        if what == "POST /crm/v3/lists":
            return told({"list": {"listId": self.made()}})
        if what in (self.CONTACTS + "upsert", self.CONTACTS + "read"):
            emails = [one["id"] for one in body["inputs"]]
            assert len(emails) <= 100
            self.contacts |= {*emails} - self.bad if what.endswith("upsert") else set()
            found = [{"id": f"c-{who}", "properties": {"email": who}} for who in emails if who in self.contacts]
            return told({"status": "COMPLETE", "results": found}, 200 if len(found) == len(emails) else 207)
        change = re.fullmatch(r"PUT /crm/v3/lists/(\d+)/memberships/add-and-remove", what)
        if change is None:
            raise unknown(what)
        self.change(change[1], [id_.removeprefix("c-") for id_ in body["recordIdsToAdd"]], add=True)
        self.change(change[1], [id_.removeprefix("c-") for id_ in body["recordIdsToRemove"]], add=False)
        return told({"recordIdsMissing": []})


class Iterable(ListSite):
    windows: ClassVar = (Window("a second", "/api/lists", 5, 1.0),)

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /api/lists":
                return told({"listId": int(self.made())})
            case "POST /api/lists/subscribe" | "POST /api/lists/unsubscribe":
                people = [one.get("userId") or one["email"] for one in body["subscribers"]]
                refused = self.change(str(body["listId"]), people, add=what.endswith("/subscribe"))
                return told({"successCount": len(people) - len(refused), "invalidUserIds": refused})
        raise unknown(what)


class Klaviyo(ListSite):
    """Imports are jobs, which name whom they could not take."""

    windows: ClassVar = (
        Window("a second", "", 10, 1.0), Window("a minute", "", 150, 60.0),
        Window("lists a day", "POST /api/lists$", 150, 86_400.0),
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._jobs: list[list[str]] = []
        """Whom each has refused."""

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /api/lists":
                return told({"data": {"id": self.made()}}, 201)
            case "POST /api/profile-bulk-import-jobs":
                job = body["data"]
                (to,) = job["relationships"]["lists"]["data"]
                emails = [one["attributes"]["email"] for one in job["attributes"]["profiles"]["data"]]
                self._jobs.append(self.change(to["id"], emails, add=True))
                return told({"data": {"id": f"j{len(self._jobs)}"}}, 202)
            case "GET /api/profiles":
                emails = re.findall(r'"([^"]*)"', query["filter"])
                assert len(emails) <= 100
                return told({"data": [{"type": "profile", "id": f"p-{email}"} for email in emails]})
        if found := re.fullmatch(r"DELETE /api/lists/(\d+)/relationships/profiles", what):
            self.change(found[1], [one["id"].removeprefix("p-") for one in body["data"]], add=False)
            return Response(204)
        found = re.fullmatch(r"GET /api/profile-bulk-import-jobs/j(\d+)(/import-errors)?", what)
        if found is None:
            raise unknown(what)
        refused = self._jobs[int(found[1]) - 1]
        if found[2]:
            return told({"data": [{"attributes": {"original_payload": {"email": who}}} for who in refused]})
        return told({"data": {"attributes": {"status": "complete", "failed_count": len(refused)}}})


class Pinterest(ListSite):
    windows: ClassVar = (Window("a second", "", 100, 1.0), Window("writes a minute", "/ad_accounts/", 400, 60.0))

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /v5/oauth/token":
                return told(TOKEN)
            case "POST /v5/ad_accounts/44/customer_lists":
                return told({"id": self.made(members=body["records"].split(","))})
            case "POST /v5/ad_accounts/44/audiences":
                assert body["rule"]["customer_list_id"] in self.lists
                return told({"id": "a1"})
        place, _, list_ = what.rpartition("/")
        if place != "PATCH /v5/ad_accounts/44/customer_lists":
            raise unknown(what)
        self.change(list_, body["records"].split(","), add=body["operation_type"] == "ADD")
        return told({"id": list_})


class SendGrid(ListSite):
    """One bad address fails a request of additions, and is named."""

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /v3/marketing/lists":
                return told({"id": self.made()}, 201)
            case "PUT /v3/marketing/contacts":
                return self._added(body["list_ids"], [one["email"] for one in body["contacts"]])
            case "POST /v3/marketing/contacts/search/emails":
                assert len(body["emails"]) <= 100
                return told({"result": {email: {"contact": {"id": f"c-{email}"}} for email in body["emails"]}})
        if re.fullmatch(r"GET /v3/marketing/contacts/imports/j\d+", what):
            return told({"status": "completed"})
        found = re.fullmatch(r"DELETE /v3/marketing/lists/(\d+)/contacts", what)
        if found is None:
            raise unknown(what)
        self.change(found[1], [id_.removeprefix("c-") for id_ in query["contact_ids"].split(",")], add=False)
        return told({"job_id": f"j{len(self.asked)}"}, 202)

    def _added(self, lists: list[str], emails: list[str]) -> Response:
        (list_,), bad = lists, [email for email in emails if email in self.bad]
        if bad:
            return told({"errors": [{"message": f"email '{email}' is not valid"} for email in bad]}, 400)
        self.change(list_, emails, add=True)
        return told({"job_id": f"j{len(self.asked)}"}, 202)


class MarketingCloud(ListSite):
    """A list is a column of a data extension. Rows are written by jobs, whose results name those that failed."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: list[list[bool]] = []
        """Of each row whether it was written."""

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /v2/token":
                return told(TOKEN)
            case "PUT /data/v1/async/dataextensions/key:People/rows":
                self._jobs.append([self._written(**row) for row in body["items"]])
                return told({"requestId": f"r{len(self._jobs)}"}, 202)
        found = re.fullmatch(r"GET /data/v1/async/r(\d+)/(status|results)", what)
        if found is None:
            raise unknown(what)
        rows = self._jobs[int(found[1]) - 1]
        if found[2] == "results":
            return told({"items": [{"status": "OK" if written else "Error"} for written in rows]})
        return told({"status": {"requestStatus": "Complete", "resultStatus": "OK" if all(rows) else "Has Errors"}})

    def _written(self, ContactKey: str, **column: bool) -> bool:
        ((list_, add),) = column.items()
        return not self.change(self.made(list_), [ContactKey], add=add)


class Snapchat(ListSite):
    windows: ClassVar = (Window("a second", "/v1/", 10, 1.0),)

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /login/oauth2/access_token":
                return told(TOKEN)
            case "POST /v1/adaccounts/acc/segments":
                return told({"request_status": "SUCCESS", "segments": [{"segment": {"id": self.made()}}]})
        found = re.fullmatch(r"(POST|DELETE) /v1/segments/(\d+)/users", what)
        if found is None:
            raise unknown(what)
        (users,) = body["users"]
        self.change(found[2], [row[0] for row in users["data"]], add=found[1] == "POST")
        return told({"request_status": "SUCCESS", "users": [{"sub_request_status": "SUCCESS"}]})


class TikTok(ListSite):
    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        match what:
            case "POST /open_api/v1.3/segment/audience/":
                return told({"code": 0, "data": {"audience_id": self.made()}})
            case "POST /open_api/v1.3/segment/mapping/":
                for row in body["batch_data"]:
                    (list_,) = row[0]["audience_ids"]
                    self.change(list_, [row[0]["id"]], add=body["action"] == "add")
                return told({"code": 0})
        raise unknown(what)


class AnyLists(ListSite):
    """What `http_lists` is told of: it names whom it refuses."""

    def answer(self, what: str, query: dict[str, str], body: Any) -> Response:
        if what == "POST /lists":
            return told({"id": self.made()}, 201)
        found = re.fullmatch(r"POST /lists/(\d+)/members(/remove)?", what)
        if found is None:
            raise unknown(what)
        return told({"failed": self.change(found[1], body["members"], add=not found[2])})


SITES: Mapping[str, type[ListSite]] = {
    "amplitude_cohorts": Amplitude, "braze_cohorts": Braze, "customerio_segments": CustomerIo, "dv360": DataManager,
    "facebook_audiences": Facebook, "google_customer_match": DataManager, "http_lists": AnyLists,
    "hubspot_lists": HubSpot, "iterable_lists": Iterable, "klaviyo_lists": Klaviyo,
    "marketo_static_lists": MarketoLists, "pinterest_audiences": Pinterest, "sendgrid_lists": SendGrid,
    "sfmc_lists": MarketingCloud, "snapchat_audiences": Snapchat, "tiktok_audiences": TikTok,
}  # fmt: skip
"""Type → its vendor; where it has no window, none is published."""
RATES = {
    "amplitude_cohorts": 1, "braze_cohorts": 5, "customerio_segments": 10, "dv360": 4, "facebook_audiences": 5,
    "google_customer_match": 4, "http_lists": 10, "hubspot_lists": 5, "iterable_lists": 5, "klaviyo_lists": 2,
    "marketo_static_lists": 5, "pinterest_audiences": 5, "sendgrid_lists": 100, "sfmc_lists": 20,
    "snapchat_audiences": 8, "tiktok_audiences": 5,
}  # fmt: skip
"""Requests a second, as agreed: the original product's, and ours for the vendors that it does not name."""
AT_ONCE = {"marketo_static_lists": 10, "amplitude_cohorts": 1}
"""Requests at once that a vendor bears, where that is documented."""
