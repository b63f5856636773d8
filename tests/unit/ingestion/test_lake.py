"""A batch is in the lake as a whole or not at all."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from resources.errors import PermanentError, PlatformError, TransientError
from resources.file_source import JsonRecords
from resources.warehouse.system_tables import QUARANTINE_ROWS
from shopsphere_assets.contracts import shop_db, support
from shopsphere_assets.ingestion import lake as lake_module
from shopsphere_assets.ingestion.lake import BatchWriter, LandedBatch, remove_orphans, remove_unfinished
from shopsphere_assets.ingestion.raw_table import FileRead
from shopsphere_assets.ingestion.validate import Divided, divide
from tests.raw_tables import good_row, raw_table, text_chunk

ORDERS = raw_table(shop_db.Orders)
LOADED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


def divided(*order_ids: int, bad: int = 0) -> Divided:
    rows = [good_row(ORDERS) | {"order_id": str(n)} for n in order_ids]
    rows += [good_row(ORDERS) | {"order_id": str(n), "status": "bogus"} for n in range(1000, 1000 + bad)]
    return divide(ORDERS, text_chunk(ORDERS, *rows))


def writer(lake: Path, batch_id: str = "b1") -> BatchWriter:
    return BatchWriter(lake, ORDERS, batch_id, LOADED_AT)


def quarantined(landed: LandedBatch) -> pl.DataFrame:
    assert landed.quarantined is not None
    return pl.read_parquet(landed.quarantined)


def visible(lake: Path) -> list[str]:
    """Everything in the lake but what is hidden."""
    files = (path.relative_to(lake) for path in lake.rglob("*") if path.is_file())
    return sorted(str(path) for path in files if not any(part.startswith(".") for part in path.parts))


def everything(lake: Path) -> list[str]:
    return sorted(str(path.relative_to(lake)) for path in lake.rglob("*") if path.is_file())


def test_nothing_is_visible_before_the_commit(tmp_path: Path) -> None:
    batch = writer(tmp_path)
    batch.write(divided(1, 2, bad=1))
    batch.write(divided(3))
    assert visible(tmp_path) == []
    landed = batch.commit()
    folder = "shop_db/orders/b1"
    assert visible(tmp_path) == [
        f"{folder}/{n}" for n in ("_manifest.json", "part-00000.parquet", "quarantine.parquet")
    ]
    assert everything(tmp_path) == visible(tmp_path)
    assert landed.folder == tmp_path / folder
    assert (landed.rows_valid, landed.rows_quarantined) == (3, 1)
    assert quarantined(landed).height == 1


def test_a_landed_file_has_the_contracts_columns_and_where_each_row_stands(tmp_path: Path) -> None:
    batch = writer(tmp_path)
    batch.write(divided(1, 2))
    (part,) = batch.commit().parts
    columns = pq.read_schema(part)
    # In a database the key says where a row stands.
    assert columns.names == list(ORDERS.column_types)
    assert all(columns.field(name).type == ORDERS.definition.columns.field(name).type for name in columns.names)

    tickets = replace(raw_table(support.Tickets), read=FileRead("*.json", JsonRecords()))
    batch = BatchWriter(tmp_path, tickets, "b1", LOADED_AT)
    batch.write(divide(tickets, text_chunk(tickets, good_row(tickets))))
    (part,) = batch.commit().parts
    assert pq.read_schema(part).names == [*tickets.column_types, "_position"]


def test_the_manifest_says_what_is_there(tmp_path: Path) -> None:
    batch = writer(tmp_path)
    batch.write(divided(1, 2, bad=3))
    landed = batch.commit()
    manifest = json.loads((landed.folder / "_manifest.json").read_text())
    sizes = {path.name: path.stat().st_size for path in landed.folder.glob("*.parquet")}
    assert manifest == {
        "source": "shop_db",
        "table": "orders",
        "batch_id": "b1",
        "loaded_at": "2026-03-01T12:00:00+00:00",
        "rows_valid": 2,
        "rows_quarantined": 3,
        "rows_deleted": 0,
        "files": sizes,
    }
    assert landed.bytes_written == sum(sizes.values())


def test_a_large_batch_is_cut_into_parts_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_module, "_ROWS_PER_PART", 2)
    batch = writer(tmp_path)
    for first in (1, 3, 5):
        batch.write(divided(first, first + 1))
    parts = batch.commit().parts
    assert [part.name for part in parts] == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert [pq.read_table(part).column("order_id").to_pylist() for part in parts] == [[1, 2], [3, 4], [5, 6]]


def test_an_aborted_batch_leaves_nothing(tmp_path: Path) -> None:
    batch = writer(tmp_path)
    batch.write(divided(1, bad=1))
    batch.abort()
    batch.abort()
    assert everything(tmp_path) == []
    assert list((tmp_path / "shop_db" / "orders").iterdir()) == []


def test_a_restarted_batch_forgets_what_came_before(tmp_path: Path) -> None:
    batch = writer(tmp_path)
    batch.write(divided(1, 2, bad=2))
    batch.restart()
    batch.write(divided(7, bad=1))
    landed = batch.commit()
    assert (landed.rows_valid, landed.rows_quarantined) == (1, 1)
    assert [pq.read_table(part).column("order_id").to_pylist() for part in landed.parts] == [[7]]
    assert quarantined(landed).height == 1


def test_a_batch_without_rows_is_a_folder_with_a_manifest(tmp_path: Path) -> None:
    landed = writer(tmp_path).commit()
    assert landed.parts == []
    assert visible(tmp_path) == ["shop_db/orders/b1/_manifest.json"]


def test_a_row_quarantined_twice_in_a_batch_counts_twice(tmp_path: Path) -> None:
    batch = writer(tmp_path)
    batch.write(divided(bad=1))
    batch.write(divided(bad=1))
    landed = batch.commit()
    assert quarantined(landed).height == 2
    assert landed.rows_quarantined == 2


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("step", ["write", "commit"])
def test_a_full_disk_is_said_and_may_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    batch = writer(tmp_path)
    if step == "write":
        monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
        with pytest.raises(TransientError, match="no space left in the lake") as caught:
            batch.write(divided(1))
    else:
        batch.write(divided(1, bad=1))
        monkeypatch.setattr(Path, "write_text", full)
        with pytest.raises(TransientError, match="no space left in the lake") as caught:
            batch.commit()
    assert caught.value.where == str(tmp_path / "shop_db" / "orders" / "b1")
    assert "SHOPSPHERE_LAKE_URL" in caught.value.remedy
    assert visible(tmp_path) == []
    batch.abort()
    assert everything(tmp_path) == []


def test_a_really_full_disk_is_said_and_may_pass() -> None:
    # A device that Linux offers for this: every write to it finds no space.
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    with (
        pytest.raises(OSError, match="space") as caught,
        pq.ParquetWriter(str(full), ORDERS.definition.columns) as file,
    ):
        file.write_table(ORDERS.definition.columns.empty_table())
    error = lake_module._unwritable(caught.value, full)
    assert isinstance(error, TransientError)


def test_a_place_where_no_folder_can_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "shop_db").write_text("a file where a folder should be")
    batch = writer(tmp_path)
    with pytest.raises(PermanentError, match="the lake cannot be written") as caught:
        batch.write(divided(1))
    assert caught.value.where == str(tmp_path / "shop_db" / "orders" / "b1")
    batch.abort()


def test_a_folder_without_the_right_to_write_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # Root may write everywhere: the refusal is played.
    monkeypatch.setattr(Path, "mkdir", refuse)
    for attempt in (lambda: writer(tmp_path).write(divided(1)), lambda: writer(tmp_path).commit()):
        with pytest.raises(PlatformError, match="Permission denied") as caught:
            attempt()
        assert isinstance(caught.value, PermanentError)
        assert "right to write" in caught.value.remedy


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    writer(tmp_path, "whole").commit()
    killed, living = writer(tmp_path, "killed"), writer(tmp_path, "living")
    killed.write(divided(1))
    killed._give_up_claims()  # as the kernel does for a dead process
    living.write(divided(1))
    other = BatchWriter(tmp_path, raw_table(shop_db.Payments), "other", LOADED_AT)
    other.commit()
    assert remove_unfinished(tmp_path, ORDERS) == 1
    living.abort()
    assert everything(tmp_path) == ["shop_db/orders/whole/_manifest.json", "shop_db/payments/other/_manifest.json"]
    assert remove_unfinished(tmp_path, ORDERS) == 0
    assert remove_unfinished(tmp_path / "nowhere", ORDERS) == 0


def test_orphans_are_removed_once_they_are_old(tmp_path: Path) -> None:
    writer(tmp_path, "loaded").commit()
    writer(tmp_path, "orphan").commit()
    writer(tmp_path, "killed").write(divided(1))
    loaded = {"shop_db/orders/loaded"}
    before, after = datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(hours=1)
    assert remove_orphans(tmp_path, loaded, older_than=before) == []
    removed = remove_orphans(tmp_path, loaded, older_than=after)
    assert removed == ["shop_db/orders/.landing-killed.1", "shop_db/orders/orphan"]
    assert everything(tmp_path) == ["shop_db/orders/loaded/_manifest.json"]
    assert remove_orphans(tmp_path / "nowhere", set(), older_than=after) == []


def test_the_quarantine_file_holds_the_entries(tmp_path: Path) -> None:
    batch = writer(tmp_path)
    batch.write(divided(bad=2))
    landed = batch.commit()
    entries = quarantined(landed)
    assert entries.columns == QUARANTINE_ROWS.columns.names
    assert entries.get_column("row_key").to_list() == ["1000", "1001"]
    assert entries.select("source", "table_name", "batch_id", "quarantined_at").unique().rows() == [
        ("shop_db", "orders", "b1", LOADED_AT)
    ]
    assert landed.parts == []


def test_the_file_of_deleted_rows_holds_their_keys(tmp_path: Path) -> None:
    batch = writer(tmp_path)
    batch.delete(pl.DataFrame({"order_id": [3, 5]}))
    batch.delete(pl.DataFrame({"order_id": [4]}))
    assert not batch.is_empty
    landed = batch.commit()
    assert landed.deleted is not None
    assert pl.read_parquet(landed.deleted).rows() == [(3,), (5,), (4,)]
    assert visible(tmp_path) == [f"shop_db/orders/b1/{name}" for name in ("_manifest.json", "deleted.parquet")]


def test_the_manifest_keeps_how_the_batch_came_about(tmp_path: Path) -> None:
    batch = BatchWriter(tmp_path, ORDERS, "b1", LOADED_AT, {"kind": "backfill", "order_by": None})
    manifest = json.loads((batch.commit().folder / "_manifest.json").read_text())
    assert (manifest["kind"], manifest["order_by"]) == ("backfill", None)
