"""Google Ads Customer Match, by the Data Manager API.

Needs: an OAuth client whose user may upload to the account (no developer token), or the key file of a service account
that may; and the account's id. Members are known by e-mail address or phone, hashed; name, country and postcode go
along where a profile has the traits first_name, last_name, country and postcode, all four. Google wants six hours
between updates, and a list is of use from 100 people.

Sources: as in `app.activation.data_manager` (2026-07-30).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from app.activation.data_manager import (
    ACCOUNT_SETTINGS,
    ENRICH,
    LIMITS,
    VENDOR,
    Account,
    DataManagerSettings,
    check,
    check_account,
    digits,
    lists,
    token,
)
from app.activation.destination import Destination
from app.activation.settings import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(DataManagerSettings):
    customer_id: Annotated[str, Rule("The Google Ads account, with or without hyphens.", check=check_account)]


def account(settings: Settings) -> Account:
    return Account("GOOGLE_ADS", digits(settings.customer_id))


DESTINATION = Destination(
    name="google_customer_match",
    vendor=VENDOR,
    account=ACCOUNT_SETTINGS,
    settings=Settings,
    limits=LIMITS,
    calls=("identify",),
    enrich=ENRICH,
    check=check,
    token=token,
    lists=lists(account),
)
