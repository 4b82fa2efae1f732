"""The oracle is what the engine is measured with: nobody bends it by accident.

After a wanted change write the digest that the failing test names into tests/oracle.sha256, and say in the commit why
the oracle had to change.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

ORACLE = Path(__file__).parents[1] / "oracle"
PINNED = ORACLE.with_suffix(".sha256")


def digest(folder: Path) -> str:
    """Of the names and the bytes of its Python and Markdown files."""
    whole = sha256()
    for path in sorted(each for each in folder.rglob("*") if each.suffix in (".py", ".md")):
        content = path.read_bytes()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return whole.hexdigest()


def test_the_oracle_is_the_pinned_one() -> None:
    assert digest(ORACLE) == PINNED.read_text().strip(), "tests/oracle has changed"


def test_an_edit_a_new_file_and_a_new_name_are_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    seen = {digest(tmp_path)}
    (tmp_path / "a.py").write_text("2")
    seen.add(digest(tmp_path))
    (tmp_path / "b.md").write_text("")
    seen.add(digest(tmp_path))
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    seen.add(digest(tmp_path))
    (tmp_path / "c.pyc").write_text("ignored")
    assert len(seen | {digest(tmp_path)}) == 4
