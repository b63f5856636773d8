"""The kinds of planted error: how a row of a source goes wrong.

Belongs here: one function per kind, each giving the :class:`Planting` for a column. Does not belong here:
which tables get which (``error_plan``) and choosing the rows (``errors``).

A planting breaks exactly the row rule that it names; where ``rule`` is None no rule on single rows can see
it. It never touches a primary key, and a cursor column only in ways that a row rule sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

Row = dict[str, Any]
Make = Callable[[Row, int], Row | None]
"""From a row and a random number: the columns that change, or None where the row gives no occasion."""


@dataclass(frozen=True)
class Planting:
    """One way in which a table's rows go wrong."""

    kind: str
    column: str
    rule: str | None
    make: Make
    weight: float = 1.0

    @property
    def is_of_one_column(self) -> bool:
        """Whether a second error in another column leaves this one as it is."""
        return self.rule is not None and self.rule.startswith(f"{self.column}.")


def _instead(kind: str, column: str, rule: str | None, values: tuple[Any, ...], weight: float) -> Planting:
    """Another value instead of one that is there."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        wrong = values[draw % len(values)]
        return None if value is None or value == wrong else {column: wrong}

    return Planting(kind, column, f"{column}.{rule}" if rule else None, make, weight)


def missing_required(column: str, weight: float = 1.0) -> Planting:
    """A required value is missing."""
    return Planting("missing_required", column, f"{column}.required", lambda row, draw: {column: None}, weight)


def malformed_email(column: str, weight: float = 2.0) -> Planting:
    """An address that cannot be one."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        if not value or "@" not in value:
            return None
        user, domain = value.split("@")
        variants = (f"{user}@@{domain}", user, f"{user}@{domain.split('.')[0]}", f"{user} @{domain}", f"@{domain}",
                    f"{user}@{domain.replace('.', '..')}", f"<{value}>")  # fmt: skip
        return {column: variants[draw % len(variants)]}

    return Planting("malformed_email", column, f"{column}.email_format", make, weight)


def malformed_phone(column: str, weight: float = 1.0) -> Planting:
    """A telephone number with letters, or far too short."""
    wrong = ("call office", "12", "ask for Tim", "+49 30 ABC-123", "0800 FLOWERS", "x4711")
    return _instead("malformed_phone", column, "format", wrong, weight)


def malformed_postal_code(column: str, weight: float = 1.0) -> Planting:
    """A postal code that no country has."""
    return _instead("malformed_postal_code", column, "format", ("?????", "#1234", "1", "12345678901", "*"), weight)


def malformed_identifier(column: str, weight: float = 0.5) -> Planting:
    """A number that does not have the system's form."""
    return _instead("malformed_identifier", column, "format", ("K12", "C12", "0", "C-123456"), weight)


def malformed_language(column: str, weight: float = 0.5) -> Planting:
    """A language that is not a two-letter code."""
    return _instead("malformed_language", column, "format", ("english", "EN", "e", "pt-BR"), weight)


def malformed_url(column: str, weight: float = 1.0) -> Planting:
    """An address without its beginning."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        if not value:
            return None
        rest = value.split("://", 1)[-1].lstrip("/")
        return {column: rest or "index.html"}

    return Planting("malformed_url", column, f"{column}.format", make, weight)


def _otherwise(kind: str, column: str, otherwise: dict[str, str], values: tuple[str, ...], weight: float) -> Planting:
    """The value in another case or another way of writing it, or one of ``values`` that says nothing of it."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        if value is None:
            return None
        recased = value.lower() if value.isupper() else value.upper()
        ways = [way for way in (recased, otherwise.get(value, recased), *values) if way != value]
        return {column: ways[draw % len(ways)]}

    return Planting(kind, column, f"{column}.allowed_values", make, weight)


def unknown_country_code(column: str, weight: float = 1.0) -> Planting:
    """Something else than the country's ISO 3166-1 alpha-2 code."""
    otherwise = {"GB": "UK", "US": "USA", "DE": "Germany", "FR": "FRA", "BR": "Brasil"}
    return _otherwise("unknown_country_code", column, otherwise, ("XX", "ZZ", "00"), weight)


def unknown_currency(column: str, weight: float = 1.5) -> Planting:
    """Something else than the currency's ISO 4217 code."""
    otherwise = {"EUR": "EURO", "USD": "US$", "GBP": "£", "BRL": "R$"}
    return _otherwise("unknown_currency", column, otherwise, ("XXX", "DM"), weight)


def unknown_status(column: str, *values: str, weight: float = 1.5) -> Planting:
    """A value that the system's list does not have."""
    return _otherwise("unknown_status", column, {}, values or ("UNKNOWN", "tbd", "old", "9"), weight)


def negative_amount(column: str, weight: float = 1.5) -> Planting:
    """An amount with the wrong sign."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        return {column: -value} if value is not None and value > 0 else None

    return Planting("negative_amount", column, f"{column}.minimum", make, weight)


def negative_quantity(column: str, weight: float = 1.0) -> Planting:
    """A count below zero."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        wrong = -1 - draw % 40
        return None if value is None else {column: str(wrong) if isinstance(value, str) else wrong}

    return Planting("negative_quantity", column, f"{column}.minimum", make, weight)


def _other_quantity(kind: str, column: str, rule: str, choose: Callable[[int], int], weight: float) -> Planting:
    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        if value is None:
            return None
        wrong = choose(draw)
        changes: Row = {column: str(wrong) if isinstance(value, str) else wrong}
        if "line_amount" in row:  # the line still adds up: the quantity alone is wrong
            changes["line_amount"] = row["unit_price"] * wrong
        return changes

    return Planting(kind, column, f"{column}.{rule}", make, weight)


def zero_quantity(column: str, weight: float = 1.5) -> Planting:
    """Nothing of something."""
    return _other_quantity("zero_quantity", column, "minimum", lambda draw: 0, weight)


def absurd_quantity(column: str, low: int, weight: float = 1.5) -> Planting:
    """Far more than there can be: ``low`` or somewhat above."""
    return _other_quantity("absurd_quantity", column, "maximum", lambda draw: low + draw % 9_000, weight)


def impossible_status_code(column: str, weight: float = 1.0) -> Planting:
    """An HTTP status that does not exist."""
    return _instead("impossible_status_code", column, "maximum", ("999", "600", "701"), weight)


def rating_out_of_range(column: str, weight: float = 2.0) -> Planting:
    """More stars than there are."""
    return _instead("rating_out_of_range", column, "maximum", ("6", "10", "11", "7"), weight)


def rating_below_range(column: str, weight: float = 1.0) -> Planting:
    """No star, or fewer than none."""
    return _instead("rating_out_of_range", column, "minimum", ("0", "-1"), weight)


def far_future_timestamp(column: str, weight: float = 1.0) -> Planting:
    """A moment in the year 2199, as broken clocks and sentinels give it."""
    wrong = {str: "2199-12-31T23:59:59.000Z", datetime: datetime(2199, 12, 31, 23, 59, 59, tzinfo=UTC),
             date: date(2199, 12, 31)}  # fmt: skip
    return _sentinel("far_future_timestamp", column, wrong, weight)


def epoch_timestamp(column: str, weight: float = 1.0) -> Planting:
    """The moment zero of Unix instead of no moment."""
    wrong = {
        str: "1970-01-01T00:00:00.000Z",
        datetime: datetime(1970, 1, 1, tzinfo=UTC),
        date: date(1970, 1, 1),
    }
    return _sentinel("epoch_timestamp", column, wrong, weight)


def _sentinel(kind: str, column: str, wrong: dict[type, Any], weight: float) -> Planting:
    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        if value is None:
            return None
        sentinel = wrong[type(value)]
        return {column: sentinel[:10] if isinstance(value, str) and len(value) == 10 else sentinel}

    return Planting(kind, column, f"{column}.plausible_time", make, weight)


def moved_after(kind: str, column: str, later: str, rule: str, weight: float = 1.0) -> Planting:
    """The earlier moment, in ``column``, comes to lie after the ``later`` one, which stays."""

    def make(row: Row, draw: int) -> Row | None:
        if row[column] is None or row[later] is None:
            return None
        shift = timedelta(hours=1 + draw % 900)
        if isinstance(row[later], str):
            moment = datetime.fromisoformat(row[later]) + shift
            return {column: moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")}
        return {column: row[later] + shift}

    return Planting(kind, column, rule, make, weight)


def updated_before_created(column: str, later: str, rule: str, weight: float = 1.0) -> Planting:
    """A row that changed before it existed; the cursor stays, the creation moves."""
    return moved_after("updated_before_created", column, later, rule, weight)


def total_mismatch(weight: float = 2.5) -> Planting:
    """A line whose amount is not quantity times unit price."""

    def make(row: Row, draw: int) -> Row | None:
        return {"line_amount": row["line_amount"] + Decimal(1 + draw % 500) / 100}

    return Planting("total_mismatch", "line_amount", "line_amount_adds_up", make, weight)


def placeholder_text(column: str, weight: float = 1.0) -> Planting:
    """Something typed only to get past the form."""
    wrong = ("N/A", "test", "unknown", "xxx", "-", "asdf", "null", "tbd", "?", " ")
    return _instead("placeholder_text", column, "not_a_placeholder", wrong, weight)


def mojibake(column: str, weight: float = 1.0) -> Planting:
    """UTF-8 that was read as Windows-1252 on its way."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        # What has no accents cannot go wrong in this way.
        if not value or not any("\u00c0" <= c <= "\u00ff" for c in value):
            return None
        raw = value.encode()
        try:
            return {column: raw.decode("cp1252")}
        except UnicodeDecodeError:
            return {column: raw.decode("latin-1")}

    return Planting("mojibake", column, f"{column}.clean_text", make, weight)


def control_characters(column: str, weight: float = 1.0) -> Planting:
    """A control character in the middle of a text."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        if not value:
            return None
        place = draw % (len(value) + 1)
        return {column: value[:place] + "\x01\x07\x1b\x7f"[draw % 4] + value[place:]}

    return Planting("control_characters", column, f"{column}.clean_text", make, weight)


def unparseable_number(column: str, weight: float = 1.0) -> Planting:
    """Text where a number should be."""
    return _instead("unparseable_number", column, "type", ("abc", "1O", "--", "#REF", "7,5,1"), weight)


def unparseable_date(column: str, weight: float = 1.0) -> Planting:
    """A date that the calendar does not have, or words."""
    return _instead("unparseable_date", column, "type", ("2026-13-45", "31.02.2026", "yesterday", "0000-00-00"), weight)


def orphan_reference(column: str, weight: float = 1.0) -> Planting:
    """A reference to something that does not exist."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        if value is None:
            return None
        wrong = 8_000_000_000 + draw % 1_000_000
        if isinstance(value, str):
            return {column: f"C{99_990_000 + draw % 9_999}" if value.startswith("C") else str(wrong)}
        return {column: wrong}

    return Planting("orphan_reference", column, None, make, weight)


def swapped_names(weight: float = 1.0) -> Planting:
    """Given and family name in each other's place."""

    def make(row: Row, draw: int) -> Row | None:
        first, last = row["first_name"], row["last_name"]
        return {"first_name": last, "last_name": first} if first and last and first != last else None

    return Planting("swapped_names", "first_name", None, make, weight)


def address_typo(column: str, weight: float = 1.0) -> Planting:
    """Two neighbouring letters of a street exchanged."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column] or ""
        places = [i for i in range(1, len(value) - 1) if value[i : i + 2].isalpha() and value[i] != value[i + 1]]
        if not places:
            return None
        place = places[draw % len(places)]
        return {column: value[:place] + value[place + 1] + value[place] + value[place + 2 :]}

    return Planting("address_typo", column, None, make, weight)


def shifted_decimal(column: str, *, also: str | None = None, weight: float = 1.0) -> Planting:
    """An amount ten times too high, and the amount that follows from it likewise."""

    def make(row: Row, draw: int) -> Row | None:
        if row[column] is None:
            return None
        return {name: row[name] * 10 for name in (column, also) if name}

    return Planting("shifted_decimal", column, None, make, weight)


def wrong_category(column: str, low: int, count: int, weight: float = 1.0) -> Planting:
    """Another category than the right one, of the ``count`` from ``low`` on."""

    def make(row: Row, draw: int) -> Row | None:
        value = row[column]
        return None if value is None else {column: low + (value - low + 1 + draw % (count - 1)) % count}

    return Planting("wrong_category", column, None, make, weight)


def duplicate_row(key: str, weight: float = 1.0) -> Planting:
    """The same line twice; the row itself stays as it is."""
    return Planting("duplicate_row", key, None, lambda row, draw: {}, weight)
