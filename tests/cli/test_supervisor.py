"""Processes are started, kept, given up and stopped; none outlives its supervisor."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from app.cli.output import CommandError
from app.cli.supervisor import EXITS_MAX, ChildSpec, Supervisor, usual_children

WORKER = """
import asyncio, os, sys
from pathlib import Path
from app.cli.orphans import die_with_parent
from app.cli.signals import until_signal
from app.observability import run_file
from app.observability.health import Health
from app.observability.metrics import Metrics
from app.observability.server import HealthServer

die_with_parent(os.environ)
name, data = sys.argv[3], Path(sys.argv[sys.argv.index("--data") + 1])
with (data / f"{name}.starts").open("a") as file:
    file.write(os.environ.get("HEADWATER_FAILPOINT", "") + "\\n")
match os.environ.get("BEHAVIOUR"):
    case "exit":
        sys.exit(int(os.environ["CODE"]))
    case "deaf":
        import signal
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

async def main():
    health = Health()
    part = health.part("store", "restoring")
    server = HealthServer(health, Metrics(name))
    run_file.write(data, name, {"health": await server.start()})
    if os.environ.get("BEHAVIOUR") != "never ready":
        part.up()
    await asyncio.Event().wait()

if os.environ.get("BEHAVIOUR") == "deaf":
    asyncio.run(main())
asyncio.run(until_signal(main()))
"""


class Bench:
    """Makes supervisors of the little worker above, and stops them all."""

    def __init__(self, folder: Path, log: int) -> None:
        self.folder = folder
        self.log = log
        self.made: list[Supervisor] = []
        (folder / "worker.py").write_text(WORKER)

    def supervisor(self, *children: ChildSpec) -> Supervisor:
        made = Supervisor(
            children,
            config=self.folder / "c.yaml",
            data_dir=self.folder,
            brokers="127.0.0.1:1",
            log=self.log,
            program=(sys.executable, str(self.folder / "worker.py")),
        )
        self.made.append(made)
        return made

    def starts(self, name: str) -> list[str]:
        return (self.folder / f"{name}.starts").read_text().splitlines()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    with (tmp_path / "log").open("wb") as log:
        bench = Bench(tmp_path, log.fileno())
        yield bench
        for supervisor in bench.made:
            await supervisor.stop()


def test_the_usual_children() -> None:
    assert [child.name for child in usual_children(2)] == ["stream-0", "stream-1", "delivery", "api"]


async def test_all_are_ready_and_all_are_stopped(bench: Bench) -> None:
    supervisor = bench.supervisor(ChildSpec("stream-0", "stream"), ChildSpec("api", "api"))
    await supervisor.start()
    await supervisor.ready()
    pids = [supervisor.pid(name) for name in supervisor.names]
    assert all(pids)
    assert supervisor.addresses("api")["health"].startswith("http://127.0.0.1:")
    await supervisor.stop()
    assert [supervisor.pid(name) for name in supervisor.names] == [None, None]
    assert not [pid for pid in pids if pid is not None and psutil.pid_exists(pid)]
    assert supervisor.addresses("api") == {}


async def test_a_killed_process_comes_back_by_itself_without_its_failpoint(bench: Bench) -> None:
    spec = ChildSpec("stream-0", "stream", {"HEADWATER_FAILPOINT": "after_compute:1"})
    supervisor = bench.supervisor(spec)
    await supervisor.start()
    await supervisor.ready()
    first = supervisor.pid("stream-0")
    assert first is not None
    os.kill(first, signal.SIGKILL)
    assert await supervisor.ended("stream-0") == -signal.SIGKILL
    await supervisor.child_ready("stream-0")
    assert supervisor.pid("stream-0") != first
    assert bench.starts("stream-0") == ["after_compute:1", ""]


async def test_a_process_killed_on_purpose_stays_down_until_it_is_started(bench: Bench) -> None:
    supervisor = bench.supervisor(ChildSpec("stream-0", "stream"))
    await supervisor.start()
    await supervisor.ready()
    assert await supervisor.kill("stream-0") == -signal.SIGKILL
    assert supervisor.pid("stream-0") is None
    assert supervisor.addresses("stream-0") == {}
    await supervisor.start_child("stream-0", {"HEADWATER_FAILPOINT": "mid_changelog:2"})
    await supervisor.child_ready("stream-0")
    assert bench.starts("stream-0") == ["", "mid_changelog:2"]


async def test_any_number_of_kills_on_purpose_is_no_reason_to_give_up(bench: Bench) -> None:
    supervisor = bench.supervisor(ChildSpec("stream-0", "stream"))
    await supervisor.start()
    for _ in range(EXITS_MAX + 1):
        await supervisor.kill("stream-0")
        await supervisor.start_child("stream-0")
    await supervisor.ready()


async def test_a_process_that_keeps_ending_is_given_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.cli.supervisor.DELAY_S_MAX", 0.01)
    supervisor = bench.supervisor(ChildSpec("api", "api", {"BEHAVIOUR": "exit", "CODE": "70"}))
    monkeypatch.setenv("BEHAVIOUR", "exit")
    monkeypatch.setenv("CODE", "70")
    await supervisor.start()
    with pytest.raises(CommandError, match="api ended with code 70, 5 times"):
        await supervisor.ready()
    assert len(bench.starts("api")) == EXITS_MAX
    assert "api ended" in await supervisor.failure()


async def test_a_wrong_configuration_is_given_up_at_once(bench: Bench) -> None:
    supervisor = bench.supervisor(ChildSpec("api", "api", {"BEHAVIOUR": "exit", "CODE": "2"}))
    await supervisor.start()
    with pytest.raises(CommandError, match="code 2"):
        await supervisor.ready()
    assert len(bench.starts("api")) == 1


async def test_what_does_not_get_ready_says_why(bench: Bench) -> None:
    supervisor = bench.supervisor(ChildSpec("stream-0", "stream", {"BEHAVIOUR": "never ready"}))
    await supervisor.start()
    with pytest.raises(CommandError, match=r"stream-0 is not ready after 5 s: .*restoring"):
        await supervisor.ready(timeout_s=5)


async def test_what_does_not_stop_is_killed(bench: Bench) -> None:
    supervisor = bench.supervisor(ChildSpec("api", "api", {"BEHAVIOUR": "deaf"}))
    await supervisor.start()
    await supervisor.ready()
    pid = supervisor.pid("api")
    assert pid is not None
    await supervisor.stop(timeout_s=0.2)
    assert not psutil.pid_exists(pid)


def test_no_process_outlives_its_supervisor(tmp_path: Path) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    program = f"""
import asyncio, sys
from pathlib import Path
from app.cli.supervisor import ChildSpec, Supervisor
async def main():
    folder = Path({str(tmp_path)!r})
    supervisor = Supervisor((ChildSpec("api", "api"),), config=folder, data_dir=folder, brokers="x",
        program=(sys.executable, str(folder / "worker.py")))
    await supervisor.start()
    await supervisor.ready()
    print(supervisor.pid("api"), flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
