"""`headwater schema`: the configuration's JSON Schema, for editors that complete and check as one writes."""

from __future__ import annotations

import json

from app import configuration


def schema() -> None:
    """Print the JSON Schema of the configuration file, with the settings of every destination type.

    \b
    Examples:
      headwater schema > headwater.schema.json
    """
    print(json.dumps(configuration.published_schema(), indent=2, ensure_ascii=False), flush=True)
