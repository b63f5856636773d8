"""The simulated files' formats give back what was put in, whatever the text."""

from __future__ import annotations

import json
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.files.crm_files import LOYALTY_LAYOUT, encoded, loyalty_file
from simulator.files.web_logs import access_file
from simulator.files.writing import gzipped, json_lines

# A lone surrogate is no text: no source can hold one.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))

COMBINED = re.compile(
    r'(\S+) - (\S+) \[([^\]]*)\] "(\S+) ((?:[^"\\]|\\.)*) (\S+)" (\S+) (\S+)'
    r' "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"'
)


def unescaped(text: str) -> str:
    """Apache's escapes undone."""
    named = {"n": "\n", "r": "\r", "t": "\t"}

    def character(match: re.Match[str]) -> str:
        code = match[1]
        return chr(int(code[1:], 16)) if code[0] == "x" and len(code) == 3 else named.get(code, code)

    return re.sub(r"\\(x[0-9a-f]{2}|.)", character, text, flags=re.DOTALL)


def request(**values: str | None) -> pl.DataFrame:
    usual: dict[str, str | None] = {
        "log_line_id": "1",
        "remote_host": "203.0.113.7",
        "remote_user": None,
        "method": "GET",
        "path": "/p/1?q=a",
        "protocol": "HTTP/1.1",
        "status_code": "200",
        "response_bytes": "512",
        "referrer": None,
        "user_agent": "Mozilla/5.0",
        "requested_at": "2026-01-02T03:04:05.678Z",
    }
    return pl.DataFrame([usual | values], schema=dict.fromkeys(usual, pl.String))


@given(text=TEXT, number=TEXT, neighbour=TEXT)
def test_json_lines_hold_any_text(text: str, number: str, neighbour: str) -> None:
    frame = pl.DataFrame({"a": [text], "n": [number], "m": [neighbour]})
    line = json_lines(frame, numbers=["n", "m"])[0]
    assert "\n" not in line
    shown = json.loads(line)
    assert shown["a"] == text
    assert str(shown["n"]) == number
    assert str(shown["m"]) == neighbour


def test_only_whole_numbers_become_json_numbers() -> None:
    texts = ["12", "-3", "0", "007", "1.5", "", "twelve", None, '","n":"9', "9" * 19]
    lines = json_lines(pl.DataFrame({"a": texts, "n": texts}), numbers=["n"])
    assert [json.loads(line)["a"] for line in lines] == texts
    shown = [json.loads(line)["n"] for line in lines]
    assert shown == [12, -3, 0, "007", "1.5", "", "twelve", None, '","n":"9', "9" * 19]


def test_a_request_is_one_line_in_combined_format() -> None:
    line = access_file(request()).decode()
    assert line == ('203.0.113.7 - - [02/Jan/2026:03:04:05 +0000] "GET /p/1?q=a HTTP/1.1" 200 512 "-" "Mozilla/5.0"\n')


@pytest.mark.parametrize("moment", ["31.02.2026", "2026-13-45T00:00:00.000Z", "1767322800"])
def test_a_moment_that_cannot_be_read_stays_as_it_is(moment: str) -> None:
    assert f"[{moment}]" in access_file(request(requested_at=moment)).decode()


@given(agent=TEXT.filter(bool), referrer=TEXT.filter(bool))
def test_requests_hold_any_text_between_quotes(agent: str, referrer: str) -> None:
    content = access_file(request(user_agent=agent, referrer=referrer)).decode("utf-8")
    assert content.count("\n") == 1
    match = COMBINED.fullmatch(content.removesuffix("\n"))
    assert match is not None
    assert unescaped(match[9]) == referrer
    assert unescaped(match[10]) == agent


@pytest.mark.parametrize("status", ["two hundred", "", None, "99999"])
def test_a_wrong_status_does_not_break_the_line(status: str | None) -> None:
    match = COMBINED.fullmatch(access_file(request(status_code=status)).decode().removesuffix("\n"))
    assert match is not None
    assert unescaped(match[7]) == (status or "-")


@given(text=TEXT, encoding=st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "latin-1"]))
def test_the_bytes_alone_tell_the_encoding(text: str, encoding: str) -> None:
    content = encoded(text, encoding)
    try:
        read = content.decode("utf-8-sig") if content.startswith(b"\xef\xbb\xbf") else content.decode("utf-8")
    except UnicodeDecodeError:
        read = content.decode("cp1252")
    assert read == text.removeprefix("\ufeff") if encoding != "utf-8-sig" else read == text


def test_german_text_really_comes_in_eight_bits() -> None:
    assert encoded("Köln", "cp1252") == b"K\xf6ln"
    # Wrongly decoded text must not be mended by the way that it is written.
    assert encoded("KÃ¶ln", "cp1252") == "KÃ¶ln".encode()


def test_loyalty_records_are_cut_and_aligned_by_the_layout() -> None:
    frame = pl.DataFrame(
        {
            "loyalty_number": ["0123456789"],
            "crm_contact_id": ["C000001"],
            "tier": ["gold, and much too long for the field"],
            "points_balance": ["250"],
            "enrolled_on": [None],
            "modified_at": ["2026-01-02T03:04:05.678Z"],
        },
        schema_overrides={"enrolled_on": pl.String},
    )
    record = loyalty_file(frame).decode()
    fields = {name: record[start - 1 : start - 1 + width] for name, start, width in LOYALTY_LAYOUT}
    assert record == "".join(fields.values()) + "\r\n"
    assert fields["points_balance"] == "             250"
    assert fields["tier"] == "gold, and much t"
    assert fields["enrolled_on"].strip() == ""


def test_compressed_bytes_do_not_depend_on_the_time() -> None:
    # Bytes 4 to 7 of a gzip header hold a time.
    assert gzipped(b"content")[4:8] == bytes(4)
