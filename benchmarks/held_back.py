"""Kinds of error that the simulator does not plant by itself: those who write rules for data have not seen them.

Run as ``python -m benchmarks.held_back simulate …`` it is the command ``shopsphere`` with these kinds among the
others. Belongs here: one function per kind, and which columns get it. Does not belong here: what is made of them.
"""

from __future__ import annotations

from collections.abc import Callable

from shopsphere_assets.cli.main import main
from simulator.error_kinds import Planting, Row
from simulator.error_plan import PLAN

Change = Callable[[str, int], str | None]


def _of_text(kind: str, column: str, rule: str | None, change: Change, weight: float = 2.0) -> Planting:
    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        wrong = change(value, draw) if isinstance(value, str) and value else None
        return None if wrong is None or wrong == value else {column: wrong}

    return Planting(kind, column, f"{column}.{rule}" if rule else None, make, weight)


def _with_comma(value: str, draw: int) -> str | None:
    return value[::-1].replace(".", ",", 1)[::-1] if "." in value.partition("@")[2] else None


def _mailto(value: str, draw: int) -> str | None:
    return f"mailto:{value}"


def _zero_width(value: str, draw: int) -> str | None:
    place = 1 + draw % max(len(value) - 1, 1)
    return value[:place] + "\u200b" + value[place:]


def _letter_for_digit(value: str, draw: int) -> str | None:
    return value.replace("0", "O", 1) if "0" in value else None


def _country_name(value: str, draw: int) -> str | None:
    return {"US": "United States", "DE": "Deutschland", "FR": "France", "GB": "Great Britain", "BR": "Brasil"}.get(
        value
    )


def _blanks_around(value: str, draw: int) -> str | None:
    return f"  {value} "


def _with_symbol(value: str, draw: int) -> str | None:
    return {"EUR": "€", "USD": "$", "GBP": "£"}.get(value)


def _html_escaped(value: str, draw: int) -> str | None:
    return value.replace("'", "&#39;").replace("&", "&amp;", 1) if "'" in value or "&" in value else None


def _doubled_word(value: str, draw: int) -> str | None:
    words = value.split(" ")
    return " ".join([words[0], *words]) if len(words) > 1 else None


HELD_BACK: dict[str, list[Planting]] = {
    "shop_db/customers": [
        _of_text("comma_in_email", "email", "email_format", _with_comma),
        _of_text("mailto_before_email", "email", "email_format", _mailto),
        _of_text("letter_for_digit_in_phone", "phone", "format", _letter_for_digit),
        _of_text("country_by_name", "country_code", "allowed_values", _country_name),
        _of_text("blanks_around_code", "country_code", "allowed_values", _blanks_around),
    ],
    "shop_db/addresses": [
        _of_text("country_by_name", "country_code", "allowed_values", _country_name),
        _of_text("zero_width_character", "line1", None, _zero_width, 1.0),
        _of_text("doubled_word", "line1", None, _doubled_word, 1.0),
        _of_text("html_escaped_text", "city", None, _html_escaped),
    ],
    "shop_db/orders": [
        _of_text("currency_by_symbol", "currency", "allowed_values", _with_symbol),
        _of_text("blanks_around_code", "status", "allowed_values", _blanks_around),
    ],
    "shop_db/payments": [_of_text("currency_by_symbol", "currency", "allowed_values", _with_symbol)],
    "hubspot/contacts": [
        _of_text("comma_in_email", "email", "email_format", _with_comma),
        _of_text("country_by_name", "country_code", "allowed_values", _country_name),
        _of_text("zero_width_character", "city", None, _zero_width, 1.0),
    ],
    "crm_files/contacts": [
        _of_text("mailto_before_email", "email", "email_format", _mailto),
        _of_text("country_by_name", "country_code", "allowed_values", _country_name),
        _of_text("doubled_word", "street", None, _doubled_word, 1.0),
    ],
}


if __name__ == "__main__":
    for table, kinds in HELD_BACK.items():
        PLAN[table] += kinds
    main()
