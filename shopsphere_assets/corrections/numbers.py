"""Corrections of numbers: separators of thousands, decimal commas, signs of currencies, units of measurement.

Does not belong here: how large a number may be (the contracts).
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

from shopsphere_assets.corrections import codes
from shopsphere_assets.corrections.base import Column, Neighbours, Proposal, Rule, visible

if TYPE_CHECKING:
    from pint import UnitRegistry

FORM = Rule("number.form", "writes a number that can be read in one way only with a decimal point and nothing else")
MONEY = Rule("number.currency", "takes the sign of the row's own currency off an amount")
UNIT = Rule("number.unit", "converts a number with its unit into the column's unit")
GUESS = Rule(
    "number.guess", "reads letters as the digits they look like, or a lone separator as one of thousands", is_sure=False
)
SIGN = Rule("number.sign", "takes the minus off what cannot be negative", is_sure=False)
RULES = (FORM, MONEY, UNIT, GUESS, SIGN)

_PLAIN = re.compile(r"^[+-]?\d+(\.\d+)?$")
_GROUPED = re.compile(r"^[+-]?\d{1,3}(?P<group>[,.' ])\d{3}((?P=group)\d{3})*(?P<fraction>[.,]\d+)?$")
_DECIMAL_COMMA = re.compile(r"^[+-]?\d+,(\d{1,2}|\d{4,})$")
# Longer than any number that a column holds.
_LONGEST = 30
_LOOKALIKES = str.maketrans("OoQIl|SB", "00011158")
_WITH_WORD = re.compile(r"^(?P<before>[^\d+\-.,(]*)\s*(?P<number>[+-]?\d[\d.,' ]*)\s*(?P<after>[^\d\s].*)?$")


def correct(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The number that was surely meant, in the column's unit, or a guess at it."""
    plain = visible(text.replace("\u2212", "-").replace("\u00a0", " ").replace("\u202f", " "))
    if len(plain) > _LONGEST:
        return None
    if column.unit == "currency":
        plain = _signed(plain)
    number = _read(plain)
    if number is not None:
        proposal = _fitting(number, column, FORM)
        # What was a number before and is refused all the same breaks another rule than its form.
        if proposal and _PLAIN.match(text.strip()) and not _loses_zeros_only(plain, column):
            return Proposal(plain[1:], SIGN) if plain.startswith("-") else None
        return proposal or _lone(plain, column)
    found = _WITH_WORD.match(plain)
    number = _read(found["number"].strip()) if found else None
    if found and number is not None:
        word = (found["before"] + (found["after"] or "")).strip()
        proposal = _with_word(number, word, column, about)
        if proposal:
            return proposal
    looked = plain.translate(_LOOKALIKES)
    if _PLAIN.match(looked) and re.search(r"\d", plain):
        return _fitting(Decimal(looked), column, GUESS)
    return _lone(plain, column)


def _lone(text: str, column: Column) -> Proposal | None:
    # 1,234 is more than a thousand to some and more than one to others.
    if re.fullmatch(r"[+-]?\d{1,3}[,.]\d{3}", text):
        return _fitting(Decimal(re.sub("[,.]", "", text)), column, GUESS)
    return None


def _signed(text: str) -> str:
    """An amount with its minus in front, where book-keepers write it behind or write brackets instead."""
    found = re.fullmatch(r"(\d[\d.,' ]*)-|\((\d[\d.,' ]*)\)", text)
    return f"-{(found[1] or found[2]).strip()}" if found else text


def _read(text: str) -> Decimal | None:
    """The number that the text can only be."""
    if _PLAIN.match(text):
        return Decimal(text)
    if found := _GROUPED.match(text):
        group, fraction = found["group"], found["fraction"] or ""
        whole = text[: len(text) - len(fraction)]
        is_lone = not fraction and len(re.findall(re.escape(group), whole)) == 1 and group in ",."
        if fraction[:1] != group and not is_lone:
            return Decimal(whole.replace(group, "") + fraction.replace(",", "."))
    if _DECIMAL_COMMA.match(text):
        return Decimal(text.replace(",", "."))
    return None


def _with_word(number: Decimal, word: str, column: Column, about: Neighbours) -> Proposal | None:
    if column.unit == "currency":
        some = Column(column.name, "currency", column.dtype, allowed=(about.currency,) if about.currency else ())
        is_own = codes.currency(word, some, about)
        return _fitting(number, column, MONEY) if is_own and is_own.corrected == about.currency else None
    if column.unit is None:
        return None
    converted = _converted(number, word, column.unit)
    return None if converted is None else _fitting(converted, column, UNIT)


def _converted(number: Decimal, unit: str, wanted: str) -> Decimal | None:
    if unit.casefold().rstrip(".") in (wanted, wanted.removesuffix("s")):
        return number
    # A month has no length.
    if (
        len(unit) > 20
        or unit.casefold().startswith(("month", "year"))
        or not re.fullmatch(r"[^\W\d_]+(\s[^\W\d_]+)?\.?", unit)
    ):
        return None
    from pint import PintError

    try:
        amount = _units().Quantity(number, unit.rstrip(".")).to(wanted).magnitude
    except (PintError, TypeError):
        # No unit, or one of something else; a few of its constants are no exact numbers.
        return None
    return amount if isinstance(amount, Decimal) else None


@cache
def _units() -> UnitRegistry[Any]:
    # Half a second to load, and few columns have a unit.
    from pint import UnitRegistry

    return UnitRegistry(non_int_type=Decimal)


def _fitting(number: Decimal, column: Column, rule: Rule) -> Proposal | None:
    """The number as the column can hold it without loss; a converted one to the nearest."""
    if column.dtype == pl.Int64:
        whole = number.to_integral_value()
        # To the nearest, where it was in another unit: 2 lb are 907.18 grams.
        if number != whole and (rule is not UNIT or abs(number - whole) * 100 > abs(number)):
            return None
        return Proposal(str(int(whole)), rule)
    cents = number.quantize(Decimal("0.01"))
    return Proposal(str(cents), rule) if cents == number else None


def _loses_zeros_only(text: str, column: Column) -> bool:
    """Whether a plain number is refused for its form alone: 3.0 for a whole number."""
    return column.dtype == pl.Int64 and "." in text
