"""The platform's work judged by the simulator's truth: nothing lost, nothing doubled, every visible error caught."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import pytest

from simulator.files.support import is_truncated_on
from simulator.world import KEYS
from tests.end_to_end.conftest import FIRST_DAYS, FURTHER_DAYS, Loaded, State, state_of
from tests.end_to_end.pipeline import DATABASE_SOURCES, TABLES, Platform, Shop
from tests.end_to_end.source_rows import corrected_cells, identities_in_quarantine, identities_in_truth

pytestmark = pytest.mark.timeout(600)

ROW = ["label", "identity"]


@dataclass(frozen=True)
class Verdict:
    """Entries of the quarantine and corrected cells against the visible errors that stand at the sources."""

    planted: pl.DataFrame
    quarantined: pl.DataFrame
    corrected: pl.DataFrame


def corrected_of(state: State) -> pl.DataFrame:
    """The cells that were loaded corrected."""
    return corrected_cells(state.corrections)


def with_corrections(planted: pl.DataFrame, corrected: pl.DataFrame) -> pl.DataFrame:
    """Those of the ``planted`` errors that were corrected, with what they became."""
    keys = pl.when(pl.col("label") == "web_logs/access_log").then("identity").otherwise("row_key")
    cell = ["label", "row_key", "column_name"]
    return (
        planted.with_columns(keys.alias("row_key"))
        .join(corrected, on=cell, how="inner")
        .filter(pl.col("original").str.replace(r"\+00:00$", "") == pl.col("wrong_value").str.replace("Z$", ""))
    )


@pytest.fixture(scope="module")
def verdict(shop: Shop, embedded: Loaded) -> Verdict:
    """Both sides with ``label`` and ``identity``."""
    state = embedded.state
    truth = identities_in_truth(shop, state.truth.filter(pl.col("is_row_visible")))
    # Of an export that broke off only what stands before the break was ever delivered; ragged lines are extra.
    kept = pl.concat([truth.filter(pl.col("kind") == "ragged_row"), truth.join(state.delivered, on=ROW, how="semi")])
    return Verdict(kept, identities_in_quarantine(state.quarantine), corrected_of(state))


def broken_off(shop: Shop) -> str:
    """The export of tickets that breaks off on the last of the first days."""
    day = shop.recorder.days[FIRST_DAYS - 1]
    assert is_truncated_on(day)
    return f"tickets-{day.moment.isoformat()}.json.gz"


def test_every_batch_closes(embedded: Loaded, on_servers: Loaded) -> None:
    """Rows read are rows loaded plus quarantined plus excluded, for every raw table, on both engines."""
    for loaded in (embedded, on_servers):
        batches = loaded.state.batches
        assert set(batches.select(pl.format("{}/{}", "source", "table_name")).to_series()) == set(TABLES)
        accounted = pl.col("rows_loaded") + pl.col("rows_quarantined") + pl.col("rows_excluded")
        assert batches.filter(pl.col("rows_read") != accounted).is_empty()


def test_what_the_ledger_says_was_read_is_what_the_sources_hold(shop: Shop, embedded: Loaded) -> None:
    state = embedded.state
    delivered = dict(state.delivered.group_by("label").len().iter_rows())
    extra = state.truth.filter(pl.col("kind") == "ragged_row").height
    delivered["crm_files/contacts"] += extra
    delivered["support/tickets"] += 1  # the severed line
    read = state.batches.select(pl.format("{}/{}", "source", "table_name").alias("label"), "rows_read")
    assert dict(read.iter_rows()) == {label: delivered.get(label, 0) for label in TABLES}


def test_no_row_is_lost_and_none_is_doubled(shop: Shop, embedded: Loaded) -> None:
    """Raw tables and quarantine together hold the sources' rows: each row in one of them, once."""
    state = embedded.state
    entries = identities_in_quarantine(state.quarantine)
    lines = entries.filter(pl.col("rules").list.eval(pl.element().str.starts_with("line.")).list.any())
    rows = entries.join(lines, on=ROW, how="anti")
    assert rows.filter(pl.struct(ROW).is_duplicated()).is_empty()
    assert rows.join(state.delivered, on=ROW, how="anti").is_empty()
    for label, table in TABLES.items():
        delivered = state.delivered.filter(pl.col("label") == label)
        good = delivered.join(rows, on=ROW, how="anti")
        raw = state.raw[label]
        [key] = table.key
        assert raw[key].n_unique() == raw.height, label
        if label == "web_logs/access_log":
            assert raw.height == good.height
        else:
            assert sorted(raw[key].cast(pl.String)) == sorted(good["row_key"].unique()), label


def test_raw_tables_hold_the_databases_values(shop: Shop, embedded: Loaded) -> None:
    """Cell by cell, as the databases' own drivers give them, for every row that is not in quarantine.

    Cells that were corrected hold what the record says of them.
    """
    compared = 0
    corrected = {
        (label, key, column, original): now for label, key, column, original, now in corrected_of(embedded.state).rows()
    }
    for label, raw in embedded.state.raw.items():
        source = label.partition("/")[0]
        if source not in DATABASE_SOURCES:
            continue
        key = KEYS[label]
        found = {row[key]: row for row in raw.iter_rows(named=True)}
        for row in first_rows(shop, label):
            if row[key] in found:
                expected = {column: row.get(column) for column in raw.columns}
                for column, value in expected.items():
                    expected[column] = corrected.get((label, str(row[key]), column, value), value)
                assert found[row[key]] == expected, label
                compared += 1
        assert found, label
    assert compared > 5_000


def first_rows(shop: Shop, label: str) -> Iterator[dict[str, Any]]:
    """The latest version of each row of a database's table within the first days, as it was written there."""
    key = KEYS[label]
    rows: dict[Any, dict[str, Any]] = {}
    for day in shop.days:
        if day.number >= FIRST_DAYS:
            break
        if label in day.tables:
            rows.update((row[key], row) for row in day.tables[label].iter_rows(named=True))
        if label in day.deleted:
            for gone in day.deleted[label][key]:
                rows.pop(gone, None)
    return iter(rows.values())


def test_every_visible_error_is_in_quarantine_with_its_rule_or_corrected_on_record(verdict: Verdict) -> None:
    """Whatever a row rule can see and still stands at its source is set aside for the right reason, or mended."""
    judged = verdict.planted.join(verdict.quarantined.select(*ROW, "rules"), on=ROW, how="left")
    caught = judged.filter(pl.col("rules").list.contains(pl.col("rule")))
    mended = with_corrections(judged, verdict.corrected)
    missed = judged.join(caught, on=[*ROW, "kind", "rule"], how="anti")
    missed = missed.join(mended, on=[*ROW, "kind", "rule"], how="anti")
    assert mended.height > 100
    assert missed.select(*ROW, "kind", "rule", "wrong_value", "rules").rows() == []
    assert judged.height > 1_000
    assert verdict.planted["kind"].n_unique() >= 20


def test_what_is_corrected_by_rule_becomes_what_was_right(shop: Shop, embedded: Loaded, verdict: Verdict) -> None:
    """Of the planted errors that were corrected, every one of a database's table; a log's file may be a folder's."""
    truth = identities_in_truth(shop, embedded.state.truth)
    mended = with_corrections(truth, verdict.corrected).filter(pl.col("label").str.starts_with("shop_db/"))
    wrong = mended.filter(pl.col("corrected") != pl.col("correct_value"))
    assert wrong.select("label", "kind", "original", "corrected", "correct_value").rows() == []
    assert mended["kind"].n_unique() >= 5


def test_no_good_row_is_in_quarantine(
    verdict: Verdict, embedded: Loaded, record_property: Callable[[str, object], None]
) -> None:
    """The share of good rows set aside is none; what was planted, caught and harmed is told per table."""
    lines = pl.col("rules").list.eval(pl.element() == "line.truncated").list.any()
    harmed = verdict.quarantined.filter(~lines).join(verdict.planted, on=ROW, how="anti")
    caught = verdict.planted.join(verdict.quarantined, on=ROW, how="semi")
    counts = embedded.state.delivered.group_by("label", maintain_order=True).len("rows")
    for name, frame in (("planted", verdict.planted), ("caught", caught), ("harmed", harmed)):
        found = frame.select(ROW).unique().group_by("label").len(name)
        counts = counts.join(found, on="label", how="left", maintain_order="left")
    counts = counts.fill_null(0).sort("label")
    totals = counts.select(pl.lit("all").alias("label"), pl.exclude("label").sum())
    table = pl.concat([counts, totals])
    record_property("truth", table.write_csv())
    with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True):
        sys.stdout.write(f"\nRows with a planted error that a row rule can see, and what became of them\n{table}\n")
    assert harmed.select(*ROW, "rules").rows() == []


def test_errors_that_no_row_rule_sees_are_let_through(shop: Shop, embedded: Loaded, verdict: Verdict) -> None:
    """A row whose only fault is one that a row rule cannot see is loaded: set rules and models are for those."""
    truth = identities_in_truth(shop, embedded.state.truth)
    unseen = truth.filter(~pl.col("is_row_visible") & (pl.col("kind") != "truncated_file"))
    alone = unseen.join(verdict.planted, on=ROW, how="anti")
    assert alone.height > 100
    assert alone.join(verdict.quarantined, on=ROW, how="semi").is_empty()


def test_the_rest_of_an_export_that_broke_off_is_set_aside_and_told(shop: Shop, embedded: Loaded) -> None:
    """The severed line is in quarantine with its place; the file stands in the ledger as truncated."""
    name = broken_off(shop)
    platform = embedded.platform
    entries = embedded.state.quarantine.filter(pl.col("rules").list.contains("line.truncated"))
    [(source, table, position)] = entries.select("source", "table_name", "position").rows()
    assert (source, table, position.rpartition(":")[0]) == ("support", "tickets", name)
    files = platform.query("select path, status, note, rows_read from ledger.files where status <> 'read'")
    [(path, status, note, rows)] = files.rows()
    assert (path, status) == (name, "truncated")
    assert rows == int(position.rpartition(":")[2])
    assert note


# The shop goes on ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Later:
    """After further days, each followed by a run: what two platforms that followed hold, and one that begins."""

    followed: dict[str, State]
    from_scratch: State
    platform: Platform
    scratch: Platform


@pytest.fixture(scope="module")
def later(shop: Shop, embedded: Loaded, on_servers: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Later:
    """A few more days, day by day with a run after each and one run that finds nothing new."""
    platforms = {"embedded": embedded.platform, "on servers": on_servers.platform}
    for _ in range(FURTHER_DAYS):
        shop.advance(1)
        for platform in platforms.values():
            platform.ingest()
    for platform in platforms.values():
        platform.ingest()
    scratch = Platform(tmp_path_factory.mktemp("scratch"), shop.variables)
    scratch.ingest()
    followed = {name: state_of(shop, platform) for name, platform in platforms.items()}
    return Later(followed, state_of(shop, scratch), embedded.platform, scratch)


def kept_versions(shop: Shop, state: State, scratch: State, label: str) -> pl.DataFrame:
    """Rows of a raw table that only whoever followed the source can have.

    A source that changes in place forgets: the good version of a row whose present version is in quarantine, and
    a row that was deleted. Both are kept.
    """
    key = TABLES[label].key[0]
    bad = identities_in_quarantine(scratch.quarantine).filter(pl.col("label") == label)["row_key"]
    present = state.delivered.filter(pl.col("label") == label)["row_key"]
    text = pl.col(key).cast(pl.String)
    return state.raw[label].filter(text.is_in(bad.implode()) | ~text.is_in(present.implode()))


@pytest.mark.parametrize("name", ["embedded", "on servers"])
def test_following_day_by_day_gives_what_one_run_from_scratch_gives(shop: Shop, later: Later, name: str) -> None:
    """Raw tables are equal but for the versions that the sources have forgotten, which are good ones and kept."""
    state, scratch = later.followed[name], later.from_scratch
    assert rows_committed_late(shop) > 0, "nothing puts the look-back to the test"
    kept_rows = 0
    for label, table in TABLES.items():
        key = list(table.key)
        if label.split("/")[0] in ("web_logs", "crm_files", "support"):
            kept = state.raw[label].clear()
        else:
            kept = kept_versions(shop, state, scratch, label)
        same = state.raw[label].join(kept, on=key, how="anti").sort(key)
        assert same.equals(scratch.raw[label]), label
        kept_rows += kept.height
    assert 0 < kept_rows < 100


def rows_committed_late(shop: Shop) -> int:
    """The databases' rows of the further days whose time of change lies on the day before."""
    days = [day for day in shop.days if day.number >= FIRST_DAYS]
    frames = [(day, frame) for day in days for label, frame in day.tables.items() if label.startswith(DATABASE_SOURCES)]
    return sum(int((frame["updated_at"] < day.begins_at).sum()) for day, frame in frames)


def test_following_closes_the_ledger_and_doubles_no_entry(later: Later) -> None:
    accounted = pl.col("rows_loaded") + pl.col("rows_quarantined") + pl.col("rows_excluded")
    for state in (*later.followed.values(), later.from_scratch):
        assert state.batches.filter(pl.col("rows_read") != accounted).is_empty()
        assert (
            state.quarantine.filter(pl.struct("source", "table_name", "row_key", "payload").is_duplicated())
            .filter(pl.col("row_key") != "")
            .is_empty()
        )


def test_following_misses_no_error(shop: Shop, later: Later) -> None:
    """Every visible error that stands at a source at the end is in quarantine, whoever read it when."""
    truth = identities_in_truth(shop, later.followed["embedded"].truth.filter(pl.col("is_row_visible")))
    for state in later.followed.values():
        found = identities_in_quarantine(state.quarantine).explode("rules").select(*ROW, rule="rules")
        missed = truth.join(found, on=[*ROW, "rule"], how="anti")
        mended = with_corrections(missed, corrected_of(state))
        assert missed.join(mended, on=[*ROW, "rule"], how="anti").select(*ROW, "rule").rows() == []


def marts_after(platform: Platform, *arguments: str) -> dict[str, pl.DataFrame]:
    """The published marts after dbt has run."""
    platform.dbt("run", *arguments)
    platform.publish()
    return platform.marts()


def test_marts_that_followed_equal_a_full_build(later: Later) -> None:
    incremental = marts_after(later.platform)
    full = marts_after(later.platform, "--full-refresh")
    assert [name for name in full if not incremental[name].equals(full[name])] == []


def test_following_gives_the_same_marts(shop: Shop, later: Later) -> None:
    """With the versions that the source has forgotten taken out, the marts equal those made from scratch."""
    state = later.followed["embedded"]
    with later.platform.warehouse.transaction() as transaction:
        for label, table in TABLES.items():
            if label.split("/")[0] in ("shop_db", "catalogue_db", "hubspot", "reviews"):
                for key in kept_versions(shop, state, later.from_scratch, label)[table.key[0]]:
                    transaction.execute(f"delete from {table.definition} where {table.key[0]} = $1", [key])
    # What is taken out of raw behind the ledger's back only a full build can know.
    followed = marts_after(later.platform, "--full-refresh")
    scratch = marts_after(later.scratch)
    assert set(followed) == set(scratch)
    different = [name for name in scratch if not followed[name].equals(scratch[name])]
    # Only who followed has the history of the customers.
    assert different == ["customers.dim_customer_history"]
