"""Corrections of dates and moments that were written in another form than ISO 8601.

Only what can be read in one way is sure: 03/04/2026 is the third of April to some and the fourth of March to others.
Does not belong here: whether a moment is plausible (the contracts).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from functools import cache

from babel import Locale

from shopsphere_assets.contracts.base import EARLIEST_MOMENT, LATEST_MOMENT
from shopsphere_assets.corrections.base import Column, Neighbours, Proposal, Rule, folded, visible
from shopsphere_assets.corrections.codes import LANGUAGES

FORM = Rule("date.form", "writes a date or moment that can be read in one way only in ISO 8601")
EPOCH = Rule("date.epoch", "turns seconds or milliseconds since 1970 into the moment")
GUESS = Rule("date.guess", "reads a year of two digits, or exchanges a month above twelve with the day", is_sure=False)
RULES = (FORM, EPOCH, GUESS)

_CLOCK = re.compile(
    r"^(?P<hour>\d{1,2})[:.h](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?P<fraction>[.,]\d{1,6})?)?\s*(?P<half>[ap]\.?m\.?)?"
    r"\s*(?P<zone>z|utc|gmt|[+-]\d{2}:?\d{2})?$",
    re.IGNORECASE,
)
_YEAR_FIRST = re.compile(r"^(\d{4})([-/. ]?)(\d{1,2})\2(\d{1,2})$")
_YEAR_LAST = re.compile(r"^(\d{1,2})([-/. ])\s?(\d{1,2})\2\s?(\d{4}|\d{2})$")
_WITH_MONTH = (
    re.compile(r"^(?:[^\W\d_]+\.?,?\s+)?(?P<day>\d{1,2})(?:st|nd|rd|th|er|º|\.)?[\s-]+(?:de\s+)?(?P<month>[^\W\d_]+)\.?,?[\s-]+(?:de\s+)?(?P<year>\d{4})$"),
    re.compile(r"^(?:[^\W\d_]+\.?,?\s+)?(?P<month>[^\W\d_]+)\.?[\s-]+(?P<day>\d{1,2})(?:st|nd|rd|th)?,?[\s-]+(?P<year>\d{4})$"),
)  # fmt: skip


@cache
def _months() -> dict[str, int]:
    """Names and short names of months in many languages; none means two."""
    meant: dict[str, set[int]] = {}
    for language in LANGUAGES:
        for usage in ("format", "stand-alone"):
            for width in ("wide", "abbreviated"):
                for number, name in Locale(language).months[usage][width].items():
                    meant.setdefault(folded(name), set()).add(number)
    more = {"sept": 9, "mrz": 3, "maerz": 3}
    return {name: n.pop() for name, n in meant.items() if len(n) == 1 and not name.isdigit()} | more


def correct_date(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The day, as ISO 8601."""
    del column, about
    plain = visible(text)
    for day, is_sure in _days(plain):
        return Proposal(day.isoformat(), FORM if is_sure else GUESS)
    moment = _mail_moment(plain)
    return Proposal(moment.date().isoformat(), FORM) if moment and _is_midnight(moment) else None


def correct_moment(text: str, column: Column, about: Neighbours) -> Proposal | None:
    """The moment in UTC, as ISO 8601; one without a zone is taken for UTC, as everywhere."""
    del column, about
    plain = visible(text)
    if re.fullmatch(r"\d{10}(\.0+)?|\d{13}", plain):
        seconds = int(plain[:10])
        millis = int(plain[10:]) if len(plain) == 13 and "." not in plain else 0
        moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=millis * 1000)
        return _plausible(moment, EPOCH)
    written = _mail_moment(plain) or _basic_moment(plain)
    if written:
        return _plausible(written, FORM)
    for day, clock in _split(plain):
        for found, is_sure in _days(day):
            timed = _at(found, clock)
            if timed is not None:
                return _plausible(timed, FORM if is_sure else GUESS)
    return None


def _plausible(moment: datetime, rule: Rule) -> Proposal | None:
    # What was read without a correction and refused all the same is a sentinel in another form.
    return Proposal(_iso(moment), rule) if EARLIEST_MOMENT <= moment < LATEST_MOMENT else None


def _split(text: str) -> Iterator[tuple[str, str]]:
    """The text as a day and a time of day, in every way in which it can be split at a blank, a T or a comma."""
    yield text, ""
    for place in re.finditer(r"[,\s]+|(?<=\d)T(?=\d)", text):
        if _CLOCK.match(text[place.end() :]):
            yield text[: place.start()], text[place.end() :]


def _days(text: str) -> Iterator[tuple[date, bool]]:
    """The day that the text says, and whether surely."""
    if found := _YEAR_FIRST.match(text):
        year, separator, month, day = int(found[1]), found[2], int(found[3]), int(found[4])
        if separator or len(text) == 8:
            yield from _day(year, month, day)
            if month > 12:
                yield from _day(year, day, month, is_sure=False)
    elif found := _YEAR_LAST.match(text):
        first, separator, second = int(found[1]), found[2], int(found[3])
        year = int(found[4]) if len(found[4]) == 4 else 2000 + int(found[4])
        is_sure = len(found[4]) == 4
        if separator == "." or first > 12 or first == second:
            yield from _day(year, second, first, is_sure=is_sure)
        elif second > 12:
            yield from _day(year, first, second, is_sure=is_sure)
    else:
        for pattern in _WITH_MONTH:
            named = pattern.match(text)
            month_number = _months().get(folded(named["month"])) if named else None
            if named and month_number:
                yield from _day(int(named["year"]), month_number, int(named["day"]))
                return


def _day(year: int, month: int, day: int, *, is_sure: bool = True) -> Iterator[tuple[date, bool]]:
    try:
        yield date(year, month, day), is_sure
    except ValueError:
        return


def _at(day: date, clock: str) -> datetime | None:
    found = _CLOCK.match(clock) if clock else None
    if clock and not found:
        return None
    if found is None:
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
    hour, half = int(found["hour"]), (found["half"] or "").lower().replace(".", "")
    if half:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "pm" else 0)
    zone = (found["zone"] or "Z").upper().replace("UTC", "Z").replace("GMT", "Z")
    fraction = (found["fraction"] or "").replace(",", ".")
    fraction = fraction.ljust(7, "0") if fraction else ""
    text = f"{day.isoformat()}T{hour:02d}:{found['minute']}:{found['second'] or '00'}{fraction}"
    try:
        return datetime.fromisoformat(text + ("+00:00" if zone == "Z" else zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _mail_moment(text: str) -> datetime | None:
    """The moment that a mail's or a web server's header says (RFC 5322), where it names its zone."""
    if not re.match(r"^[A-Za-z]{3}, \d", text):
        return None
    try:
        moment = parsedate_to_datetime(text)
        return moment.astimezone(UTC) if moment.tzinfo else None
    except (TypeError, ValueError, OverflowError):
        return None


def _basic_moment(text: str) -> datetime | None:
    """The moment in the form of ISO 8601 without separators (20260401T101500Z)."""
    if not re.match(r"^\d{8}T\d{4,6}", text):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _is_midnight(moment: datetime) -> bool:
    return (moment.hour, moment.minute, moment.second) == (0, 0, 0)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
