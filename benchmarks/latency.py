"""Measures the time from a commit at a source to the published mart, with the platform's services and sensors on.

Run as ``python -m benchmarks.latency [--scale 1]``. It starts ``shopsphere demo`` with the shop's clock stopped, in a
folder of its own, and is itself the shop: it commits changes at the sources and watches what readers find.

- ``orders``: one row of the shop's database changes at a time, at a moment that no sensor knows.
- ``days``: a whole simulated day comes at a time, in all sources.
- ``busy``: rows change every few seconds without a pause, as in a shop that never sleeps.
- ``quiet``: nothing changes; what a tick of each source's sensor costs, and all services together.

A change counts as published when a version that readers get was made of a batch that holds it; the moment is when
this process sees that version. Nothing here has a deadline but the patience with a platform that has died.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import psycopg

from resources.settings import Settings, load_settings
from resources.warehouse import Warehouse, open_warehouse
from shopsphere_assets.cli.dagster_home import dagster_home
from shopsphere_assets.defs.platform import Platform
from shopsphere_assets.defs.raw import source_systems
from shopsphere_assets.defs.raw.factory import raw_source
from shopsphere_assets.demo.environment import SIMULATED_SOURCES, embedded_environment, open_simulation

RESULTS = Path(__file__).parent / "results"

_PATIENCE = timedelta(minutes=20)
_LOOK_SECONDS = 0.2
_BUSY_PAUSE_SECONDS = 3.0
# Ticks of the daemon must not decide where in their interval the changes fall.
_LONGEST_PAUSE_SECONDS = 20.0
_PLAUSIBLE = "updated_at between '2000-01-01' and '2100-01-01'"
_DATABASE_TABLES = {
    "shop_db": ("customers", "addresses", "orders", "order_items", "payments", "refunds"),
    "catalogue_db": ("products", "prices", "inventory"),
}


@dataclass
class Change:
    """A commit at the sources: when, and per table the cursor from which on a batch holds it."""

    committed_at: datetime
    reached: dict[tuple[str, str], datetime]


@dataclass
class Version:
    """A publication as a reader finds it: since when, its run, and the batches that it is made of."""

    number: int
    seen_at: datetime
    run_id: str
    watermarks: dict[tuple[str, str], datetime]


@dataclass
class Watch:
    """Looks at what readers get, in a thread of its own."""

    warehouse: Warehouse
    versions: list[Version] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def looking(self) -> Iterator[Watch]:
        """Look while the block runs."""
        thread = threading.Thread(target=self._look, daemon=True)
        self._note()
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            self._note()

    def _note(self) -> None:
        now = datetime.now(UTC)
        current = self.warehouse.current_publication()
        if current is None or (self.versions and self.versions[-1].number == current.version):
            return
        rows = self.warehouse.read_publication("select * from publication.sources", version=current.version)
        watermarks = {
            (row["source"], row["table_name"]): datetime.fromisoformat(row["watermark"])
            for row in rows.to_pylist()
            if row["watermark"]
        }
        self.versions.append(Version(current.version, now, current.run_id, watermarks))

    def first_with(self, table: tuple[str, str], cursor: datetime) -> Version | None:
        """The first version that holds the row of ``table`` with ``cursor``."""
        for version in list(self.versions):
            if table in version.watermarks and version.watermarks[table] >= cursor:
                return version
        return None


class Shop:
    """The sources that the platform reads, written to by this process."""

    def __init__(self, settings: Settings) -> None:
        urls = {name: settings.source_url(name) or "" for name in _DATABASE_TABLES}
        self._connections = {name: psycopg.connect(url, autocommit=True) for name, url in urls.items()}
        self._settings = settings

    def close(self) -> None:
        """Close the connections."""
        for connection in self._connections.values():
            connection.close()

    def newest(self) -> dict[tuple[str, str], datetime]:
        """The newest plausible cursor of every table of the databases."""
        found = {}
        for source, tables in _DATABASE_TABLES.items():
            for table in tables:
                found[source, table] = self._ask(source, f"select max(updated_at) from {table} where {_PLAUSIBLE}")
        return found

    def since(self, moments: dict[tuple[str, str], datetime]) -> dict[tuple[str, str], datetime]:
        """Per table with rows newer than ``moments``: the cursor below which nine of ten of them lie.

        The newest row may be one of the bad ones, which no mart will ever hold.
        """
        found = {}
        for (source, table), moment in moments.items():
            high = "percentile_disc(0.9) within group (order by updated_at)"
            answer = self._ask(source, f"select {high} from {table} where {_PLAUSIBLE} and updated_at > '{moment}'")
            if answer is not None:
                found[source, table] = answer
        return found

    def _ask(self, source: str, sql: str) -> Any:
        row = self._connections[source].execute(sql.encode()).fetchone()
        return row[0] if row else None

    def change_an_order(self) -> Change:
        """Change one row, dated a millisecond after the newest one in the shop's own time."""
        row = (
            self._connections["shop_db"]
            .execute(
                b"update orders set updated_at = newest.moment + interval '1 millisecond'"
                b" from (select max(updated_at) as moment from orders where updated_at < '2100-01-01') as newest"
                b" where order_id = (select order_id from orders where updated_at < '2100-01-01'"
                b" order by updated_at desc, order_id desc limit 1) returning orders.updated_at"
            )
            .fetchone()
        )
        now = datetime.now(UTC)
        if row is None:
            raise SystemExit("the shop has no orders")
        return Change(now, {("shop_db", "orders"): row[0]})

    def live_a_day(self) -> Change:
        """Let a day happen in every source; the change counts from its first write."""
        before = self.newest()
        simulation = open_simulation(self._settings, SIMULATED_SOURCES)
        began = datetime.now(UTC)
        simulation.advance(1)
        return Change(began, self.since(before))


def _seconds(moments: Sequence[float]) -> dict[str, float]:
    ordered = sorted(moments)
    if not ordered:
        return {}
    return {
        "median": round(statistics.median(ordered), 1),
        "p90": round(ordered[min(len(ordered) - 1, int(0.9 * len(ordered)))], 1),
        "longest": round(ordered[-1], 1),
        "commits": len(ordered),
    }


def _wait_for(change: Change, watch: Watch) -> None:
    deadline = change.committed_at + _PATIENCE
    while not all(watch.first_with(table, cursor) for table, cursor in change.reached.items()):
        if datetime.now(UTC) > deadline:
            raise SystemExit(f"not published within {_PATIENCE}: {change}")
        time.sleep(_LOOK_SECONDS)


def _one_by_one(make: Callable[[], Change], number: int, watch: Watch, told: Callable[[Change], None]) -> None:
    dice = random.Random(7)
    for _ in range(number):
        time.sleep(dice.uniform(0, _LONGEST_PAUSE_SECONDS))
        change = make()
        _wait_for(change, watch)
        told(change)


def _without_a_pause(make: Callable[[], Change], number: int, watch: Watch, told: Callable[[Change], None]) -> None:
    changes = []
    for _ in range(number):
        changes.append(make())
        time.sleep(_BUSY_PAUSE_SECONDS)
    for change in changes:
        _wait_for(change, watch)
        told(change)


def _stages(change: Change, watch: Watch, warehouse: Warehouse, instance: dg.DagsterInstance) -> dict[str, float]:
    """Where the seconds went until the last table of ``change`` was published."""
    batches = warehouse.query(
        "select source, table_name, watermark, finished_at, run_id from ledger.batches"
        " where watermark is not null order by finished_at"
    ).to_pylist()
    whole = []
    for table, cursor in change.reached.items():
        batch = next(
            b
            for b in batches
            if (b["source"], b["table_name"]) == table and datetime.fromisoformat(b["watermark"]) >= cursor
        )
        version = watch.first_with(table, cursor)
        assert version is not None
        whole.append((batch, version))
    batch, version = max(whole, key=lambda pair: (pair[1].seen_at, pair[0]["finished_at"]))
    asked, began = _moments(instance, batch["run_id"])
    requested, ready = _moments(instance, version.run_id)
    moments = [
        ("run requested", asked),
        ("its process ready", began),
        ("raw batch committed", batch["finished_at"]),
        ("build requested", requested),
        ("its process ready ", ready),
        ("published", version.seen_at),
    ]
    stages, before = {}, change.committed_at
    for number, (stage, moment) in enumerate(moments, start=1):
        stages[f"{number}. {stage.strip()}"] = (moment - before).total_seconds()
        before = moment
    stages["commit to raw"] = (batch["finished_at"] - change.committed_at).total_seconds()
    stages["commit to published"] = (version.seen_at - change.committed_at).total_seconds()
    return stages


def _moments(instance: dg.DagsterInstance, run_id: str) -> tuple[datetime, datetime]:
    """When a run was asked for, and when its process began to work."""
    [record] = instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
    began = datetime.fromtimestamp(record.start_time or 0, UTC)
    return record.create_timestamp.astimezone(UTC), began


def _ticks(settings: Settings, instance: dg.DagsterInstance, ticks: int = 10) -> dict[str, Any]:
    """CPU seconds of one evaluation of each source's sensor while nothing is new, in this process."""
    costs = {}
    for system in source_systems():
        [sensor] = raw_source(system).sensors or ()
        assert isinstance(sensor, dg.SensorDefinition)
        cursor, spent = None, []
        for _ in range(ticks + 1):
            with dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"platform": Platform()}
            ) as context:
                before = time.process_time()
                answer: Any = sensor(context)
                spent.append(time.process_time() - before)
            cursor = getattr(answer, "cursor", None) or cursor
        # The first one imports drivers, once in the life of a process.
        costs[system.name] = {
            "cpu_seconds": round(statistics.median(spent[1:]), 4),
            "first_cpu_seconds": round(spent[0], 3),
        }
    return costs


def _quiet(services: list[psutil.Process], seconds: float) -> dict[str, float]:
    """CPU seconds a minute of the platform's services while nothing changes."""

    def spent() -> dict[int, float]:
        found = {}
        for process in services:
            try:
                times = process.cpu_times()
                found[process.pid] = times.user + times.system + times.children_user + times.children_system
            except psutil.Error:
                continue
        return found

    before, began = spent(), time.perf_counter()
    time.sleep(seconds)
    minutes = (time.perf_counter() - began) / 60
    after = spent()
    return {
        _name(process): round((after[process.pid] - before[process.pid]) / minutes, 2)
        for process in services
        if process.pid in before and process.pid in after
    }


def _name(process: psutil.Process) -> str:
    line = " ".join(process.cmdline())
    for part, name in (("code-server", "code server"), ("api grpc", "code process"), ("webserver", "web server")):
        if part in line:
            return name
    return "daemon" if "daemon" in line else line[:40]


@contextmanager
def _demo(home: Path, scale: float) -> Iterator[subprocess.Popen[str]]:
    """The platform with its services in ``home``, its shop's clock stopped."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("SHOPSPHERE_", "DAGSTER_"))}
    with (home.parent / "demo.log").open("w") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-c", "from shopsphere_assets.cli.main import main; main()", "demo"),
                *("--port", str(port), "--scale", str(scale), "--seconds-per-day", "0"),
            ],
            env={**environment, "SHOPSPHERE_HOME": str(home), "COLUMNS": "120"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        while "The Dagster UI is at" not in (home.parent / "demo.log").read_text():
            if process.poll() is not None:
                raise SystemExit((home.parent / "demo.log").read_text()[-3000:])
            time.sleep(0.5)
        yield process
    finally:
        process.terminate()
        process.wait(60)


def _services_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    words = ("code-server", "api grpc", "webserver", "dagster-daemon")
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if any(word in " ".join(child.cmdline()) for word in words)]


def _wait_until_idle(instance: dg.DagsterInstance) -> None:
    """Wait until every sensor has had its first look and no run is left."""
    under_way = [dg.DagsterRunStatus(s) for s in ("QUEUED", "NOT_STARTED", "STARTING", "STARTED")]
    idle_since = time.monotonic()
    while time.monotonic() - idle_since < 30:
        if instance.get_runs_count(dg.RunsFilter(statuses=under_way)):
            idle_since = time.monotonic()
        time.sleep(1)


def main() -> None:
    """Measure, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 20,000 customers and 60,000 orders")
    parser.add_argument("--orders", type=int, default=15, help="rows changed one at a time")
    parser.add_argument("--days", type=int, default=8, help="simulated days")
    parser.add_argument("--busy", type=int, default=60, help="rows changed without a pause")
    parser.add_argument("--quiet", type=float, default=60, help="seconds to watch the idle services")
    parser.add_argument("--shop", type=Path, help="a SHOPSPHERE_HOME to begin from, which is copied")
    parser.add_argument("--note", default="", help="a word on this measurement, kept with it")
    options = parser.parse_args()
    result: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "note": options.note,
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "python": platform.python_version(),
            "load_before": [round(value, 2) for value in os.getloadavg()],
        },
        "scale": options.scale,
    }
    folder = Path(tempfile.mkdtemp(prefix="shopsphere-latency-"))
    # The embedded server runs under an account of its own where we are root.
    folder.chmod(0o755)
    home = folder / "home"
    try:
        if options.shop:
            subprocess.run(["cp", "-a", str(options.shop), str(home)], check=True)
        os.environ["SHOPSPHERE_HOME"] = str(home)
        with _demo(home, options.scale) as process:
            _measure(process, options, result)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result["machine"]["load_after"] = [round(value, 2) for value in os.getloadavg()]
    text = json.dumps(result, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{result['measured_at'][:10]}-latency.json").write_text(text + "\n")
    sys.stdout.write(text + "\n")


def _measure(process: subprocess.Popen[str], options: argparse.Namespace, result: dict[str, Any]) -> None:
    with (
        embedded_environment(load_settings(), set(SIMULATED_SOURCES)) as settings,
        dagster_home(settings),
        dg.DagsterInstance.get() as instance,
        closing(Shop(settings)) as shop,
    ):
        warehouse = open_warehouse(settings.warehouse)
        _wait_until_idle(instance)
        if options.quiet:
            result["quiet"] = {
                "tick": _ticks(settings, instance),
                "cpu_seconds_a_minute": _quiet(_services_of(process), options.quiet),
            }
        with Watch(warehouse).looking() as watch:
            for name, number, make, run in (
                ("orders", options.orders, shop.change_an_order, _one_by_one),
                ("days", options.days, shop.live_a_day, _one_by_one),
                ("busy", options.busy, shop.change_an_order, _without_a_pause),
            ):
                if not number:
                    continue
                first, began = len(watch.versions), datetime.now(UTC)
                seen: list[dict[str, float]] = []

                def told(change: Change, name: str = name, seen: list[dict[str, float]] = seen) -> None:
                    seen.append(_stages(change, watch, warehouse, instance))
                    line = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in seen[-1].items())
                    sys.stderr.write(f"{name}: {line} (load {os.getloadavg()[0]:.1f})\n")

                run(make, number, watch, told)
                runs = instance.get_runs(dg.RunsFilter(created_after=began))
                result[name] = {
                    "seconds": {stage: _seconds([stages[stage] for stages in seen]) for stage in seen[0]},
                    "publications": len(watch.versions) - first,
                    "runs": len(runs),
                    "runs_failed": sum(run.status == dg.DagsterRunStatus.FAILURE for run in runs),
                    "load": round(os.getloadavg()[1], 1),
                }
                _wait_until_idle(instance)


if __name__ == "__main__":
    main()
