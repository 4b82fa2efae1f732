"""The embedded broker: one real Apache Kafka (KRaft) as a child process, on loopback."""

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.embedded import failure, jvm
from app.embedded.home import Home, HomeLocked, Ports, free_port, is_free
from app.embedded.jars import Progress, cache_directory, jar_paths
from app.kafka.clients import KafkaSettings, answers

START_TIMEOUT_S = 90.0
"""Twenty times what a start takes; a machine under load is slow, not broken."""
FORMAT_TIMEOUT_S = 60.0
PROBE_EVERY_S = 0.1
PROBE_TIMEOUT_S = 5.0
STOP_TIMEOUT_S = 30.0
"""Usually under a second; a first run writes down what it loaded, which takes longer."""
LOCK_TIMEOUT_S = 3.0
"""A broker whose parent was killed is killed by the kernel; until it is gone it holds the lock."""
PORT_ATTEMPTS = 5
NO_PROPERTIES: Mapping[str, str] = {}


class EmbeddedBroker:
    """A single-node Kafka over a data directory. `await start()`, then `bootstrap`; `await stop()`.

    Its data survives `stop` and a crash, and so does its port if nobody else has taken it meanwhile. It dies with its
    parent: start it from a thread that lives as long as the broker shall, as `launch` explains. It does not see a
    Ctrl-C in the terminal: the parent decides when it stops, after those who use it.

    Args:
        data_dir: The broker lives in `kafka/` below it.
        port: For clients; 0 takes the last run's if it is free, else any.
        heap_mb: Of the Java heap; the process needs about 200 MB more.
        properties: Kafka's own settings, over ours.
        progress: Told of the download of the jars, at the first start on a machine.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = 0,
        heap_mb: int = 512,
        properties: Mapping[str, str] = NO_PROPERTIES,
        progress: Progress | None = None,
    ) -> None:
        self.home = Home(data_dir)
        self._port = port
        self._heap_mb = heap_mb
        self._properties = properties
        self._progress = progress
        self._process: asyncio.subprocess.Process | None = None
        self._recording: jvm.StartCache | None = None
        self._lock: int | None = None
        self._ports: Ports | None = None

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:PORT`; known once the broker has been started, and still after it was stopped."""
        assert self._ports is not None, "the broker was never started"
        return f"127.0.0.1:{self._ports.client}"

    @property
    def pid(self) -> int:
        """The broker's process id, for whoever measures or kills it."""
        assert self._process is not None, "the broker does not run"
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start it and return when it answers; downloads its jars if this machine has none.

        Raises:
            BrokerError: It did not start; says why.
            JarError: Its jars cannot be had.
        """
        assert not self.running, "the broker runs already"
        jars = await asyncio.to_thread(jar_paths, progress=self._progress)
        await self._take_home()
        try:
            await self._start(jars)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop it, by force after a while; does nothing if it does not run."""
        process, self._process = self._process, None
        recording, self._recording = self._recording, None
        if process is not None:
            await self._end(process)
            if recording is not None and process.returncode is not None:
                recording.recorded(process.returncode)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def wait(self) -> int:
        """Wait for the process to end by itself; its exit code, negative for a signal."""
        assert self._process is not None, "the broker does not run"
        return await self._process.wait()

    async def _take_home(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + LOCK_TIMEOUT_S
        while True:
            try:
                self._lock = self.home.lock()
                return
            except HomeLocked as locked:
                if loop.time() >= deadline:
                    raise failure.BrokerError(
                        f"another broker (process {locked.holder or 'unknown'}) runs in {self.home.path}; "
                        "stop it, or use another data directory"
                    ) from None
            except OSError as error:
                raise failure.BrokerError(f"{self.home.path} cannot be used: {error.strerror}") from error
            await asyncio.sleep(PROBE_EVERY_S)

    async def _start(self, jars: Sequence[Path]) -> None:
        await self._make_start_cache(jars)
        for attempt in range(1, PORT_ATTEMPTS + 1):
            self._ports = self._choose_ports(first=attempt == 1)
            self.home.write_settings(self._ports, self._properties)
            if not self.home.formatted():
                await self._format(jars)
            spoken = self.home.log_size_bytes()
            self._process = await self._launch_broker(jars)
            if await self._up(self._process):
                self.home.write_ports(self._ports)
                return
            exit_code, words = self._process.returncode, self.home.last_words(spoken)
            taken = exit_code is not None and failure.port_clash(words)
            if not taken or self._port or attempt == PORT_ATTEMPTS:
                raise failure.broker_failed(f"the embedded broker on port {self._ports.client}", exit_code, words)

    async def _launch_broker(self, jars: Sequence[Path]) -> asyncio.subprocess.Process:
        cache = self._start_cache(jars)
        recording = cache.to_record()
        self._recording = cache if recording else None
        process = await self._launch(
            jars,
            *jvm.heap(self._heap_mb),
            *cache.to_use(),
            *recording,
            f"-Dlog4j2.configurationFile={self.home.log4j_properties}",
            "-Dlog4j2.disable.jmx=true",
            "kafka.Kafka",
            str(self.home.server_properties),
        )
        assert self._lock is not None
        self.home.write_holder(self._lock, process.pid)
        return process

    def _choose_ports(self, *, first: bool) -> Ports:
        last = self.home.last_ports() if first else None
        if self._port:
            if not is_free(self._port):
                raise failure.BrokerError(
                    f"port {self._port} of 127.0.0.1 is in use by another process; stop it, or give another port"
                )
            client = self._port
        else:
            client = last.client if last is not None and is_free(last.client) else free_port()
        controller = last.controller if last is not None and is_free(last.controller) else free_port()
        while controller == client:
            controller = free_port()
        return Ports(client, controller)

    async def _format(self, jars: Sequence[Path]) -> None:
        """Give the log directory its identity; a format that was cut short is done again."""
        exit_code = await self._tool(
            jars,
            *jvm.heap(self._heap_mb),
            *jvm.SHORT_LIVED,
            *self._start_cache(jars).to_use(),
            "kafka.tools.StorageTool",
            *("format", "-t", self.home.cluster_id(), "-c", str(self.home.server_properties), "-g"),
            timeout_s=FORMAT_TIMEOUT_S,
        )
        if exit_code != 0:
            words = self.home.last_words(self.home.log_size_bytes())
            raise failure.broker_failed("formatting the embedded broker's directory", exit_code, words)

    async def _make_start_cache(self, jars: Sequence[Path]) -> None:
        cache = self._start_cache(jars)
        if (arguments := cache.to_make()) is not None:
            cache.made(await self._tool(jars, *arguments, timeout_s=jvm.MAKE_TIMEOUT_S))

    async def _tool(self, jars: Sequence[Path], *arguments: str, timeout_s: float) -> int | None:
        """Run a JVM to its end; its exit code, None if it took too long."""
        self._process = await self._launch(jars, *arguments)
        try:
            async with asyncio.timeout(timeout_s):
                return await self._process.wait()
        except TimeoutError:
            await self._end(self._process)
            return None

    async def _launch(self, jars: Sequence[Path], *arguments: str) -> asyncio.subprocess.Process:
        assert self._lock is not None
        return await jvm.launch(
            arguments,
            jars=jars,
            directory=self.home.path,
            console=self.home.console_log,
            # The home is free again only when the broker is gone too.
            keep_open=self._lock,
        )

    def _start_cache(self, jars: Sequence[Path]) -> jvm.StartCache:
        return jvm.StartCache(cache_directory() / "java", jars)

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """SIGTERM, a while, SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            # The kernel ends it; that is quick, and the next start waits for the lock anyway.
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        finally:
            # Also when this call itself is cancelled: nothing that we started is left behind.
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()

    async def _up(self, process: asyncio.subprocess.Process) -> bool:
        """Wait until it answers; False if it ended or took too long."""
        settings = KafkaSettings.of(self.bootstrap)
        ended = asyncio.ensure_future(process.wait())
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                while not ended.done():
                    # Somebody else's broker may answer on a port that clashed: only a live process counts.
                    if await answers(settings, PROBE_TIMEOUT_S) and not ended.done():
                        return True
                    await asyncio.wait({ended}, timeout=PROBE_EVERY_S)
        except TimeoutError:
            pass
        finally:
            ended.cancel()
        return False
