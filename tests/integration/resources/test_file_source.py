"""Files as other systems really drop them: encodings, ragged rows, cuts, garbage, naughty strings."""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import pytest

from resources.errors import PermanentError, TransientError
from resources.file_source import (
    CombinedLog,
    Csv,
    FileOutcome,
    FileSource,
    FixedWidth,
    JsonLines,
    JsonRecords,
    Xml,
)
from resources.file_source.formats import FileFormat

BLOCK_SIZES = (5, 1 << 24)


@dataclass
class Result:
    """What was read of one file."""

    rows: list[tuple[str | None, ...]]
    rejected: list[tuple[str, str, str]]
    outcome: FileOutcome


@pytest.fixture(params=BLOCK_SIZES, ids=lambda size: f"blocks-of-{size}")
def source(request: pytest.FixtureRequest, tmp_path: Path) -> FileSource:
    """An empty folder, read in tiny and in large blocks."""
    folder = tmp_path / "drops"
    folder.mkdir()
    return FileSource(folder, block_bytes=request.param)


def read(source: FileSource, data: bytes, file_format: FileFormat, columns: tuple[str, ...] | None = None) -> Result:
    """Drop a file with this content and read it."""
    (source.root / "file.txt").write_bytes(data)
    [file] = source.list_files("file.txt")
    reader = source.read(file, file_format, columns)
    chunks = list(reader)
    return Result(
        [row for chunk in chunks for row in chunk.rows.rows()],
        [row[:3] for chunk in chunks if chunk.rejected is not None for row in chunk.rejected.rows()],
        reader.outcome,
    )


# Listing ------------------------------------------------------------------------------------------------------


def test_listing_is_sorted_and_leaves_out_unfinished_and_hidden_files(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "c.csv.tmp", "d.csv.part", ".e.csv", ".hidden/f.csv", "deep/g.csv", "h.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    source = FileSource(tmp_path.as_uri())
    files = source.list_files("**/*.csv*")
    assert [file.path for file in files] == ["a.csv", "b.csv", "deep/g.csv"]
    assert files[0].content_hash == hashlib.sha256(b"a.csv").hexdigest()
    assert files[0].size_bytes == 5
    assert files[0].modified_at.tzinfo is not None


def test_a_folder_that_is_not_there_is_an_error_and_not_an_empty_source(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="cannot be listed") as error:
        FileSource(tmp_path / "nowhere").list_files()
    assert str(tmp_path / "nowhere") in error.value.where


def test_the_fingerprint_changes_with_every_change_and_only_then(tmp_path: Path) -> None:
    source = FileSource(tmp_path)
    seen = [source.fingerprint()]
    (tmp_path / "a").write_text("1")
    seen.append(source.fingerprint())
    os.utime(tmp_path / "a", ns=(1, 1))
    seen.append(source.fingerprint())
    assert source.fingerprint() == seen[-1]
    assert len(set(seen)) == 3


def test_a_file_that_changes_while_it_is_read_is_read_again_later(source: FileSource) -> None:
    path = source.root / "a.csv"
    path.write_text("id\n1\n")
    [file] = source.list_files()
    path.write_text("id\n2\n3\n")
    os.utime(path, ns=(1, 1))
    with pytest.raises(TransientError, match="changed while"):
        list(source.read(file, Csv()))
    path.unlink()
    with pytest.raises(TransientError, match="is gone"):
        list(source.read(file, Csv()))


def test_a_log_that_grew_since_is_read_up_to_the_size_that_was_listed(source: FileSource) -> None:
    path = source.root / "a.jsonl"
    path.write_text('{"a":1}\n')
    [file] = source.list_files()
    with path.open("a") as log:
        log.write('{"a":2}\n')
    assert [row for chunk in source.read(file, JsonLines(), ("a",)) for row in chunk.rows["a"]] == ["1"]


# CSV ----------------------------------------------------------------------------------------------------------


def test_csv_as_exports_really_are(source: FileSource) -> None:
    data = (
        '\ufeffId;NAME ;Note;extra\r\n"1";"A ""q""";"line 1\r\nline 2";\r\n"2";"";"x";"y"\r\n'
        '3;b;c;d;e\r\n\r\n4;b\r\n"5";"e;";"f\nragged"\r\n6;a;b;c'
    )
    result = read(source, data.encode(), Csv(columns={"remark": "note"}), ("id", "name", "remark"))
    assert result.rows == [
        ("1", 'A "q"', "line 1\r\nline 2", "file.txt:2"),
        ("2", None, "x", "file.txt:4"),
        ("6", "a", "b", "file.txt:10"),
    ]
    assert result.rejected == [
        ("file.txt:5", "3;b;c;d;e", "line.malformed"),
        ("file.txt:7", "4;b", "line.malformed"),
        ("file.txt:8", '"5";"e;";"f\nragged"', "line.malformed"),
    ]
    assert result.outcome.status == "read"
    assert result.outcome.rows_read == 6


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le-bom", "utf-16-be-bom"])
def test_every_encoding_of_an_export_is_found(source: FileSource, encoding: str) -> None:
    text = "id,name\n1,Jürgen Groß – €\n2,plain\n"
    marks = {"utf-16-le-bom": codecs.BOM_UTF16_LE, "utf-16-be-bom": codecs.BOM_UTF16_BE}
    data = marks.get(encoding, b"") + text.encode(encoding.removesuffix("-bom"))
    assert [row[1] for row in read(source, data, Csv()).rows] == ["Jürgen Groß – €", "plain"]


@pytest.mark.parametrize("block_bytes", [1 << 10, 1 << 24])
def test_a_stray_quote_costs_its_line_and_no_other(tmp_path: Path, block_bytes: int) -> None:
    source = FileSource(tmp_path, block_bytes=block_bytes)
    lines = ["id,name", '1,"open', *(f"{number},x" for number in range(2, 3000))]
    result = read(source, "\n".join(lines).encode(), Csv())
    assert result.rejected == [("file.txt:2", '1,"open', "line.malformed")]
    assert [row[0] for row in result.rows] == [str(number) for number in range(2, 3000)]


def test_bytes_that_are_not_utf_8_reject_their_row_alone(source: FileSource) -> None:
    data = "id,name\n1,üä\n2,öß\n".encode() + b"3,\xff\n" + b'4,"a\n\xfe"\n' + b"5,x\n"
    result = read(source, data, Csv())
    assert [row[0] for row in result.rows] == ["1", "2", "5"]
    assert [raw for _, raw, _ in result.rejected] == ["3,\\xff", '4,"a\n\\xfe"']


def test_old_line_ends_nul_bytes_and_long_fields_are_kept(source: FileSource) -> None:
    assert read(source, b"id,name\r1,a\r2,b\r", Csv()).rows == [("1", "a", "file.txt:2"), ("2", "b", "file.txt:3")]
    assert read(source, b"id,name\n1,a\0b\n", Csv()).rows == [("1", "a\0b", "file.txt:2")]
    long = "x" * 200_000
    assert [row[1] for row in read(source, f'id,name\n1,{long}\n2,"{long}"\n'.encode(), Csv()).rows] == [long] * 2


def test_a_missing_column_names_the_file_and_the_column(source: FileSource) -> None:
    with pytest.raises(PermanentError, match="'email' is missing") as error:
        read(source, b"id,name\n1,a\n", Csv(), ("id", "email"))
    assert error.value.where == "file.txt"
    with pytest.raises(PermanentError, match="stands 2 times"):
        read(source, b"id,ID\n1,a\n", Csv(), ("id",))


@pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf", b"\n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_has_no_rows_and_is_read(source: FileSource, data: bytes) -> None:
    formats: list[FileFormat] = [
        Csv(),
        JsonLines(),
        JsonRecords(),
        CombinedLog(),
        FixedWidth((("id", 1, 2),)),
        Xml("x"),
    ]
    for file_format in formats:
        result = read(source, data, file_format, ("id",) if not isinstance(file_format, CombinedLog) else None)
        assert (result.rows, result.rejected, result.outcome.status) == ([], [], "read"), file_format


# Fixed width and logs -----------------------------------------------------------------------------------------


def test_fixed_width_lines_that_do_not_fit_the_layout_are_rejected(source: FileSource) -> None:
    layout = FixedWidth((("id", 1, 6), ("name", 7, 4), ("points", 11, 2)), header_lines=1)
    data = "ID    NAMEPT\r\n0001  äö   9\r\n0002       1   \r\nshort\r\n0003  ab  10junk\r\n\r\n".encode()
    result = read(source, data, layout, ("points", "id", "name"))
    assert result.rows == [("9", "0001", "äö", "file.txt:2"), ("1", "0002", None, "file.txt:3")]
    assert [item[:2] for item in result.rejected] == [("file.txt:4", "short"), ("file.txt:5", "0003  ab  10junk")]
    trimmed = FixedWidth(layout.fields, blanks_trimmed=True)
    assert read(source, b"0001  ab\n", trimmed).rows == [("0001", "ab", None, "file.txt:1")]


def test_an_access_log_is_split_unescaped_and_its_times_are_utc(source: FileSource) -> None:
    data = rb"""1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /a?b=\"x\" HTTP/1.1" 200 2326 "/\xc3\xa9" "UA \\ \x22"
::1 - bob smith [31/Feb/2000:00:00:00 +0000] "-" 400 - "-" "-"
not a log line
1.1.1.1 - - [10/Oct/2000:13:55:36 +0000] "GET /x y" 404 0
9.9.9.9 - - [10/Oct/2000:13:55:36 +0000] "\x16\x03\x01\xff" 400 0 "-" "-"
"""
    result = read(source, data, CombinedLog())
    [file] = source.list_files("file.txt")
    head = file.content_hash[:16]
    assert result.rows == [
        (f"{head}:1", "1.2.3.4", None, "2000-10-10T20:55:36.000Z", "GET", '/a?b="x"', "HTTP/1.1", "200", "2326",
         "/é", 'UA \\ "', "file.txt:1"),
        (f"{head}:2", "::1", "bob smith", "31/Feb/2000:00:00:00 +0000", None, None, None, "400", None, None, None,
         "file.txt:2"),
        (f"{head}:4", "1.1.1.1", None, "2000-10-10T13:55:36.000Z", "GET", "/x y", None, "404", "0", None, None,
         "file.txt:4"),
        (f"{head}:5", "9.9.9.9", None, "2000-10-10T13:55:36.000Z", None, r"\x16\x03\x01\xff", None, "400", "0", None,
         None, "file.txt:5"),
    ]  # fmt: skip
    assert result.rejected == [("file.txt:3", "not a log line", "line.malformed")]


# JSON ---------------------------------------------------------------------------------------------------------


def test_json_lines_keep_numbers_as_written_and_find_every_bad_line(source: FileSource) -> None:
    lines = [
        b'{"a":1,"b":1.10}', b"", b"nope", b'{"a":"\\ud800"}', b'{"a":{"x":[1,2.50]}}', b"[1]", b'{"a":"\xff"}',
        '{"a":true,"b":"é\\ud83d\\ude00"}'.encode(), b'{"a":NaN}', b'{"a":"cut',
    ]  # fmt: skip
    result = read(source, b"\n".join(lines), JsonLines(encoding="utf-8"), ("a", "b"))
    assert result.rows == [
        ("1", "1.10", "file.txt:1"),
        ('{"x":[1,2.50]}', None, "file.txt:5"),
        ("true", "é😀", "file.txt:8"),
    ]
    assert [(position, rule) for position, _, rule in result.rejected] == [
        ("file.txt:3", "line.malformed"),
        ("file.txt:4", "line.malformed"),
        ("file.txt:6", "line.malformed"),
        ("file.txt:7", "line.malformed"),
        ("file.txt:9", "line.malformed"),
        ("file.txt:10", "line.truncated"),
    ]
    assert result.outcome.status == "truncated"


def test_a_broken_element_of_a_json_list_costs_itself_alone(source: FileSource) -> None:
    data = b'{"at":"x","rows":[\n{"a":1},\n5,\n{"a":2,,"b":"y"},\n{"a":{"deep":"z"}}\n]}'
    result = read(source, data, JsonRecords("rows", fields={"value": "a", "deep": "a.deep"}))
    assert result.rows == [("1", None, "file.txt:2"), ('{"deep":"z"}', "z", "file.txt:5")]
    assert [item[:2] for item in result.rejected] == [("file.txt:3", "5"), ("file.txt:4", '{"a":2,,"b":"y"}')]


def test_a_json_document_that_ends_too_soon_gives_what_came_before(source: FileSource) -> None:
    result = read(source, b'[{"a":1},\n {"a":2},\n {"a":"tr', JsonRecords(), ("a",))
    assert [row[0] for row in result.rows] == ["1", "2"]
    assert result.rejected == [("file.txt:3", '{"a":"tr', "line.truncated")]
    assert result.outcome.status == "truncated"


@pytest.mark.parametrize("data", [b"<html>sorry</html>", b'{"other":[]}', b'{"rows":{}}', b"\0\0\0", b'"text"'])
def test_a_file_that_is_not_the_document_is_rejected_and_not_raised(source: FileSource, data: bytes) -> None:
    result = read(source, data + b" " * 3000, JsonRecords("rows"), ("a",))
    assert result.outcome.status == "rejected"
    assert result.outcome.note
    [(_, raw, rule)] = result.rejected
    assert (raw, rule) == ((data + b" " * 3000)[:2000].decode(), "line.malformed")


def test_one_format_serves_a_list_and_lines(source: FileSource) -> None:
    assert read(source, b'[{"a":1}]', JsonRecords(), ("a",)).rows == [("1", "file.txt:1")]
    lines = gzip.compress(b'{"a":1}\n{"a":2}\n')
    assert read(source, lines, JsonRecords(), ("a",)).rows == [("1", "file.txt:1"), ("2", "file.txt:2")]


def test_damaged_gzip_gives_the_lines_before_the_damage(source: FileSource) -> None:
    packed = bytearray(gzip.compress(b"".join(b'{"a":%d}\n' % number for number in range(100)), mtime=0))
    packed[-6] ^= 0xFF  # the checksum
    result = read(source, bytes(packed), JsonLines(), ("a",))
    assert len(result.rows) == 100
    assert result.outcome.status == "truncated"
    assert "corrupt" in (result.outcome.note or "")


# XML ----------------------------------------------------------------------------------------------------------

SUPPLIERS = Xml(
    "crm:supplier", {"id": "@id", "changed": "@modified-at", "name": "crm:name", "country": "country/@code"}
)


def test_xml_with_namespaces_attributes_and_its_own_encoding(source: FileSource) -> None:
    data = (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n<crm:all xmlns:crm="urn:c" xmlns:k="urn:k">\n'
        '<crm:supplier id="1" modified-at="then">\n<crm:name>Müller &amp; <![CDATA[<Söhne>]]></crm:name>'
        '<crm:country code="DE"/></crm:supplier>\n<crm:supplier id="2"><crm:name/></crm:supplier></crm:all>'
    ).encode("latin-1")
    assert read(source, data, SUPPLIERS).rows == [
        ("1", "then", "Müller & <Söhne>", "DE", "file.txt:3"),
        ("2", None, None, None, "file.txt:5"),
    ]


def test_xml_that_says_utf_8_and_is_windows_1252_is_read(source: FileSource) -> None:
    data = '<?xml version="1.0" encoding="UTF-8"?><a><supplier id="1"><name>Grüße</name></supplier></a>'.encode(
        "cp1252"
    )
    assert read(source, data, SUPPLIERS, ("name",)).rows == [("Grüße", "file.txt:1")]


def test_xml_cut_off_gives_the_records_before_the_cut(source: FileSource) -> None:
    data = b'<a>\n<supplier id="1"><name>A</name></supplier>\n<supplier id="2"><na'
    result = read(source, data, SUPPLIERS, ("id", "name"))
    assert result.rows == [("1", "A", "file.txt:2")]
    assert result.rejected == [("file.txt:3", '<supplier id="2"><na', "line.truncated")]
    assert result.outcome.status == "truncated"


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><a><supplier id="1">&x;</supplier></a>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a><supplier id="1">&x;</supplier></a>',
        b"not xml",
        b"<a><b></a>",
    ],
)
def test_xml_with_entities_or_broken_is_rejected_and_not_raised(source: FileSource, data: bytes) -> None:
    result = read(source, data, SUPPLIERS)
    assert result.rows == []
    assert result.outcome.status == "rejected"


# Naughty strings ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def naughty(repository: Path) -> list[str]:
    """The Big List of Naughty Strings."""
    path = repository.parent / "shared/data/edge_cases/naughty_strings.json"
    if not path.is_file():
        pytest.skip(f"the Big List of Naughty Strings is not at {path}")
    return [text for text in json.loads(path.read_text(encoding="utf-8")) if text]


def values(source: FileSource, data: bytes, file_format: FileFormat, column: str = "text") -> list[str | None]:
    """The values of one column of a sound file."""
    result = read(source, data, file_format, (column,))
    assert result.rejected == []
    return [row[0] for row in result.rows]


def test_naughty_strings_survive_csv(source: FileSource, naughty: list[str]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["text", "other"], *([item, "x"] for item in naughty)])
    assert values(source, text.getvalue().encode(), Csv()) == naughty


@pytest.mark.parametrize("ensure_ascii", [True, False])
def test_naughty_strings_survive_json(source: FileSource, naughty: list[str], ensure_ascii: bool) -> None:
    records = [json.dumps({"text": item}, ensure_ascii=ensure_ascii) for item in naughty]
    assert values(source, "\n".join(records).encode(), JsonLines()) == naughty
    assert values(source, ("[" + ",".join(records) + "]").encode(), JsonRecords()) == naughty
    assert values(source, gzip.compress("\n".join(records).encode()), JsonRecords()) == naughty


def test_naughty_strings_survive_xml(source: FileSource, naughty: list[str]) -> None:
    # XML 1.0 has no control characters and no U+FFFE, and makes every line end a newline.
    fit = [item for item in naughty if "\ufffe" not in item and all(c >= " " or c in "\t\n" for c in item)]
    assert len(fit) > 0.95 * len(naughty)
    records = "".join(f"<row><text>{escape(item)}</text></row>" for item in fit)
    assert values(source, f"<rows>{records}</rows>".encode(), Xml("row")) == fit


def test_naughty_strings_survive_fixed_width(source: FileSource, naughty: list[str]) -> None:
    width = max(map(len, naughty))
    fit = [item for item in naughty if "\n" not in item and "\r" not in item and item.strip(" ") == item]
    data = "".join(item.ljust(width) + "|\n" for item in fit).encode()
    assert values(source, data, FixedWidth((("text", 1, width), ("end", width + 1, 1)))) == fit


def test_naughty_strings_survive_the_access_log(source: FileSource, naughty: list[str]) -> None:
    def escaped(text: str) -> str:
        text = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return "".join(c if c >= " " else f"\\x{ord(c):02x}" for c in text)

    fit = [item for item in naughty if item != "-"]
    start = '1.2.3.4 - - [10/Oct/2000:13:55:36 +0000] "GET / HTTP/1.1" 200 1 "-" '
    data = "".join(f'{start}"{escaped(item)}"\n' for item in fit).encode()
    assert values(source, data, CombinedLog(), "user_agent") == fit
