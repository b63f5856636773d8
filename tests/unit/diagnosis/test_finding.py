"""The words that the doctor's checks share."""

from __future__ import annotations

from resources.errors import PermanentError
from shopsphere_assets.diagnosis.finding import Status, counted, failed, listed, suggestion


def test_a_close_name_is_suggested_whatever_its_case() -> None:
    assert suggestion("custmer_id", ["CUSTOMER_ID", "TOTAL"]) == "did you mean CUSTOMER_ID?"


def test_without_a_close_name_all_are_listed() -> None:
    assert suggestion("zzz", ["customer_id", "total"]) == "use one of: customer_id, total"
    assert suggestion("zzz", []) == "there is none to choose from"


def test_a_long_list_is_cut() -> None:
    assert listed(f"c{n}" for n in range(15)).endswith("c11 and 3 more")
    assert listed(["a", "b"]) == "a, b"


def test_numbers_agree_with_their_nouns() -> None:
    assert (counted(1, "row"), counted(1200, "row")) == ("1 row", "1,200 rows")


def test_an_error_becomes_a_finding_that_does_not_send_to_the_doctor() -> None:
    error = PermanentError(
        "it refuses mysql://u:secret@h/d",
        where="mysql://u@h/d",
        remedy="check the user; `shopsphere doctor` tests each of them",
    )
    finding = failed("Sources", "shop_db", error)
    assert finding.status is Status.FAILED
    assert finding.what == "it refuses mysql://u:***@h/d (mysql://u@h/d)"
    assert finding.as_json()["what_to_do"] == "check the user"
