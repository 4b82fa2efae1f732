"""The jars of a Java program: those that a lock file names, downloaded once, checked by SHA-256, shared by processes.

The lock file is JSON, checked in beside the code that runs the program:

    {"roots": ["group:artifact:version", …],
     "left_out": ["group:artifact", …],
     "jars": [{"coordinates": "group:artifact:version", "sha256": "…", "size_bytes": 1}, …]}

`python -m app.embedded.jars lock [LOCK]` works `jars` out anew from `roots` minus `left_out`; to move to another
version edit `roots` first. `python -m app.embedded.jars fetch [LOCK]` downloads what is missing.

Jars are kept in `$HEADWATER_CACHE/jars`, or `~/.cache/headwater/jars`, and come from Maven Central or, if it is set,
from the mirror `HEADWATER_MAVEN_URL`. Proxies are taken from the environment as `requests` does.
"""

import hashlib
import json
import os
import ssl
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from app.errors import HeadwaterError

BROKER_LOCK = Path(__file__).parent / "jars.lock.json"
DOWNLOADS_AT_ONCE = 8
DOWNLOAD_ATTEMPTS = 3
DOWNLOAD_TIMEOUT_S = 60
MAVEN_CENTRAL = "https://repo.maven.apache.org/maven2"

Progress = Callable[[int, int], None]
"""Called after each download with the bytes done and the bytes to do; from any thread, one call at a time."""


class JarError(HeadwaterError):
    """A jar cannot be had, or is not the one that was locked; the operator mends the cache or the connection."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar of a lock file."""

    coordinates: str
    """`group:artifact:version`"""
    sha256: str
    size_bytes: int

    @property
    def place(self) -> str:
        """Where the jar lies below the cache's `jars`."""
        group, artifact, version = self.coordinates.split(":")
        return f"{group}/{artifact}-{version}.jar"


@dataclass(frozen=True, slots=True)
class Lock:
    """What a lock file says."""

    roots: tuple[str, ...]
    left_out: tuple[str, ...]
    jars: tuple[Jar, ...]


def cache_directory() -> Path:
    """The user's cache, shared by every process; it may not exist yet. Jars are in `jars` below it."""
    home = os.environ.get("HEADWATER_CACHE")
    return Path(home).absolute() if home else Path.home() / ".cache" / "headwater"


def read_lock(lock: Path) -> Lock:
    """What a lock file says."""
    document = json.loads(lock.read_text())
    return Lock(
        roots=tuple(document["roots"]),
        left_out=tuple(document["left_out"]),
        jars=tuple(Jar(**jar) for jar in document["jars"]),
    )


def jar_paths(lock: Path = BROKER_LOCK, *, progress: Progress | None = None) -> list[Path]:
    """The locked jars on this machine, in the lock's order (the class path's), every one checked; blocks.

    Raises:
        JarError: A jar is missing and cannot be downloaded, or its bytes are not the locked ones.
    """
    jars = read_lock(lock).jars
    cache = cache_directory() / "jars"
    paths = [cache / jar.place for jar in jars]
    missing = [jar for jar, path in zip(jars, paths, strict=True) if not path.exists()]
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        if missing:
            _download_all(missing, cache, pool, progress)
        for jar, path, found in zip(jars, paths, pool.map(_sha256, paths), strict=True):
            if found != jar.sha256:
                raise JarError(
                    f"{path} is not the locked {jar.coordinates}: its SHA-256 is {found}, not {jar.sha256}. "
                    "Delete the file and start again: it is downloaded anew."
                )
    return paths


def _download_all(jars: Sequence[Jar], cache: Path, pool: ThreadPoolExecutor, progress: Progress | None) -> None:
    total_bytes = sum(jar.size_bytes for jar in jars)
    done_bytes = 0
    turn = threading.Lock()
    cache.mkdir(parents=True, exist_ok=True)
    # On the cache's own file system, so that the move into place is one atomic rename.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=cache) as scratch:

        def download(jar: Jar) -> None:
            nonlocal done_bytes
            _download(jar, cache, Path(scratch))
            with turn:
                done_bytes += jar.size_bytes
                if progress is not None:
                    progress(done_bytes, total_bytes)

        # Largest first: the pool does not end on the one long download.
        for _ in pool.map(download, sorted(jars, key=lambda jar: -jar.size_bytes)):
            pass


def _download(jar: Jar, cache: Path, scratch: Path) -> None:
    """Fetch, check, then move into place; two processes may do the same jar at once, the last one wins."""
    fetched = _fetch(jar.coordinates, scratch)
    found = _sha256(fetched)
    if found != jar.sha256:
        raise JarError(
            f"{jar.coordinates} was refused: {_repository()} sent a jar with SHA-256 {found}, the lock says "
            f"{jar.sha256}. Look for a proxy or mirror that alters downloads (HEADWATER_MAVEN_URL names the mirror)."
        )
    target = cache / jar.place
    target.parent.mkdir(parents=True, exist_ok=True)
    fetched.replace(target)


def _fetch(coordinates: str, scratch: Path) -> Path:
    """Download one jar by jgo, which needs neither Maven nor Java."""
    # Imported late: with all jars in the cache, as nearly always, a start does not pay for these.
    from jgo.maven import MavenContext
    from requests import RequestException
    from requests.exceptions import SSLError

    group, artifact, version = coordinates.split(":")
    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        # A folder for each attempt: jgo takes a half-written file of an earlier one for the whole jar.
        context = MavenContext(
            repo_cache=Path(tempfile.mkdtemp(dir=scratch)),
            remote_repos={"maven": _repository()},
            timeout=DOWNLOAD_TIMEOUT_S,
        )
        try:
            return Path(context.project(group, artifact).at_version(version).artifact().resolve())
        except (RequestException, RuntimeError, ValueError) as error:
            if isinstance(error, SSLError):
                _trust_the_system()
            if attempt == DOWNLOAD_ATTEMPTS:
                raise JarError(
                    f"{coordinates} cannot be downloaded from {_repository()}: {error}. Check the connection; behind "
                    "a proxy set HTTPS_PROXY, and REQUESTS_CA_BUNDLE if it signs connections itself; with a mirror of "
                    "Maven Central set HEADWATER_MAVEN_URL."
                ) from error
    raise AssertionError("the last attempt returns or raises")


def _trust_the_system() -> None:
    """Let the next attempt trust the machine's authorities: a company's proxy signs with one that `certifi` lacks.

    An environment that names authorities already is left as it is.
    """
    places = ssl.get_default_verify_paths()
    held = next((place for place in (places.cafile, places.capath) if place and Path(place).exists()), None)
    if held is not None and "CURL_CA_BUNDLE" not in os.environ:
        os.environ.setdefault("REQUESTS_CA_BUNDLE", held)


def write_lock(lock: Path) -> Lock:
    """Resolve a lock file's roots anew and write all their jars, with checksums, into it; downloads every jar.

    Args:
        lock: An existing file of which `roots` and `left_out` count.
    """
    import jgo

    old = read_lock(lock)
    # Resolved together, so that what two roots share comes in one version.
    found = {
        f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
        for artifact in jgo.resolve("+".join(old.roots), repositories={"central": _repository()})
        if f"{artifact.groupId}:{artifact.artifactId}" not in old.left_out
    }
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:

        def measured(coordinates: str) -> Jar:
            path = _fetch(coordinates, Path(scratch))
            return Jar(coordinates, _sha256(path), path.stat().st_size)

        jars = tuple(pool.map(measured, sorted(found)))
    lines = ",\n".join(
        "    " + json.dumps({"coordinates": jar.coordinates, "sha256": jar.sha256, "size_bytes": jar.size_bytes})
        for jar in jars
    )
    lock.write_text(
        f'{{\n  "roots": {json.dumps(old.roots)},\n  "left_out": {json.dumps(old.left_out)},\n'
        f'  "jars": [\n{lines}\n  ]\n}}\n'
    )
    return Lock(old.roots, old.left_out, jars)


def _repository() -> str:
    return os.environ.get("HEADWATER_MAVEN_URL", MAVEN_CENTRAL).rstrip("/")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(arguments: Sequence[str]) -> None:
    """`lock` or `fetch`, and maybe another lock file than the broker's."""
    verb, lock = (arguments[0] if arguments else ""), Path(arguments[1]) if len(arguments) > 1 else BROKER_LOCK
    match verb:
        case "lock":
            jars = write_lock(lock).jars
            print(f"{lock}: {len(jars)} jars, {sum(jar.size_bytes for jar in jars):,} bytes")
        case "fetch":
            for path in jar_paths(lock, progress=lambda done, total: print(f"{done:,} of {total:,} bytes", flush=True)):
                print(path)
        case _:
            raise SystemExit("usage: python -m app.embedded.jars lock|fetch [LOCK]")


if __name__ == "__main__":
    main(sys.argv[1:])
