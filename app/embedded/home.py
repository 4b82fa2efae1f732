"""A broker's home: `kafka/` in the data directory, with its lock, its ports, its cluster id, its settings and its logs.

kafka/lock          locked by the running broker and its parent; holds the broker's process id
kafka/cluster.id    made once; with `log/`, the identity of the cluster
kafka/ports.json    the ports of the last run, taken again if they are free, so that clients reconnect
kafka/log/          Kafka's own data
kafka/server.log    what the broker logs, at most LOG_FILES_MAX files of LOG_FILE_BYTES_MAX each
kafka/console.log   what the JVM itself prints, from the last start only
kafka/*.properties  written anew at each start
"""

import base64
import contextlib
import fcntl
import json
import os
import socket
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LOG_FILE_BYTES_MAX = 10_000_000
LOG_FILES_MAX = 3
LOG_TAIL_BYTES = 6_000

RECORD_BYTES_MAX = 8 * 1024 * 1024

BROKER_PROPERTIES: Mapping[str, str] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    # A topic made by a typing mistake, with one partition, is worse than an error.
    "auto.create.topics.enable": "false",
    "default.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "message.max.bytes": str(RECORD_BYTES_MAX),
    "replica.fetch.max.bytes": str(RECORD_BYTES_MAX),
    # Nobody is waited for: a group of one machine gets its partitions at once.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    # Disk: a dev box is not filled by one topic, and a compacted topic is cleaned in small steps.
    "log.segment.bytes": str(128 * 1024 * 1024),
    "log.retention.ms": str(7 * 24 * 3600 * 1000),
    "log.retention.bytes": str(4 * 1024 * 1024 * 1024),
    "log.index.size.max.bytes": str(2 * 1024 * 1024),
    "offsets.topic.segment.bytes": str(16 * 1024 * 1024),
    "metadata.log.segment.bytes": str(16 * 1024 * 1024),
    "metadata.max.retention.bytes": str(64 * 1024 * 1024),
    # Memory: Kafka takes the cleaner's buffer whole at the start, 128 MiB by default.
    "log.cleaner.dedupe.buffer.size": str(32 * 1024 * 1024),
    "log.cleaner.threads": "1",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "background.threads": "2",
    "num.recovery.threads.per.data.dir": "2",
    # A broker killed and started again is let in when its old session has run out: 9 s by default.
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",
}

LOG4J_PROPERTIES = """\
status=error
rootLogger.level=info
rootLogger.appenderRef.file.ref=file
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={log}
appender.file.filePattern={log}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{ISO8601}} %p %c{{1}}: %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size={bytes}
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max={rolled}
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a broker listens, on loopback."""

    client: int
    controller: int


class HomeLocked(Exception):
    """Another broker has this home; `holder` is its process id as text, or empty."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class Home:
    """The files of one embedded broker; nothing here starts anything."""

    def __init__(self, data_dir: Path) -> None:
        # Absolute: the broker runs in another directory.
        self.path = data_dir.resolve() / "kafka"
        self.log_dir = self.path / "log"
        self.server_log = self.path / "server.log"
        self.console_log = self.path / "console.log"
        self.server_properties = self.path / "server.properties"
        self.log4j_properties = self.path / "log4j2.properties"

    def lock(self) -> int:
        """Take the home. The broker inherits the descriptor: the lock is free when parent and broker are both gone.

        Raises:
            HomeLocked: Somebody has it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
            os.close(descriptor)
            raise HomeLocked(holder) from None
        return descriptor

    def write_holder(self, descriptor: int, pid: int) -> None:
        """Note who runs, for whoever is refused."""
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{pid}\n".encode(), 0)

    def cluster_id(self) -> str:
        """The cluster's id, made at the first call."""
        place = self.path / "cluster.id"
        if not place.exists():
            fresh = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
            # A leading dash would be taken for an option of the format command.
            _write_whole(place, fresh.replace("-", "A"))
        return place.read_text()

    def formatted(self) -> bool:
        """Whether the log directory has been formatted, to the end."""
        return (self.log_dir / "meta.properties").exists() and (self.log_dir / "bootstrap.checkpoint").exists()

    def last_ports(self) -> Ports | None:
        """The last run's ports, if there was a run and the note can be read."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            noted = json.loads((self.path / "ports.json").read_text())
            return Ports(client=int(noted["client"]), controller=int(noted["controller"]))
        return None

    def write_ports(self, ports: Ports) -> None:
        """Note this run's ports for the next."""
        _write_whole(self.path / "ports.json", json.dumps({"client": ports.client, "controller": ports.controller}))

    def write_settings(self, ports: Ports, extra: Mapping[str, str]) -> None:
        """Write what broker and logger read at their start; `extra` wins over our own."""
        settings = {
            **BROKER_PROPERTIES,
            "controller.quorum.voters": f"1@127.0.0.1:{ports.controller}",
            "listeners": f"PLAINTEXT://127.0.0.1:{ports.client},CONTROLLER://127.0.0.1:{ports.controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports.client}",
            "log.dirs": str(self.log_dir),
            **extra,
        }
        text = "".join(f"{name}={_escaped(value)}\n" for name, value in settings.items())
        _write_whole(self.server_properties, text)
        logger = LOG4J_PROPERTIES.format(
            log=_escaped(str(self.server_log)), bytes=LOG_FILE_BYTES_MAX, rolled=LOG_FILES_MAX - 1
        )
        _write_whole(self.log4j_properties, logger)

    def log_size_bytes(self) -> int:
        """How long the server's log is now: what a start writes comes after it."""
        return self.server_log.stat().st_size if self.server_log.exists() else 0

    def last_words(self, server_log_from: int) -> str:
        """What the last start left in its logs, the end of it.

        Args:
            server_log_from: The log's size before that start.
        """
        return "\n".join(part for part in (_tail(self.server_log, server_log_from), _tail(self.console_log, 0)) if part)


def free_port() -> int:
    """A port that is free on loopback at this moment; another process may take it before it is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether the broker could listen there at this moment."""
    with socket.socket() as probe:
        # As the JVM does: a port with closed connections that linger is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _tail(log: Path, start: int) -> str:
    if not log.exists():
        return ""
    size = log.stat().st_size
    # A log that has been rolled over since is shorter than `start`.
    first = start if start <= size else 0
    with log.open("rb") as file:
        file.seek(max(first, size - LOG_TAIL_BYTES))
        return file.read().decode(errors="replace").strip()


def _escaped(value: str) -> str:
    """A value of a Java properties file, in which a backslash escapes."""
    return value.replace("\\", "\\\\").replace("\n", "\\n")


def _write_whole(place: Path, text: str) -> None:
    """Write so that a crash leaves the old file or the new one."""
    scratch = place.with_name(place.name + ".new")
    scratch.write_text(text)
    scratch.replace(place)
