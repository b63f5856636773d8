"""What people decide about quarantined rows: it holds, whatever the source, a second person or a crash does."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from resources.commit_points import CommitPoint, listening
from resources.errors import PermanentError
from shopsphere_assets.quarantine.decisions import Wish
from shopsphere_assets.quarantine.entries import read_detail
from tests.quarantined import Place, at


def settlement(place: Place, key: str = "1") -> str | None:
    return place.entry(key).settlement


def test_a_fixed_row_is_in_raw_and_stays_there_whatever_reads_the_bad_one_again(place: Place) -> None:
    place.put(1, -5, 1)
    place.put(2, 20, 2)
    place.read()
    entry = place.entry()
    [outcome] = place.decide("readmit", entry.quarantine_id, cells={"amount": "5"})
    assert (outcome.is_done, place.raw()) == (True, [(1, 5), (2, 20)])
    [batch] = place.query("SELECT * FROM ledger.batches WHERE kind = 'readmission'")
    assert (batch["rows_read"], batch["rows_loaded"], batch["batch_id"]) == (1, 1, outcome.batch_id)
    # The table goes on where it stood.
    [watermark] = place.query("SELECT max(watermark) AS w FROM ledger.batches")
    assert watermark["w"] == at(2).isoformat(timespec="microseconds")
    place.read()
    assert (settlement(place), place.raw()) == ("readmitted", [(1, 5), (2, 20)])
    assert place.reconcile().chunks_differing == 0
    assert (settlement(place), place.raw()) == ("readmitted", [(1, 5), (2, 20)])
    [past] = read_detail(place.quarantine, entry.quarantine_id).history
    assert (past.action, past.decided_by, past.reason, past.batch_id) == (
        "readmitted",
        "ada",
        "because",
        batch["batch_id"],
    )
    assert (past.payload_before["amount"], (past.payload_after or {})["amount"]) == ("-5", "5")
    assert place.not_closing() == []


def test_a_correction_at_the_source_takes_over_even_without_a_later_date(quick: Place) -> None:
    quick.put(1, -5, 1)
    quick.read()
    quick.decide("readmit", quick.entry().quarantine_id, cells={"amount": "5"})
    quick.put(1, 6, 1)
    quick.read()
    assert (settlement(quick), quick.raw()) == ("superseded", [(1, 6)])
    [outcome] = quick.decide("reopen", quick.entry().quarantine_id)
    assert "stands at its source no longer" in (outcome.problem or "")


def test_a_newer_version_in_raw_is_not_overwritten(place: Place) -> None:
    place.put(1, 10, 5)
    place.read()
    # The older version comes late, as from a file.
    place.put(1, -5, 1)
    place.read()
    [outcome] = place.decide("readmit", place.entry().quarantine_id, cells={"amount": "5"})
    assert "raw holds a newer version of the row, of 2026-03-01 17:00:00 UTC" in (outcome.problem or "")
    assert (settlement(place), place.raw()) == (None, [(1, 10)])
    # Of the same date the one that came later is the newer one.
    place.put(1, -6, 5)
    place.read()
    [entry] = place.entries()
    assert place.decide("readmit", entry.quarantine_id, cells={"amount": "6"})[0].is_done
    assert place.raw() == [(1, 6)]


def test_a_new_bad_version_is_a_new_entry_and_the_decided_one_is_superseded(place: Place) -> None:
    for wish, number in (("exclude", 1), ("accept", 2), ("readmit", 3)):
        place.put(number, -5, 1)
        place.read()
        place.decide(wish, place.entry(str(number)).quarantine_id, cells={"amount": "5"} if wish == "readmit" else {})  # type: ignore[arg-type]
    place.read()
    assert [entry.settlement for entry in place.entries(state="all")] == ["excluded", "accepted", "readmitted"]
    for number in (1, 2, 3):
        place.put(number, -7, 2)
    place.read()
    assert [(e.row_key, e.payload["amount"]) for e in place.entries()] == [("1", "-7"), ("2", "-7"), ("3", "-7")]
    assert {entry.settlement for entry in place.entries(state="settled")} == {"superseded"}
    # What was decided about the former version stays in raw until somebody decides about the new one.
    assert place.raw() == [(2, -5), (3, 5)]
    assert place.reconcile().rows_loaded == 0
    assert place.raw() == [(2, -5), (3, 5)]


def test_rows_gone_from_the_source_go_from_raw_and_their_entries_are_settled(place: Place) -> None:
    for number in (1, 2, 3, 4):
        place.put(number, -5 if number < 4 else 4, 1)
    place.read()
    place.decide("readmit", place.entry("1").quarantine_id, cells={"amount": "5"})
    place.decide("exclude", place.entry("2").quarantine_id)
    for number in (1, 2, 3):
        place.delete(number)
    place.reconcile()
    assert {entry.settlement for entry in place.entries(state="all")} == {"deleted at the source"}
    assert place.raw() == [(4, 4)]


def test_only_what_raw_can_hold_is_accepted(quick: Place) -> None:
    quick.put(1, -5, 1)
    quick.put(2, "many", 1)
    quick.put(3, None, 1)
    quick.put(4, -5, 1)
    quick.read()
    ids = [quick.entry(str(n)).quarantine_id for n in (1, 2, 3, 4)]
    outcomes = quick.decide("accept", *ids[:3]) + quick.decide("accept", ids[3], cells={"note": "a\x00b"})
    assert [outcome.problem for outcome in outcomes] == [
        None,
        "the row still breaks amount.type",
        "the row still breaks amount.required",
        "the row still breaks note.clean_text",
    ]
    assert quick.raw() == [(1, -5)]
    with pytest.raises(PermanentError, match="for a reason"):
        quick.decide("accept", ids[0], reason="  ")


def test_what_is_still_wrong_stays_out_and_makes_no_entry(quick: Place) -> None:
    quick.put(1, -5, 1)
    quick.read()
    entry = quick.entry()
    for cells, problem in (
        ({}, "the row still breaks amount.minimum"),
        ({"amount": "x"}, "the row still breaks amount.type"),
        ({"amount": None}, "the row still breaks amount.required"),
        ({"amount": "5", "thing_id": "9"}, "says which row it is and cannot be changed"),
        ({"amount": "5", "updated_at": "2099-01-01"}, "up to where the table was read"),
        ({"colour": "red"}, "has no column colour"),
    ):
        [outcome] = quick.decide("readmit", entry.quarantine_id, cells=cells)
        assert problem in (outcome.problem or "")
    assert len(quick.query("SELECT * FROM ledger.batches")) == len(quick.entries(state="all")) == 1


def test_a_decision_taken_back_withdraws_the_row_and_the_next_one_holds(place: Place) -> None:
    place.put(1, -5, 1)
    place.read()
    i = place.entry().quarantine_id
    for wish, cells in (("readmit", {"amount": "5"}), ("accept", {"amount": "-5"}), ("exclude", {})):
        assert place.decide(wish, i, cells=cells)[0].is_done  # type: ignore[arg-type]
        [outcome] = place.decide("reopen", i, by="grace", reason=None)
        assert outcome.is_done
        assert (settlement(place), place.raw()) == (None, [])
        place.read()
        assert place.reconcile().rows_deleted == 0
    # What had been typed is still there.
    assert read_detail(place.quarantine, i).draft["amount"] == "-5"
    place.decide("readmit", i, cells={"amount": "7"})
    assert (place.raw(), place.entry().settlement) == ([(1, 7)], "readmitted")
    actions = [past.action for past in read_detail(place.quarantine, i).history]
    assert actions == ["readmitted", "reopened", "accepted", "reopened", "excluded", "reopened", "readmitted"]


def test_a_row_without_a_key_gets_one_and_reconciliation_leaves_it(place: Place) -> None:
    place.put(None, 5, 1)
    place.put(2, 20, 2)
    place.read()
    i = place.entry("").quarantine_id
    assert place.decide("readmit", i, cells={"thing_id": "9"})[0].is_done
    for _ in range(2):
        assert place.reconcile().rows_deleted == 0
        place.read()
        assert (place.raw(), settlement(place, "")) == ([(2, 20), (9, 5)], "readmitted")


def test_of_two_people_the_second_learns_what_the_first_has_done(quick: Place) -> None:
    quick.put(1, -5, 1)
    quick.read()
    i = quick.entry().quarantine_id
    seen = read_detail(quick.quarantine, i).version
    quick.decide("edit", i, cells={"amount": "4"})
    [outcome] = quick.decide("exclude", i, by="grace", versions={i: seen})
    assert (outcome.problem or "").startswith("meanwhile ada has edited it")
    quick.decide("readmit", i, versions={i: seen + 1})
    assert quick.raw() == [(1, 4)]
    [outcome] = quick.decide("exclude", i, by="grace")
    assert outcome.problem == "it is settled already: readmitted by ada; reopen it to decide anew"
    [unknown] = quick.decide("exclude", "0" * 32)
    assert unknown.problem == "there is no such entry in the quarantine"


def test_of_two_at_the_same_moment_one_decides(place: Place) -> None:
    place.put(1, -5, 1)
    place.read()
    i = place.entry().quarantine_id
    with ThreadPoolExecutor(2) as pool:
        tried = [pool.submit(place.decide, "readmit", i, by=by, cells={"amount": "5"}) for by in ("ada", "grace")]
        outcomes = [outcome for each in tried for outcome in each.result()]
    assert sorted(outcome.is_done for outcome in outcomes) == [False, True]
    assert len(place.query("SELECT * FROM quarantine.decisions")) == 1


@pytest.mark.parametrize(
    "point",
    [
        *(CommitPoint.LANDED, CommitPoint.MANIFEST, CommitPoint.RENAMED, CommitPoint.MERGED, CommitPoint.ENTERED),
        *(CommitPoint.DECIDED, CommitPoint.SETTLED, CommitPoint.COMMITTING),
    ],
)
def test_broken_off_anywhere_nothing_was_decided_and_once_more_does_it_once(quick: Place, point: CommitPoint) -> None:
    quick.put(1, -5, 1)
    quick.read()
    i, before = quick.entry().quarantine_id, quick.contents()

    def die(reached: CommitPoint) -> None:
        if reached == point:
            raise KeyboardInterrupt

    with listening(die), pytest.raises(KeyboardInterrupt):
        quick.decide("readmit", i, cells={"amount": "5"})
    assert quick.contents() == before
    quick.decide("readmit", i, cells={"amount": "5"})
    assert (quick.raw(), len(quick.query("SELECT * FROM quarantine.decisions"))) == ([(1, 5)], 1)
    assert quick.replay().rows_set_right == 0


def test_many_at_once_are_one_batch_and_a_dry_run_changes_nothing(place: Place) -> None:
    for number in range(1, 6):
        place.put(number, -number, number)
    place.put(6, "x", 6)
    place.read()
    ids = [entry.quarantine_id for entry in place.entries(column="amount")]
    before = place.contents()
    outcomes = place.decide("readmit", *ids, cells={"amount": "1"}, dry_run=True)
    assert [outcome.is_done for outcome in outcomes] == [True] * 6
    outcomes = place.decide("readmit", *ids, dry_run=True)
    assert {outcome.problem for outcome in outcomes} == {
        "the row still breaks amount.minimum",
        "the row still breaks amount.type",
    }
    assert place.contents() == before
    outcomes = place.decide("accept", *ids)
    assert [outcome.is_done for outcome in outcomes] == [True] * 5 + [False]
    assert len({outcome.batch_id for outcome in outcomes if outcome.is_done}) == 1
    assert place.raw() == [(n, -n) for n in range(1, 6)]


def test_the_lake_gives_back_what_people_decided(place: Place) -> None:
    for number in range(1, 6):
        place.put(number, -number, number)
    place.read()
    ids = [entry.quarantine_id for entry in place.entries()]
    place.decide("readmit", ids[0], cells={"amount": "1"})
    place.decide("accept", ids[1])
    place.decide("exclude", ids[2], reason='it\'s a "test"; -- \N{PILE OF POO}')
    place.decide("edit", ids[3], cells={"amount": "4"})
    place.decide("reopen", ids[1])
    place.read()
    before = place.contents()
    assert place.replay().rows_set_right == 0
    assert place.contents() == before
    place.execute(*(f"DELETE FROM {name}" for name in (*before, "ledger.batches", "ledger.files")))
    place.replay()
    assert place.contents() == before


Step = tuple[str, int, int, int]
"""What happens, to which thing, its amount, and its hour."""

_WISHES: list[Wish] = ["edit", "readmit", "accept", "exclude", "reopen"]
_steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "read", "reconcile", "delete", *_WISHES, *_WISHES]),
        st.integers(1, 3),
        st.integers(-2, 3),
        st.integers(0, 4),
    ),
    min_size=15,
    max_size=30,
)


@pytest.mark.timeout(300)
@settings(max_examples=2, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(history=_steps)
def test_after_any_history_the_ledger_closes_and_no_entry_is_lost(place: Place, history: list[Step]) -> None:
    place.execute(*(f"DELETE FROM {name}" for name in (*place.contents(), "ledger.batches", "ledger.files")))
    shutil.rmtree(place.destination.lake, ignore_errors=True)
    for number in (1, 2, 3):
        place.delete(number)
    place.put(1, -1, 0)
    known: set[str] = set()
    decided = 0
    for what, number, amount, hour in history:
        match what:
            case "put":
                place.put(number, amount, hour)
            case "delete":
                place.delete(number)
            case "read":
                place.read()
            case "reconcile":
                place.reconcile()
            case wish:
                ids = [entry.quarantine_id for entry in place.entries(state="all") if entry.row_key == str(number)]
                cells: dict[str, Any] = {"amount": str(amount)} if wish in ("edit", "readmit") else {}
                outcomes = place.decide(wish, *ids, cells=cells)  # type: ignore[arg-type]
                decided += sum(outcome.is_done for outcome in outcomes)
        entries = place.entries(state="all")
        ids_now = {entry.quarantine_id for entry in entries}
        assert known <= ids_now
        known = ids_now
    assert place.not_closing() == []
    assert len(place.query("SELECT * FROM quarantine.decisions")) == decided
    for entry in place.entries(state="all"):
        last = [p.action for p in read_detail(place.quarantine, entry.quarantine_id).history if p.action != "edited"]
        if entry.settlement in ("readmitted", "accepted", "excluded"):
            assert last[-1] == entry.settlement
    # A comparison with the source settles all that it can, and finds nothing more to do after that.
    place.read()
    place.reconcile()
    before = place.contents()
    again = place.reconcile()
    assert (again.rows_loaded, again.rows_deleted, again.chunks_differing) == (0, 0, 0)
    assert place.contents() == before
    assert place.replay().rows_set_right == 0
    assert place.contents() == before


def test_old_entries_are_found_by_age(quick: Place) -> None:
    quick.put(1, -5, 1)
    quick.read()
    assert quick.entries(older_than=timedelta(hours=1)) == []
    assert len(quick.entries(newer_than=timedelta(hours=1))) == 1
