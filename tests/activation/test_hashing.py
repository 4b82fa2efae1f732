"""Golden vectors of normalising and hashing, each network's own."""

import pytest

from app.activation import hashing

ANA = "8e43ca37701228e74983efdbd0cff5c16b3b1e5d4e29a7c05626d4d25a018e11"
LOPEZ = "40a7a591b586da8ea75d049e8a9dfb984c075840dd3e9fed2e91a31c0dc2c51c"
WITH_PLUS = "8a59780bb8cd2ba022bfa5ba2ea3b6e07af17a7d8b30c1f9b3390e36f69019e4"
DIGITS = "d6736136ea896c1bfdc553e0e86e702c70d060d805696ca3e4e9e0961353860a"
NETWORKS = ("default", "facebook", "google", "snapchat", "tiktok", "pinterest")


@pytest.mark.parametrize("network", NETWORKS)
def test_an_address_is_trimmed_and_lowered_everywhere(network):
    assert hashing.hashed_email(" Ana@Example.COM ", network) == ANA


def test_base64_is_of_the_bytes():
    assert hashing.hashed_base64(hashing.email(" Ana@Example.COM ")) == "jkPKN3ASKOdJg+/b0M/1wWs7Hl1OKafAVibU0loBjhE="


@pytest.mark.parametrize("text", ["Ana.Lopez@Gmail.com", " a.n.a.lopez@GMAIL.com", "ana lopez@gmail.com"])
def test_google_ignores_dots_and_spaces_of_its_own_addresses(text):
    assert hashing.email(text, "google") == "analopez@gmail.com"
    assert hashing.hashed_email(text, "google") == LOPEZ


def test_plus_suffixes_and_dots_elsewhere_stay():
    assert hashing.email("ana+x@gmail.com", "google") == "ana+x@gmail.com"
    assert hashing.email("a.na@example.com", "google") == "a.na@example.com"
    assert hashing.email("a.na@gmail.com") == "a.na@gmail.com"


@pytest.mark.parametrize(
    ("network", "expected"),
    [("default", WITH_PLUS), ("google", WITH_PLUS), ("tiktok", WITH_PLUS), ("facebook", DIGITS), ("snapchat", DIGITS)],
)
@pytest.mark.parametrize("text", ["+1 (555) 123-4567", "001 555 123 4567"])
def test_a_phone_number_in_each_networks_form(text, network, expected):
    assert hashing.hashed_phone(text, network) == expected


def test_a_name():
    assert hashing.hashed_name(" Ana ") == "24d4b96f58da6d4a8512313bbd02a28ebf0ca95dec6e4c86ef78ce7f01e788ac"
    assert hashing.name("O'Neil-Ünal, Jr.") == "oneilünal jr"


@pytest.mark.parametrize("text", [ANA, ANA.upper(), f" {ANA} "])
def test_what_is_hashed_already_is_not_hashed_twice(text):
    assert hashing.hashed_email(text) == hashing.hashed_phone(text) == hashing.hashed_name(text) == ANA


@pytest.mark.parametrize("text", ["", "  ", "@", "ana@", "@example.com", "ana"])
def test_what_is_no_address_is_left_out(text):
    assert hashing.email(text) is None
    assert hashing.hashed_email(text) is None


@pytest.mark.parametrize("text", ["", "+", "12345", "1" * 16])
def test_what_is_no_number_is_left_out(text):
    assert hashing.phone(text) is None
    assert hashing.hashed_phone(text) is None


def test_the_rest():
    assert hashing.hashed_name(" .,") is None
    assert hashing.hashed(None) is hashing.hashed_base64(None) is None
    assert hashing.mobile_id(" 6D92078A-8246-4BA4 ") == "6d92078a-8246-4ba4"
    assert hashing.mobile_id(" ") is None
    assert hashing.member_md5(" Ana@Example.COM ") == "cdb9d6a1dddc375a09cc83e3001598dc"
