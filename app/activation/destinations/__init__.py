"""Every type of destination: one file each, found by its `DESTINATION`."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from app.activation.destination import Destination


def _found() -> dict[str, Destination[Any]]:
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    destinations: list[Destination[Any]] = [module.DESTINATION for module in modules]
    return {destination.name: destination for destination in sorted(destinations, key=lambda found: found.name)}


DESTINATIONS: dict[str, Destination[Any]] = _found()
"""Type name → destination. Each has settings of its own type, which only its own `configure` has to know."""
