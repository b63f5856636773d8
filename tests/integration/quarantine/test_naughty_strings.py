"""Strings that break programs: in rows, filters, names and reasons they are only ever text."""

from __future__ import annotations

from pathlib import Path

from shopsphere_assets.quarantine.entries import Filter, count_entries, count_rules, read_detail
from tests.quarantined import Place, naughty_strings

_WELL_KNOWN = ("%", "_", "' OR 1=1 --", "$1", "{0}", "\\", '"rule":"amount.minimum"', "\x00", "\ud800", '","column":"x')


def test_rows_are_found_by_them_and_pass_through_unchanged(place: Place, repository: Path) -> None:
    strings = list(dict.fromkeys(text.replace("\x00", "") for text in naughty_strings(repository)))
    place.put_all([(number, -1, 0, text) for number, text in enumerate(strings)])
    place.read()
    entries = place.entries(rule="amount.minimum")
    # What the contract does not take for a clean text is set aside for that, too.
    dirty = {entry.quarantine_id for entry in entries if len(entry.reasons) > 1}
    assert len(entries) == len(strings)
    for text in (*strings[:: len(strings) // 40], *_WELL_KNOWN):
        found = count_entries(place.quarantine, Filter(text=text))
        assert found >= 1 or text in _WELL_KNOWN
        assert count_entries(place.quarantine, Filter(source=text, table=text, rule=text, column=text)) == 0
    assert count_entries(place.quarantine, Filter(text="%")) < len(strings)
    assert {count.rule for count in count_rules(place.quarantine, Filter())} <= {"amount.minimum", "note.clean_text"}

    reason = " ".join(strings) + "\x00\ud800"
    ids = [entry.quarantine_id for entry in entries if entry.quarantine_id not in dirty]
    outcomes = place.decide("readmit", *ids, by=strings[-1] or "x", reason=reason, cells={"amount": "1"})
    assert all(outcome.is_done for outcome in outcomes)
    kept = {row["thing_id"]: row["note"] for row in place.query("SELECT thing_id, note FROM raw.shop__things")}
    assert kept == {int(e.row_key): e.payload["note"] for e in entries if e.quarantine_id not in dirty}
    [past] = read_detail(place.quarantine, ids[0]).history
    assert past.reason == (" ".join(strings) + "\\0?").strip()
    before = place.contents()
    assert place.replay().rows_set_right == 0
    assert place.contents() == before
