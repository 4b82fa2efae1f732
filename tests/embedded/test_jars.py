import hashlib
import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from app.embedded.jars import BROKER_LOCK, JarError, cache_directory, jar_paths, read_lock

CONTENT = {"g.one:a:1": b"first jar" * 1000, "g.two:b:2.0": b"second jar"}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository of two jars on loopback, an empty cache, and a lock file in `lock.json`."""
    root = tmp_path / "repository"
    for coordinates, content in CONTENT.items():
        group, artifact, version = coordinates.split(":")
        place = root / group.replace(".", "/") / artifact / version / f"{artifact}-{version}.jar"
        place.parent.mkdir(parents=True)
        place.write_bytes(content)
        place.with_name(place.name + ".sha1").write_text(hashlib.sha1(content).hexdigest())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(root)))
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    monkeypatch.setenv("HEADWATER_MAVEN_URL", f"http://127.0.0.1:{server.server_address[1]}/")
    monkeypatch.setenv("HEADWATER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    write_lock(tmp_path / "lock.json")
    yield root
    server.shutdown()
    serving.join()
    server.server_close()


def write_lock(place: Path, **sha256: str) -> None:
    jars = [
        {
            "coordinates": coordinates,
            "sha256": sha256.get(coordinates.split(":")[1], hashlib.sha256(content).hexdigest()),
            "size_bytes": len(content),
        }
        for coordinates, content in CONTENT.items()
    ]
    place.write_text(json.dumps({"roots": [], "left_out": [], "jars": jars}))


def test_jars_are_fetched_once_and_then_found(repository: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    paths = jar_paths(tmp_path / "lock.json", progress=lambda done, total: seen.append((done, total)))
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    total = sum(map(len, CONTENT.values()))
    assert len(seen) == 2
    assert seen[-1] == (total, total)
    # Nothing is left to fetch from: what is cached is enough.
    for jar in repository.rglob("*.jar"):
        jar.unlink()
    assert jar_paths(tmp_path / "lock.json", progress=lambda done, total: pytest.fail("fetched again")) == paths
    # And the scratch directory is gone.
    assert not list((cache_directory() / "jars").glob(".download-*"))


def test_a_jar_that_is_not_the_locked_one_is_refused_and_not_kept(repository: Path, tmp_path: Path) -> None:
    write_lock(tmp_path / "lock.json", b="0" * 64)
    with pytest.raises(JarError, match=r"g\.two:b:2\.0 was refused"):
        jar_paths(tmp_path / "lock.json")
    assert not list(cache_directory().rglob("b-2.0.jar"))


def test_a_cached_jar_that_was_altered_is_refused_by_name(repository: Path, tmp_path: Path) -> None:
    altered = jar_paths(tmp_path / "lock.json")[0]
    altered.write_bytes(b"something else")
    with pytest.raises(JarError, match="Delete the file") as refused:
        jar_paths(tmp_path / "lock.json")
    assert str(altered) in str(refused.value)
    altered.unlink()
    assert jar_paths(tmp_path / "lock.json")[0].read_bytes() == CONTENT["g.one:a:1"]


def test_a_jar_that_cannot_be_had_says_what_to_try(repository: Path, tmp_path: Path) -> None:
    next(repository.rglob("a-1.jar")).unlink()
    with pytest.raises(JarError, match=r"g\.one:a:1 cannot be downloaded .* HEADWATER_MAVEN_URL"):
        jar_paths(tmp_path / "lock.json")


def test_the_brokers_lock_is_whole_and_in_one_version() -> None:
    lock = read_lock(BROKER_LOCK)
    names = [jar.coordinates.rsplit(":", 1)[0] for jar in lock.jars]
    assert len(names) == len(set(names)), "one version of each"
    assert not set(names) & set(lock.left_out)
    assert set(lock.roots) <= {jar.coordinates for jar in lock.jars}
    assert all(len(jar.sha256) == 64 for jar in lock.jars)


def test_the_machines_own_authorities_are_trusted_too(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = Path(__file__).parents[1] / "delivery" / "self_signed.pem"
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(variable, "")  # so that whatever the download sets is taken back
        monkeypatch.delenv(variable)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(repository)))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    monkeypatch.setenv("HEADWATER_MAVEN_URL", f"https://127.0.0.1:{server.server_address[1]}/")
    try:
        paths = jar_paths(tmp_path / "lock.json")
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
