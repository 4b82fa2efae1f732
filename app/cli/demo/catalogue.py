"""What the shop sells and the words its visitors search for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Product:
    """One thing on the shelf."""

    sku: str
    name: str
    category: str
    price_cents: int

    def properties(self) -> dict[str, object]:
        """As in "Product Viewed" and "Product Added"; the price in euros."""
        return {
            "product_id": self.sku,
            "name": self.name,
            "category": self.category,
            "price": euros(self.price_cents),
            "currency": "EUR",
        }


def euros(cents: int) -> int | float:
    """Cents as the JSON number a shop's web page would send: 129.9, and 80 rather than 80.0."""
    return cents // 100 if cents % 100 == 0 else cents / 100


PRODUCTS: tuple[Product, ...] = (
    Product("sku-101", "Trail runner", "shoes", 12_990),
    Product("sku-102", "Road runner", "shoes", 9_950),
    Product("sku-103", "Canvas low", "shoes", 4_995),
    Product("sku-104", "Walking boot", "shoes", 18_900),
    Product("sku-105", "Beach slide", "shoes", 1_990),
    Product("sku-201", "Rain jacket", "clothing", 14_900),
    Product("sku-202", "Merino shirt", "clothing", 6_450),
    Product("sku-203", "Running socks", "clothing", 1_250),
    Product("sku-204", "Down vest", "clothing", 11_000),
    Product("sku-301", "Day pack", "bags", 7_990),
    Product("sku-302", "Duffel", "bags", 9_900),
    Product("sku-401", "Water bottle", "gear", 1_895),
    Product("sku-402", "Head torch", "gear", 3_999),
    Product("sku-403", "Tent for two", "gear", 24_900),
)

SEARCHES: tuple[str, ...] = ("boots", "rain jacket", "gift", "tent", "socks", "shoes 42", "backpack", "sale")
FIRST_NAMES: tuple[str, ...] = ("Ada", "Ben", "Chloé", "Dmitri", "Edda", "Femi", "Gül", "Hana", "Ivo", "Jun", "Kaja")
PAGES: tuple[tuple[str, str], ...] = (("Home", "/"), ("Sale", "/sale"), ("Shoes", "/c/shoes"), ("About", "/about"))
