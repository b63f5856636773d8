"""Rules that the file readers keep for all inputs: nothing is lost; the fast ways give what the exact ones do."""

from __future__ import annotations

import csv
import gzip
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from resources import json_text
from resources.file_source import Csv, FileSource, FixedWidth, JsonLines, JsonRecords
from resources.file_source.content import Content
from resources.file_source.delimited import read_csv
from resources.file_source.formats import FileFormat
from resources.file_source.json_lines import LineParser
from resources.file_source.pieces import Reading

COLUMNS = ("first", "second", "third")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
DELIMITED_TEXT = st.text(st.sampled_from('ab",;\t|\n\r \0é😀\u2028'), max_size=8)
BLOCK_BYTES = st.sampled_from([1, 7, 64, 1 << 20])
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**25), 10**25)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False, places=2).map(float)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder whose file the examples of one test overwrite."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def read_all(
    folder: Path, data: bytes, file_format: FileFormat, block_bytes: int, columns: tuple[str, ...] = COLUMNS
) -> tuple[list[tuple[str | None, ...]], list[str], str]:
    """Rows (without positions), rejected texts and the status of a file with this content."""
    (folder / "file").write_bytes(data)
    source = FileSource(folder, block_bytes=block_bytes)
    [file] = source.list_files()
    reader = source.read(file, file_format, columns)
    chunks = list(reader)
    rows = [row for chunk in chunks for row in chunk.rows.drop("_position").rows()]
    rejected = [raw for chunk in chunks if chunk.rejected is not None for raw in chunk.rejected["_raw"]]
    assert reader.outcome.rows_read == len(rows) + len(rejected)
    return rows, rejected, reader.outcome.status


def csv_bytes(rows: list[list[str]], delimiter: str, quoting: int) -> bytes:
    """The rows as Python's csv writes them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=quoting, lineterminator="\r\n")  # type: ignore[arg-type]
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return text.getvalue().encode()


@given(
    rows=st.lists(st.lists(TEXT | DELIMITED_TEXT, min_size=3, max_size=3), max_size=12),
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    block_bytes=BLOCK_BYTES,
)
@example(rows=[["a;b", "c", '"'], ["", "\r\n", "\n"], [";", ";", '";"']], delimiter=";", quoting=1, block_bytes=1)
def test_csv_gives_back_what_was_written(
    folder: Path, rows: list[list[str]], delimiter: str, quoting: int, block_bytes: int
) -> None:
    data = csv_bytes(rows, delimiter, quoting)
    expected = [tuple(field or None for field in row) for row in rows]
    assert read_all(folder, data, Csv(), block_bytes) == (expected, [], "read")


@given(
    data=st.lists(st.text(st.sampled_from('abc",;\n\r é'), max_size=10), max_size=12).map("\n".join),
    block_bytes=BLOCK_BYTES,
)
@example(data='1,"a\n2,b\n3,"c"\n4,d"\n', block_bytes=5)
@example(data='"a","b","c"\n"a","b"\n"a",b,"c"\na,"b\n","c"\n', block_bytes=1)
def test_csv_in_bulk_and_record_by_record_agree_on_any_text(folder: Path, data: str, block_bytes: int) -> None:
    path = folder / "any.csv"
    path.write_bytes(b"first,second,third\n" + data.encode())
    results = []
    for use_bulk in (True, False):
        content = Content(path, path.stat().st_size, block_bytes=block_bytes)
        reading = Reading("any.csv", content, "", COLUMNS)
        chunks = list(read_csv(reading, Csv(delimiter=","), use_bulk=use_bulk))
        rows = [row for chunk in chunks for row in chunk.rows.rows()]
        rejected = [row[:3] for chunk in chunks if chunk.rejected is not None for row in chunk.rejected.rows()]
        results.append((rows, rejected, reading.status))
    assert results[0] == results[1]
    path.unlink()


@given(
    rows=st.lists(st.lists(st.text(st.characters(codec="cp1252"), max_size=8), min_size=3, max_size=3), max_size=8),
    block_bytes=BLOCK_BYTES,
)
def test_windows_1252_is_told_from_utf_8_for_the_whole_file(
    folder: Path, rows: list[list[str]], block_bytes: int
) -> None:
    # Enough true words: alone, some pairs of characters are valid UTF-8 by chance.
    rows = [*rows, ["Müller", "Ärger über Öl", "ß"]]
    rows += [["Grüße aus Köln, schön süß, Füße"] * 3] * len(rows)
    data = csv_bytes(rows, ";", csv.QUOTE_ALL).decode().encode("cp1252")
    expected = [tuple(field or None for field in row) for row in rows]
    assert read_all(folder, data, Csv(), block_bytes)[0] == expected


def rows_of(frames: list[pl.DataFrame]) -> list[tuple[int | str | None, ...]]:
    """All rows in line order."""
    return sorted((row for frame in frames for row in frame.select("_line", *COLUMNS).rows()), key=lambda row: row[0])


@given(
    records=st.lists(st.dictionaries(st.sampled_from([*COLUMNS, "other"]), JSON_VALUES), max_size=10),
    ensure_ascii=st.booleans(),
)
@example(
    records=[{"first": 1.10, "second": -0.0, "third": 1e22}, {"first": 10**19, "second": 0.1 + 0.2}], ensure_ascii=True
)
@example(records=[{"first": "\ud83d\ude00"}], ensure_ascii=True)
def test_json_lines_in_bulk_give_every_value_as_written(records: list[dict[str, object]], ensure_ascii: bool) -> None:
    lines = [json.dumps(record, ensure_ascii=ensure_ascii) for record in records]
    parser = LineParser({name: name for name in COLUMNS})
    try:
        data = "".join(f"{line}\n" for line in lines).encode()
    except UnicodeEncodeError:
        return  # half a surrogate pair, unescaped: no file can hold it
    frames, rejections = parser.parse(data, 1)
    sound = []
    for number, line in enumerate(lines, start=1):
        cells = [json_text.as_text(json_text.parse(line).get(name)) for name in COLUMNS]
        if not json_text.has_lone_surrogate(cells):
            sound.append((number, *cells))
    assert rows_of(frames) == sound
    assert len(sound) + len(rejections) == len(lines)


@given(
    lines=st.lists(
        st.text(st.sampled_from('{}[]":,1.0e-truefalsn\\u "\r'), max_size=14)
        | st.sampled_from(['{"first":1}', '{"first":1},{"first":2}', '{"first":1.10}', "", " ", "null"]),
        max_size=80,
    )
)
@example(lines=['{"first":"a', 'b"}'])
@example(lines=['{"first":1}'] * 50 + ["{"] + ['{"first":2}'] * 50)
def test_every_line_that_is_no_json_object_is_rejected_and_no_other(lines: list[str]) -> None:
    frames, rejections = LineParser({"first": "first"}).parse("".join(f"{x}\n" for x in lines).encode(), 1)
    found = {line: value for frame in frames for value, line in frame.select("first", "_line").rows()}
    for number, line in enumerate(lines, start=1):
        if not line.strip(" \t\r"):
            assert number not in found
            continue
        try:
            record = json_text.parse(line)
        except json.JSONDecodeError:
            record = None
        if isinstance(record, dict):
            assert found.pop(number) == json_text.as_text(record.get("first"))
        else:
            assert number in {item.line for item in rejections}
    assert not found


@given(
    records=st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, JSON_VALUES)), max_size=8),
    block_bytes=BLOCK_BYTES,
    indent=st.sampled_from([None, 1]),
)
def test_a_json_list_gives_every_value_as_written(
    folder: Path, records: list[dict[str, object]], block_bytes: int, indent: int | None
) -> None:
    data = json.dumps({"before": [{"x": "]}"}], "data": {"rows": records}}, indent=indent).encode()
    expected = [
        tuple(json_text.as_text(json_text.parse(json.dumps(record))[name]) for name in COLUMNS) for record in records
    ]
    rows, rejected, status = read_all(folder, data, JsonRecords("data.rows"), block_bytes)
    assert (rows, rejected, status) == (expected, [], "read")


@given(
    rows=st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5), min_size=3, max_size=3))
)
def test_fixed_width_gives_back_what_was_padded(folder: Path, rows: list[list[str]]) -> None:
    layout = FixedWidth(tuple((name, 1 + 6 * place, 6) for place, name in enumerate(COLUMNS)), encoding="utf-8")
    rows = [row for row in rows if "".join(row).strip()]
    data = "".join("".join(field.ljust(6) for field in row) + "\r\n" for row in rows).encode()
    expected = [tuple(field.strip(" ") or None for field in row) for row in rows]
    assert read_all(folder, data, layout, 1 << 20) == (expected, [], "read")


def test_a_gzip_cut_anywhere_delivers_the_whole_lines_before_the_cut(folder: Path) -> None:
    lines = [json.dumps({"first": f"é{number}", "second": number}) for number in range(40)]
    packed = gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)
    whole = [(f"é{number}", str(number), None) for number in range(40)]
    for cut in range(3, len(packed)):
        rows, rejected, status = read_all(folder, packed[:cut], JsonLines(), 64)
        assert rows == whole[: len(rows)]
        assert status == "truncated"
        assert len(rejected) <= 1
    assert read_all(folder, packed, JsonLines(), 64) == (whole, [], "read")
