"""The simulated file drops hold the day's rows in files that ordinary tools can read."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from simulator.files import FileDrops
from simulator.sinks import TRUTH_SCHEMA, Day

CRM = "{urn:legacy-crm:export:2}"
PERSON = "{urn:legacy-crm:contact:1}"
COLUMNS = {
    "web_logs/events": (
        "event_id event_type visitor_id customer_id url referrer utm_source utm_medium utm_campaign"
        " search_query product_id order_id quantity user_agent ip_address occurred_at received_at"
    ),
    "web_logs/access_log": (
        "log_line_id remote_host remote_user method path protocol status_code response_bytes referrer"
        " user_agent requested_at"
    ),
    "crm_files/contacts": (
        "crm_contact_id salutation first_name last_name email phone street city postal_code country_code"
        " birth_date notes created_on modified_at"
    ),
    "crm_files/loyalty_accounts": (
        "loyalty_number crm_contact_id tier points_balance enrolled_on modified_at"
    ),
    "crm_files/interactions": (
        "interaction_id crm_contact_id channel direction subject notes occurred_at"
    ),
    "crm_files/suppliers": (
        "supplier_id name contact_email phone country_code brand lead_time_days modified_at"
    ),
    "support/tickets": (
        "ticket_id requester_email requester_name customer_id order_id channel subject body status priority"
        " satisfaction_rating created_at solved_at updated_at"
    ),
}  # fmt: skip


def day(number: int, *, rows: int = 30) -> Day:
    """A day on which every table gets rows; texts name their row and column, with characters that hurt."""
    moment = date(2026, 1, 1) + timedelta(days=number)
    special: Mapping[str, Any] = {
        "event_type": lambda n: "page_view",
        "received_at": lambda n: f"{moment}T{n % 24:02d}:00:00.000Z",
        "requested_at": lambda n: f"{moment}T{n % 24:02d}:00:00.000Z",
        "customer_id": lambda n: "no number" if n == 3 else str(n),
        "order_id": lambda n: None,
        "method": lambda n: "GET",
        "path": lambda n: f"/p/{n}",
        "protocol": lambda n: "HTTP/1.1",
        "remote_host": lambda n: "203.0.113.7",
        "remote_user": lambda n: None,
        "status_code": lambda n: "200",
        "response_bytes": lambda n: "5",
        "crm_contact_id": lambda n: f"C{n:06d}",
        "loyalty_number": lambda n: f"{n:010d}",
        "points_balance": lambda n: str(n * 100),
        "enrolled_on": lambda n: str(moment),
        "modified_at": lambda n: f"{moment}T01:02:03.004Z",
        "tier": lambda n: "gold",
        "notes": lambda n: f'said "no;\nthanks", {n}' if n % 2 else None,
        "name": lambda n: f"Müller & Söhne <{n}>",
        "lead_time_days": lambda n: "soon" if n == 2 else "5",
    }
    tables = {}
    for table, columns in COLUMNS.items():
        names = columns.split()
        values = {
            name: [special[name](n) if name in special else f"{name} é {n}" for n in range(rows)] for name in names
        }
        tables[table] = pl.DataFrame(values, schema=dict.fromkeys(names, pl.String))
    return Day(number, moment, tables)


@pytest.fixture
def drops(tmp_path: Path) -> FileDrops:
    return FileDrops(tmp_path / "drops", tmp_path / "truth")


def names(drops: FileDrops) -> list[str]:
    return sorted(str(path.relative_to(drops.folder)) for path in drops.folder.rglob("*") if path.is_file())


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_every_table_has_its_dated_files(drops: FileDrops) -> None:
    drops.write(day(1))
    assert names(drops) == [
        "crm_files/contacts/contacts-2026-01-02.csv",
        "crm_files/interactions/interactions-2026-01-02.json",
        "crm_files/loyalty/loyalty-2026-01-02.txt",
        "crm_files/suppliers/suppliers-2026-01-02.xml",
        "support/tickets-2026-01-02.json.gz",
        "web_logs/access/access-2026-01-02.log",
        "web_logs/events/events-2026-01-02-00.jsonl.gz",
        "web_logs/events/events-2026-01-02-06.jsonl",
        "web_logs/events/events-2026-01-02-12.jsonl",
        "web_logs/events/events-2026-01-02-18.jsonl",
    ]


@pytest.mark.parametrize("number", [0, 1, 15])
def test_writing_a_day_again_gives_the_same_bytes(drops: FileDrops, number: int) -> None:
    drops.write(day(number))
    before = contents(drops.folder)
    drops.write(day(number))
    assert contents(drops.folder) == before


def test_a_table_without_rows_has_no_file(drops: FileDrops) -> None:
    drops.write(day(1, rows=0))
    assert names(drops) == []


def test_events_are_complete_over_the_files_of_a_day(drops: FileDrops) -> None:
    written = day(1)
    drops.write(written)
    found = []
    for path in sorted((drops.folder / "web_logs/events").iterdir()):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        found += [json.loads(line) for line in content.decode().splitlines()]
    rows = {row["event_id"]: row for row in written.tables["web_logs/events"].to_dicts()}
    assert len(found) == len(rows)
    for event in found:
        row = rows[event["event_id"]]
        assert {name: None if v is None else str(v) for name, v in event.items()} == row
        assert isinstance(event["customer_id"], str if row["customer_id"] == "no number" else int)


def test_the_truth_says_where_each_request_stands(drops: FileDrops) -> None:
    drops.write(day(1))
    lines = pl.read_parquet(drops.truth_folder / "lines/day=0001.parquet")
    [path] = lines["path"].unique()
    log = (drops.folder / path).read_text("utf-8").split("\n")
    for row in lines.to_dicts():
        number = row["row_key"].rpartition(" ")[2]
        assert f'"GET /p/{number} HTTP/1.1"' in log[row["line"] - 1]


@pytest.mark.parametrize(
    ("number", "delimiter", "encoding"),
    [(0, ";", "utf-8-sig"), (1, ",", "cp1252"), (2, ";", "utf-8"), (3, ",", "latin-1")],
)
def test_contacts_survive_delimiters_encodings_and_quoted_newlines(
    drops: FileDrops, number: int, delimiter: str, encoding: str
) -> None:
    written = day(number)
    drops.write(written)
    content = (drops.folder / f"crm_files/contacts/contacts-{written.moment}.csv").read_bytes()
    assert content.startswith(b"\xef\xbb\xbf") == (encoding == "utf-8-sig")
    assert (b"\xe9" in content) == (encoding in ("cp1252", "latin-1"))
    header, *records = csv.reader(io.StringIO(content.decode(encoding), newline=""), delimiter=delimiter)
    whole = [record for record in records if len(record) == len(header)]
    rows = written.tables["crm_files/contacts"].fill_null("")
    assert (header, whole) == (rows.columns, [list(row) for row in rows.rows()])


def test_ragged_rows_are_planted_and_known(drops: FileDrops) -> None:
    drops.write(day(3, rows=3000))
    content = (drops.folder / "crm_files/contacts/contacts-2026-01-04.csv").read_bytes()
    header, *records = csv.reader(io.StringIO(content.decode("latin-1"), newline=""), delimiter=",")
    ragged = {record[0]: len(record) - len(header) for record in records if len(record) != len(header)}
    truth = pl.read_parquet(drops.truth_folder / "day=0003-files.parquet")
    assert truth.schema == TRUTH_SCHEMA
    assert set(ragged.values()) == {1, -1}
    assert truth["row_key"].to_list() == list(ragged)
    assert set(truth.select("day", "source", "table_name", "kind", "rule", "is_row_visible").rows()) == {
        (3, "crm_files", "contacts", "ragged_row", "line.malformed", True)
    }


def test_text_that_the_encoding_cannot_hold_comes_in_utf8(drops: FileDrops) -> None:
    written = day(1)
    contacts = written.tables["crm_files/contacts"].with_columns(city=pl.lit("東京"))
    drops.write(Day(1, written.moment, {"crm_files/contacts": contacts}))
    assert "東京" in (drops.folder / "crm_files/contacts/contacts-2026-01-02.csv").read_text("utf-8")


def test_interactions_come_in_an_envelope(drops: FileDrops) -> None:
    written = day(1)
    drops.write(written)
    document = json.loads((drops.folder / "crm_files/interactions/interactions-2026-01-02.json").read_bytes())
    assert document["exported_at"] == "2026-01-02T23:55:00.000Z"
    assert document["interactions"] == written.tables["crm_files/interactions"].to_dicts()


@pytest.mark.parametrize("number", [0, 1])
def test_suppliers_are_well_formed_xml_in_the_encoding_that_it_declares(drops: FileDrops, number: int) -> None:
    written = day(number)
    suppliers = written.tables["crm_files/suppliers"].with_columns(
        brand=pl.Series(["東京", "bell\x07", None, "two\nlines", *["plain"] * 26])
    )
    drops.write(Day(number, written.moment, {"crm_files/suppliers": suppliers}))
    root = ET.parse(drops.folder / f"crm_files/suppliers/suppliers-{written.moment}.xml").getroot()
    found = [
        {
            "supplier_id": element.get("id"),
            "name": element.findtext(f"{CRM}name"),
            "contact_email": element.findtext(f"{PERSON}email"),
            "phone": element.findtext(f"{PERSON}phone"),
            "country_code": country.get("code"),
            "brand": element.findtext(f"{CRM}brand"),
            "lead_time_days": element.findtext(f"{CRM}lead-time"),
            "modified_at": element.get("modified-at"),
        }
        for element in root.iter(f"{CRM}supplier")
        if (country := element.find(f"{CRM}country")) is not None
    ]
    expected = suppliers.with_columns(pl.col("brand").str.replace("\x07", "\ufffd", literal=True))
    assert found == expected.to_dicts()


def test_tickets_are_a_list_on_even_days_and_compressed_lines_on_odd_ones(drops: FileDrops) -> None:
    even, odd = day(0), day(1)
    drops.write(even)
    drops.write(odd)
    listed = json.loads((drops.folder / "support/tickets-2026-01-01.json").read_bytes())
    content = gzip.decompress((drops.folder / "support/tickets-2026-01-02.json.gz").read_bytes())
    lines = [json.loads(line) for line in content.splitlines()]
    for tickets, written in ((listed, even), (lines, odd)):
        assert [t["ticket_id"] for t in tickets] == written.tables["support/tickets"]["ticket_id"].to_list()
        assert [t["customer_id"] for t in tickets[2:5]] == [2, "no number", 4]


def test_a_truncated_export_is_sent_again_whole_the_next_day(drops: FileDrops) -> None:
    drops.write(day(15))
    path = drops.folder / "support/tickets-2026-01-16.json.gz"
    with pytest.raises(EOFError):
        gzip.decompress(path.read_bytes())
    truth = pl.read_parquet(drops.truth_folder / "day=0015-files.parquet")
    assert truth.filter(kind="truncated_file")["row_key"].to_list() == ["support/tickets-2026-01-16.json.gz"]
    drops.write(day(16, rows=0))
    assert len(gzip.decompress(path.read_bytes()).splitlines()) == 30
    assert not [name for name in names(drops) if name.endswith(".tmp")]


def test_two_hundred_thousand_events_fit_in_one_day(drops: FileDrops) -> None:
    rows = 200_000
    events = day(1).tables["web_logs/events"]
    many = pl.concat([events] * (rows // events.height + 1)).head(rows)
    drops.write(Day(1, date(2026, 1, 2), {"web_logs/events": many}))
    written = sum(
        pl.read_ndjson(path, infer_schema_length=None).height
        for path in (drops.folder / "web_logs/events").glob("*.jsonl")
    )
    assert written > rows // 2
