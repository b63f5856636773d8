"""The command line on a small shop, as processes of their own: from the first demo to the next run."""

from __future__ import annotations

import csv
import io
import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.demo_process import (
    SCALE,
    Prepared,
    command,
    environment,
    free_port,
    prepared,
    processes_of,
    shopsphere,
    wait_until,
)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def first() -> Prepared:
    return prepared()


def test_the_first_demo_goes_from_nothing_to_the_ui_and_stops_what_it_started(first: Prepared) -> None:
    assert first.status == 0, first.output
    assert "84 assets materialized" in first.output
    assert re.search(r"Published version 1: 21 tables, [\d,]+ rows", first.output)
    assert re.search(r"The Dagster UI is at http://127.0.0.1:\d+. Ctrl-C stops everything.", first.output)
    assert "failed:" not in first.output
    assert "Traceback" not in first.output
    assert first.left_running == []


def test_status_accounts_for_every_row_and_names_the_publication(first: Prepared) -> None:
    answer = shopsphere(first.home, "status", "--json")
    assert answer.returncode == 0, answer.stderr
    found = json.loads(answer.stdout)
    assert len(found["tables"]) == 21
    for table in found["tables"]:
        parts = [table[f"rows_{name}"] for name in ("loaded", "quarantined", "excluded")]
        assert table["rows_read"] == sum(parts) > 0, table
        assert table["batches"] == 1
        assert table["watermark"] > "2026-01"
    assert found["publication"]["version"] == 1
    assert found["publication"]["tables"] == 21
    shown = shopsphere(first.home, "status")
    assert shown.returncode == 0
    assert "shop_db/order_items" in shown.stdout
    assert "Publication 1: 21 tables" in shown.stdout


def test_sql_asks_the_marts_by_name(first: Prepared) -> None:
    query = "select sum(net_amount) as net, min(sales_date) as since, count(distinct currency) as currencies"
    answer = shopsphere(first.home, "sql", f"{query} from fct_daily_sales", "--format", "csv")
    assert answer.returncode == 0, answer.stderr
    [row] = csv.DictReader(io.StringIO(answer.stdout))
    assert re.fullmatch(r"\d+\.\d\d", row["net"])
    assert row["since"] == "2026-01-01"
    [as_json] = json.loads(shopsphere(first.home, "sql", f"{query} from fct_daily_sales", "--format", "json").stdout)
    assert as_json["net"] == row["net"]


def test_sql_into_a_pipe_that_closes_early_is_no_error(first: Prepared) -> None:
    with subprocess.Popen(
        command("sql", "select * from fct_orders, fct_daily_sales limit 20000", "--format", "csv"),
        env=environment(first.home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


def test_a_taken_port_is_told_before_anything_is_started(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        answer = shopsphere(tmp_path / "var", "demo", "--port", str(port))
    assert answer.returncode == 1
    assert answer.stderr == (
        f"error: port {port} is taken\n  where: 127.0.0.1:{port}\n"
        "  what to do: stop what listens there, or choose another port by --port\n"
    )
    assert not (tmp_path / "var").exists()


def test_other_parameters_than_the_shop_began_with_are_refused(first: Prepared, tmp_path: Path) -> None:
    home = first.copy_to(tmp_path)
    answer = shopsphere(home, "demo", "--scale", "0.5", "--port", str(free_port()))
    assert answer.returncode == 1
    assert "scale is 0.02, not 0.5" in answer.stderr
    answer = shopsphere(home, "simulate", "--seed", "8", "--days", "1")
    assert answer.returncode == 1
    assert "seed is 7, not 8" in answer.stderr
    assert processes_of(home) == []


def test_the_shop_lives_on_by_days_and_to_a_date(first: Prepared, tmp_path: Path) -> None:
    home = first.copy_to(tmp_path)
    answer = shopsphere(home, "simulate", "--days", "2", "--scale", SCALE)
    assert answer.returncode == 0, answer.stderr
    assert "The shop has lived 92 days; it is now Friday 2026-04-03." in answer.stdout
    answer = shopsphere(home, "simulate", "--until", "2026-04-05")
    assert "The shop has lived 94 days; it is now Sunday 2026-04-05." in answer.stdout
    answer = shopsphere(home, "simulate", "--until", "2026-04-04")
    assert answer.returncode == 1
    assert "in the shop it is 2026-04-05 already, and its time only goes forward" in answer.stderr
    assert processes_of(home) == []


def test_ctrl_c_in_the_middle_of_a_build_ends_everything_and_readers_keep_their_version(
    first: Prepared, tmp_path: Path
) -> None:
    home = first.copy_to(tmp_path)
    with subprocess.Popen(
        command("run"),
        env=environment(home),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        # The first model is there, so dbt is at work and Dagster takes in what it tells.
        wait_until(lambda: any(_compiled(home)), "dbt at work")
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in output
    assert "Published" not in output
    assert processes_of(home) == []
    version = shopsphere(home, "sql", "select version from publication.info", "--format", "csv")
    assert version.stdout == "version\n1\n"


def _compiled(home: Path) -> Iterator[Path]:
    return (home / "dbt" / "duckdb").glob("dbt_models-*/run/**/*.sql")
