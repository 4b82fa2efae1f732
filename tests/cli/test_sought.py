"""What the text means by which a command's user names a profile."""

import pytest

from app.cli.output import CommandError
from app.cli.sought import account_of, check_named, named, sought
from app.identity.graph import Node
from app.ids import profile_id
from app.stream.lookup import Known


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("ann", ("user_id", "ann")),
        ("user_id:ann", ("user_id", "ann")),
        ("user_id:a:b", ("user_id", "a:b")),
        ("anonymous_id:x", ("anonymous_id", "x")),
        ("email:a@example.com", ("email", "a@example.com")),
        ("ios.idfa:7", ("ios.idfa", "7")),
        (":7", ("user_id", ":7")),
        ("shop:", ("user_id", "shop:")),
    ],
)
def test_one_meaning(text: str, first: tuple[str, str]) -> None:
    assert sought(text) == (first,)
    assert named(sought(text), None) == ":".join(first)


def test_a_word_that_some_source_may_use_as_a_type_is_the_second_meaning() -> None:
    assert sought("shop:17") == (("user_id", "shop:17"), ("shop", "17"))
    known = Known("prf_1", ("shop", "17"), Node(1))
    assert named(sought("shop:17"), known) == "shop:17"
    assert named(sought("shop:17"), None) == "user_id:shop:17"


def test_a_profile_id_is_itself() -> None:
    profile = profile_id("user_id", "ann")
    assert sought(profile) == profile
    assert named(profile, Known("prf_other", None, Node(1))) == profile


@pytest.mark.parametrize("text", ["", "user_id:", "email:"])
def test_nothing_is_refused(text: str) -> None:
    with pytest.raises(CommandError) as refused:
        sought(text)
    assert refused.value.code == 2


def test_an_account_is_named_by_its_group_id() -> None:
    assert account_of("group_id:acme:north") == "acme:north"
    assert account_of("acme") is None
    assert account_of("email:ann@example.com") is None
    for empty in ("group_id:", "email:", ""):
        with pytest.raises(CommandError, match="IDENTIFIER is empty"):
            check_named(empty)
