"""Measures how fast the world is generated and how long the main job takes on it.

Run as ``python -m benchmarks.main_job [--scale 1]``. Whole processes are timed from outside; peak memory is the
largest single process of the job, as the operating system counts it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from simulator.world import measure_generation

RESULTS = Path(__file__).parent / "results"
SHOPSPHERE = Path(sys.executable).with_name("shopsphere")


def timed(home: Path, *arguments: str) -> dict[str, float]:
    """Run a ``shopsphere`` command on the state in ``home``: wall and CPU seconds, peak memory in MB."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SHOPSPHERE_")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(
        [SHOPSPHERE, *arguments],
        env={**environment, "SHOPSPHERE_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"shopsphere {' '.join(arguments)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall_seconds": round(seconds, 1),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "peak_memory_mb": round(after.ru_maxrss / 1024),
    }


def main() -> None:
    """Measure, print and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="1 is 20,000 customers and 60,000 orders")
    scale = parser.parse_args().scale
    began = time.perf_counter()
    rows, cpu = measure_generation(scale=scale, days=90)
    wall = time.perf_counter() - began
    result: dict[str, Any] = {
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "python": platform.python_version(),
        },
        "scale": scale,
        "generation": {
            "rows": rows,
            "rows_per_second": round(rows / wall),
            "rows_per_cpu_second": round(rows / cpu),
        },
    }
    with tempfile.TemporaryDirectory(prefix="shopsphere-bench-") as folder:
        home = Path(folder)
        result["simulate"] = timed(home, "simulate", "--scale", str(scale))
        result["main_job"] = timed(home, "run")
        status = subprocess.run(
            [SHOPSPHERE, "status", "--json"],
            env={**os.environ, "SHOPSPHERE_HOME": str(home)},
            cwd=home,
            capture_output=True,
            text=True,
            check=True,
        )
        result["main_job"]["rows_read"] = sum(t["rows_read"] for t in json.loads(status.stdout)["tables"])
        result["second_run"] = timed(home, "run")
    text = json.dumps(result, indent=2)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{result['measured_at'][:10]}-main-job.json").write_text(text + "\n")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
