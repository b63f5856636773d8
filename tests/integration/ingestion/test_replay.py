"""Replay from the lake: raw and quarantine rebuilt from the batches alone are what they were, row by row."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from resources.commit_points import CommitPoint, listening
from resources.errors import PermanentError, TransientError
from resources.file_source import Csv, FileOutcome, FileVersion
from resources.reading import POSITION, Chunk
from resources.warehouse import Warehouse, open_warehouse
from resources.warehouse.file_lock import file_lock
from shopsphere_assets.contracts.base import Contract, Timestamp, column, moment
from shopsphere_assets.ingestion import replay as replay_module
from shopsphere_assets.ingestion.batch import Destination, load_chunks
from shopsphere_assets.ingestion.ledger import BatchReport, Kind, read_state
from shopsphere_assets.ingestion.raw_table import DatabaseRead, FileRead, RawTable
from shopsphere_assets.ingestion.replay import Replay, replay

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Things(Contract):
    """Things with a number."""

    thing_id: pl.Int64 = column("Number.")
    amount: pl.Int64 = column("Amount.", ge=0)
    updated_at: Timestamp = moment("When it changed.")


THINGS = RawTable(
    "shop", "things", Things, ("thing_id",), "updated_at", FileRead("things-*", Csv()), keeps_versions=True
)
OTHERS = RawTable("shop", "others", Things, ("thing_id",), "updated_at", DatabaseRead("others"))

Row = tuple[int | None, int, int]
"""Number, amount (one below zero breaks the contract) and hour of the change."""


@dataclass(frozen=True)
class Step:
    """A batch: why it was read, what it brought, and whether the process died before its commit."""

    kind: Kind
    rows: tuple[Row, ...]
    deleted: frozenset[int] = frozenset()
    settles_keyless: bool = False
    dies: bool = False


class Death(Exception):
    """The process was killed."""


def chunk(rows: Sequence[Row]) -> Chunk:
    frame = pl.DataFrame(
        {
            "thing_id": pl.Series([row[0] for row in rows], dtype=pl.Int64),
            "amount": pl.Series([row[1] for row in rows], dtype=pl.Int64),
            "updated_at": pl.Series([NOON + row[2] * HOUR for row in rows], dtype=pl.Datetime("us", "UTC")),
            POSITION: pl.Series([f"things-1:{number}" for number in range(len(rows))], dtype=pl.String),
        }
    )
    return Chunk(frame, bytes_read=10)


@dataclass
class Place:
    """A warehouse and a lake with two tables in them."""

    destination: Destination
    reports: list[BatchReport] = field(default_factory=list)

    @property
    def warehouse(self) -> Warehouse:
        return self.destination.warehouse

    @property
    def lake(self) -> Path:
        return self.destination.lake

    def load(self, step: Step, table: RawTable = THINGS) -> None:
        changed = step.kind in ("reconciliation", "change_log")
        gone: list[str] = []
        if step.settles_keyless:
            found = self.query("SELECT quarantine_id FROM quarantine.rows WHERE row_key = '' AND settled_at IS NULL")
            gone = [row["quarantine_id"] for row in found]
        number = len(self.reports)
        file = FileVersion(f"things-{number}", 1, NOON, f"hash {number}")
        chunks = [chunk(step.rows)]
        if step.deleted:
            chunks.append(Chunk(pl.DataFrame(), 0, deleted=pl.DataFrame({"thing_id": sorted(step.deleted)})))
        state = read_state(self.warehouse, [table])[table.name]

        def die(point: CommitPoint) -> None:
            if step.dies and point == CommitPoint.RENAMED:
                raise Death

        with listening(die):
            try:
                report = load_chunks(
                    table,
                    chunks,
                    self.destination,
                    run_id="run",
                    kind=step.kind,
                    order_by=None if changed else table.cursor,
                    watermark=state.watermark,
                    files=[] if changed else [(file, FileOutcome("read", None, len(step.rows), 0, 10))],
                    log_position=f"log {number}" if step.kind == "change_log" else None,
                    gone_entries=gone,
                )
            except Death:
                return
        if report is not None:
            self.reports.append(report)

    def replay(self, table: RawTable = THINGS, **window: Any) -> Replay:
        return replay(table, self.destination, run_id="replay", **window)

    def query(self, sql: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.warehouse.query(sql).to_pylist()
        return rows

    def execute(self, *statements: str) -> None:
        with self.warehouse.transaction() as transaction:
            for statement in statements:
                transaction.execute(statement)

    def contents(self, *tables: str) -> dict[str, list[dict[str, Any]]]:
        """All rows of the tables, in an order."""
        names = tables or (
            *("raw.shop__things", "raw.shop__things__versions", "raw.shop__others", "quarantine.rows"),
            *("quality.corrections", "ledger.batches", "ledger.files"),
        )
        return {name: sorted(self.query(f"SELECT * FROM {name}"), key=lambda row: str(row)) for name in names}

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """All rows but the ledger's."""
        return {name: rows for name, rows in self.contents().items() if not name.startswith("ledger")}

    def empty(self) -> None:
        for table in (
            *("raw.shop__things", "raw.shop__things__versions", "raw.shop__others"),
            *("quarantine.rows", "quality.corrections"),
        ):
            self.execute(f"DELETE FROM {table}")

    def lose_ledger(self) -> None:
        self.execute("DELETE FROM ledger.batches", "DELETE FROM ledger.files")

    def rebuilt_tables(self) -> list[str]:
        found = self.query("SELECT table_name FROM information_schema.tables WHERE table_schema = 'replay'")
        return sorted(row["table_name"] for row in found)


def opened(url: str, folder: Path) -> Place:
    warehouse = open_warehouse(url)
    warehouse.prepare()
    warehouse.ensure_tables([*THINGS.definitions, *OTHERS.definitions])
    return Place(Destination(warehouse, folder / "lake"))


@pytest.fixture
def quick(tmp_path: Path) -> Place:
    return opened(f"duckdb://{tmp_path}/warehouse.duckdb", tmp_path)


@pytest.fixture(params=["duckdb", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "duckdb":
        return opened(f"duckdb://{tmp_path}/warehouse.duckdb", tmp_path)
    return opened(request.getfixturevalue("postgres_url"), tmp_path)


_rows = st.lists(
    st.tuples(st.none() | st.integers(1, 8), st.integers(-2, 9), st.integers(0, 6)), min_size=1, max_size=6
).map(tuple)


@st.composite
def _steps(draw: st.DrawFn) -> Step:
    kinds: list[Kind] = ["incremental", "backfill", "incremental", "reconciliation", "change_log"]
    kind = draw(st.sampled_from(kinds))
    rows = draw(_rows)
    deleted: frozenset[int] = frozenset()
    if kind in ("reconciliation", "change_log"):
        deleted = draw(st.frozensets(st.integers(1, 8), max_size=3)) - {row[0] for row in rows if row[0] is not None}
    settles = kind == "reconciliation" and draw(st.booleans())
    return Step(kind, rows, deleted, settles, dies=draw(st.integers(0, 6)) == 0)


# Every example is a long history of its own.
few_long = settings(
    max_examples=4,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@few_long
@given(history=st.lists(_steps(), min_size=15, max_size=25), begin=st.integers(1, 10))
def test_after_any_history_the_lake_gives_back_what_there_was(place: Place, history: list[Step], begin: int) -> None:
    place.empty()
    place.lose_ledger()
    shutil.rmtree(place.lake, ignore_errors=True)
    place.reports.clear()
    for step in history:
        place.load(step)
    if len(place.reports) <= begin:
        return
    before = place.contents()

    found = place.replay()
    assert (found.rows_set_right, found.rows_removed) == (0, 0)
    assert found.rows == len(before["raw.shop__things"])
    assert place.contents() == before

    place.empty()
    with mock.patch.object(replay_module, "_BATCHES_AT_ONCE", 3):
        place.replay()
    assert place.tables() == {name: rows for name, rows in before.items() if not name.startswith("ledger")}
    place.execute("DELETE FROM ledger.batches WHERE kind = 'replay'")

    # Only what came last is applied again.
    place.replay(since=place.reports[begin].finished_at)
    assert place.contents() == before

    # Nothing but the lake is left. What was landed last and not committed cannot be told from a batch.
    if not history[-1].dies:
        place.empty()
        place.lose_ledger()
        assert place.replay().note == "the ledger knew nothing of it: its entries were made again"
        place.execute("DELETE FROM ledger.batches WHERE kind = 'replay'")
        assert place.contents() == before


SOME: tuple[Row, ...] = ((1, 10, 1), (2, 20, 1), (3, -1, 1), (None, 1, 1))


def test_only_what_differs_is_set_right_and_the_ledger_tells_the_models(place: Place) -> None:
    place.load(Step("incremental", SOME))
    place.load(Step("reconciliation", ((4, 40, 2),), deleted=frozenset({2})))
    before = place.tables()
    place.execute(
        "UPDATE raw.shop__things SET amount = 11 WHERE thing_id = 1",
        "DELETE FROM raw.shop__things WHERE thing_id = 2",
        "INSERT INTO raw.shop__things (thing_id, amount) VALUES (99, 1)",
        "DELETE FROM quarantine.rows WHERE row_key = '3'",
    )
    found = place.replay()
    assert place.tables() == before
    assert (found.batches, found.rows, found.rows_set_right, found.rows_removed) == (2, 3, 3, 2)
    [entry] = place.query("SELECT * FROM ledger.batches WHERE kind = 'replay'")
    assert (entry["sequence"], entry["rows_read"], entry["source"], entry["table_name"]) == (3, 0, "shop", "things")
    state = read_state(place.warehouse, [THINGS])["things"]
    assert state.watermark == NOON + HOUR
    assert datetime.fromisoformat(entry["watermark"]) == state.watermark
    assert place.rebuilt_tables() == []
    # The next batch goes on, and another replay knows it.
    place.load(Step("incremental", ((1, 12, 3),)))
    before = place.contents()
    assert place.replay().rows_set_right == 0
    assert place.contents() == before


def test_a_row_that_stands_twice_is_set_right(quick: Place) -> None:
    quick.load(Step("incremental", SOME))
    before = quick.tables()
    quick.execute("INSERT INTO raw.shop__things SELECT * FROM raw.shop__things WHERE thing_id = 1")
    quick.replay()
    assert quick.tables() == before


def test_what_stood_at_a_moment_is_built_beside_raw(place: Place) -> None:
    place.load(Step("incremental", SOME))
    place.load(Step("reconciliation", ((1, 11, 5),), deleted=frozenset({2})))
    before = place.contents()
    found = place.replay(until=place.reports[1].finished_at)
    assert (found.batches, found.relation) == (1, "replay.shop__things")
    rows = place.query("SELECT thing_id, amount, _deleted_at FROM replay.shop__things ORDER BY thing_id")
    assert [tuple(row.values()) for row in rows] == [(1, 10, None), (2, 20, None)]
    assert place.contents() == before
    assert place.replay(until=NOON - 1000 * HOUR).note == "no batch was committed then"
    # The next one makes room.
    place.replay()
    assert place.rebuilt_tables() == []


def _folder(place: Place, number: int) -> Path:
    return place.lake / place.reports[number].lake_path


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(0)
    content[column.data_page_offset + column.total_compressed_size - 1] ^= 0x01
    path.write_bytes(content)


@pytest.mark.parametrize("ledger", ["known", "lost"])
@pytest.mark.parametrize(
    ("file", "damage", "what"),
    [
        ("part-00000.parquet", Path.unlink, "a landed file is missing"),
        ("part-00000.parquet", _cut, "bytes instead of"),
        ("part-00000.parquet", _flip, "a landed file cannot be read"),
        ("quarantine.parquet", _flip, "a landed file cannot be read"),
        ("deleted.parquet", _flip, "a landed file cannot be read"),
        ("_manifest.json", _cut, "the manifest cannot be read"),
        ("", shutil.rmtree, "the batch is missing"),
    ],
)
def test_damage_is_said_with_its_place_and_changes_nothing(
    quick: Place, file: str, damage: Any, what: str, ledger: str
) -> None:
    quick.load(Step("incremental", SOME))
    quick.load(Step("reconciliation", ((4, 40, 2), (5, -1, 2)), deleted=frozenset({2})))
    quick.load(Step("incremental", ((6, 60, 3),)))
    if ledger == "lost":
        quick.lose_ledger()
    before = quick.contents()
    damage(_folder(quick, 1) / file)
    with pytest.raises(PermanentError, match=what) as caught:
        quick.replay()
    assert caught.value.where == str(_folder(quick, 1) / file).rstrip("/")
    assert "backfill" in caught.value.remedy
    assert quick.contents() == before


def test_a_batch_that_was_never_committed_is_not_replayed(place: Place) -> None:
    place.load(Step("incremental", SOME))
    place.load(Step("incremental", ((7, 70, 1),), dies=True))
    place.load(Step("incremental", ((8, 80, 1),)))
    assert len(list((place.lake / "shop" / "things").glob("2*"))) == 3
    before = place.contents()
    place.replay()
    assert place.contents() == before
    place.lose_ledger()
    place.replay()
    assert place.contents() == before


def test_other_tables_are_loaded_while_one_is_rebuilt_and_its_own_batches_are_kept(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        place.load(Step("incremental", ((number, number, number),)))
    monkeypatch.setattr(replay_module, "_BATCHES_AT_ONCE", 1)
    apply = replay_module._Rebuilding._apply
    applied: list[int] = []

    def between(self: Any, transaction: Any, group: Any) -> None:
        apply(self, transaction, group)
        applied.append(len(group))
        if len(applied) == 2:
            loaders.start()

    def load() -> None:
        place.load(Step("full", ((1, 1, 1),)), OTHERS)
        place.load(Step("incremental", ((100, 1, 6),)))

    loaders = threading.Thread(target=load)
    monkeypatch.setattr(replay_module._Rebuilding, "_apply", between)
    grouped = replay_module._groups

    def groups(batches: Any) -> Any:
        for group in grouped(batches):
            if len(applied) == 3:
                # Both are loaded before the last batch is applied.
                loaders.join()
            yield group

    monkeypatch.setattr(replay_module, "_groups", groups)
    found = place.replay()
    loaders.join()
    assert found.batches == 5
    assert (found.rows_set_right, found.rows_removed) == (0, 0)
    assert [row["thing_id"] for row in place.contents()["raw.shop__things"]].count(100) == 1
    assert len(place.contents()["raw.shop__others"]) == 1


def test_a_replay_that_dies_changes_nothing_and_the_next_begins_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.load(Step("incremental", SOME))
    right = place.tables()
    place.execute("UPDATE raw.shop__things SET amount = 11 WHERE thing_id = 1")
    before = place.contents()

    def die(point: CommitPoint) -> None:
        # The last commit is that of the tables.
        if point == CommitPoint.COMMITTING and len(place.rebuilt_tables()) == 4:
            raise Death

    finish = replay_module._Rebuilding._finish

    def dying(self: Any, transaction: Any, result: Replay) -> None:
        finish(self, transaction, result)
        raise Death

    with listening(die), pytest.raises(Death):
        place.replay()
    assert place.contents() == before
    with monkeypatch.context() as patched:
        patched.setattr(replay_module._Rebuilding, "_finish", dying)
        with pytest.raises(Death):
            place.replay()
    assert place.contents() == before
    assert len(place.rebuilt_tables()) == 4
    place.replay()
    assert place.tables() == right
    assert place.rebuilt_tables() == []


def test_one_table_is_replayed_by_one_at_a_time(quick: Place) -> None:
    quick.load(Step("incremental", SOME))
    lock = quick.lake / "shop" / "things" / ".replay.lock"
    with (
        file_lock(lock, exclusive=True, timeout=0),
        pytest.raises(TransientError, match="being replayed already"),
    ):
        quick.replay()
    assert quick.replay().rows == 2


def test_columns_that_the_contract_got_later_are_null_in_older_batches(quick: Place) -> None:
    class Wider(Things):
        """Things with a colour."""

        colour: str = column("Colour.", required=False)

    wider = RawTable("shop", "things", Wider, ("thing_id",), "updated_at", THINGS.read, keeps_versions=True)
    quick.load(Step("incremental", SOME))
    quick.warehouse.ensure_tables(wider.definitions)
    quick.execute("DELETE FROM raw.shop__things")
    assert quick.replay(wider).rows == 2
    assert {row["colour"] for row in quick.contents()["raw.shop__things"]} == {None}


def test_a_table_of_which_nothing_landed_is_left_alone(quick: Place) -> None:
    assert quick.replay().note == "nothing of it is in the lake"
    quick.load(Step("incremental", SOME))
    quick.lose_ledger()
    with pytest.raises(PermanentError, match="from the beginning"):
        quick.replay(since=NOON)


def test_the_manifest_holds_what_the_ledger_says(quick: Place) -> None:
    quick.load(Step("incremental", SOME))
    quick.load(Step("incremental", SOME))
    first, second = quick.reports
    manifest = json.loads((_folder(quick, 1) / "_manifest.json").read_text())
    assert (manifest["follows"], manifest["ledger"]["sequence"]) == (first.batch_id, second.sequence)
