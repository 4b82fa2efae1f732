"""Google Display & Video 360, by the Data Manager API; as Google Ads, with an advertiser's account.

Needs: an OAuth client whose user may upload for the advertiser, or the key file of a service account that may; and the
advertiser's id. Lists that a partner account
owns lose members from Europe, so an advertiser is asked for. The older API of the product itself is not built.

Sources: as in `app.activation.data_manager`, and the data-manager guides to Display & Video 360 (2026-03).
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
    advertiser_id: Annotated[str, Rule("The advertiser's id.", check=check_account)]


def account(settings: Settings) -> Account:
    return Account("DISPLAY_VIDEO_ADVERTISER", digits(settings.advertiser_id))


DESTINATION = Destination(
    name="dv360",
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
