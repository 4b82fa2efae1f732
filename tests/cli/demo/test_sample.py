"""The demo's configuration is one that `headwater validate` takes."""

from pathlib import Path

import yaml

from app.cli.demo.sample import AUDIENCES, SAMPLES, TRAITS, write_configuration
from app.settings.load import load


def test_the_configuration_is_valid_and_keeps_its_secret_apart(tmp_path: Path) -> None:
    path = write_configuration(tmp_path, hook_url="http://127.0.0.1:1234/hooks/crm", secret="whsec_c2VjcmV0")
    loaded = load(path, {})
    assert [each.key for each in loaded.settings.audiences] == list(AUDIENCES)
    assert [each.key for each in loaded.settings.traits] == list(TRAITS)
    assert len(AUDIENCES) >= 4
    assert len(TRAITS) >= 3
    assert "whsec_" not in path.read_text()
    assert (tmp_path / "crm.secret").stat().st_mode & 0o077 == 0


def test_every_definition_is_connected(tmp_path: Path) -> None:
    path = write_configuration(tmp_path, hook_url="http://127.0.0.1:1/", secret="whsec_c2VjcmV0")
    (destination,) = yaml.safe_load(path.read_text())["destinations"]
    connected = {each.get("audience") or each.get("trait"): tuple(each["calls"]) for each in destination["connect"]}
    assert connected == {sample.key: sample.calls for sample in SAMPLES}
