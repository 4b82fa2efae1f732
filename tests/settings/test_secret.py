"""A secret does not show itself."""

import json
import pickle

import pytest

from app.settings import Secret


def test_a_secret_is_shown_by_nothing_but_reveal() -> None:
    secret = Secret("hush")
    assert "hush" not in f"{secret} {secret!r} {secret!s} {[secret]}"
    assert "hush" not in "%s" % secret  # noqa: UP031 - the old way of formatting must not show it either
    assert secret.reveal() == "hush"


def test_a_secret_cannot_be_written_by_accident() -> None:
    with pytest.raises(TypeError):
        json.dumps(Secret("hush"))
    with pytest.raises(TypeError):
        pickle.dumps(Secret("hush"))


def test_secrets_are_equal_by_value() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert not Secret("")
