"""What every contract is made of: the base model, the column helper and the shared row rules.

A contract is a :class:`Contract` subclass (a ``pandera.polars`` model). Its columns are declared with
:func:`column`, which records next to the Pandera checks what the column means. Rules used by several
contracts are registered once here as Pandera checks, so that a contract only names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

import pandera.polars as pa
import polars as pl
from pandera.api.extensions import register_check_method
from pandera.api.polars.types import PolarsData

Money = Annotated[pl.Decimal, 18, 2]
"""An exact amount in the currency of its row; never a float."""

Timestamp = Annotated[pl.Datetime, "us", "UTC"]
"""A moment in UTC, to the microsecond."""

PersonalData = Literal["identity", "contact", "location", "demographic", "online_identifier", "free_text"]
"""The kind of personal data that a column holds (after GDPR article 4)."""

Purpose = Literal["fulfilment", "analytics", "marketing", "support", "fraud_prevention"]
"""What a column may be used for."""

Correction = Literal[
    "allowed_value", "boolean", "city", "country", "currency", "date", "email", "first_name", "language", "last_name",
    "moment", "number", "path", "phone", "postal_code", "region", "street", "text", "url",
]  # fmt: skip
"""By which rules a column is corrected; the rules themselves are in ``shopsphere_assets/corrections``."""


@dataclass(frozen=True)
class Imputation:
    """What stands in for a missing value in the marts: what is typical for its group, or for all where that is small.

    ``by``: the column that says the group. Every such cell is flagged, in a column ``is_<column>_imputed``.
    """

    method: Literal["mean", "median", "mode"]
    by: str


CURRENCIES = ("USD", "EUR", "GBP", "BRL", "CAD", "AUD", "JPY", "CHF", "SEK", "PLN")
COUNTRIES = (
    *("US", "CA", "MX", "BR", "AR", "CL", "CO", "GB", "IE", "DE", "FR", "ES", "PT", "IT", "NL", "BE"),
    *("LU", "AT", "CH", "DK", "SE", "NO", "FI", "IS", "PL", "CZ", "SK", "HU", "RO", "BG", "GR", "TR"),
    *("EE", "LV", "LT", "SI", "HR", "RS", "UA", "IL", "AE", "SA", "ZA", "NG", "KE", "EG", "IN", "CN"),
    *("JP", "KR", "TW", "HK", "SG", "MY", "TH", "VN", "PH", "ID", "AU", "NZ"),
)

EARLIEST_DATE = date(1995, 1, 1)
LATEST_DATE = date(2100, 1, 1)
EARLIEST_MOMENT = datetime(EARLIEST_DATE.year, 1, 1, tzinfo=UTC)
LATEST_MOMENT = datetime(LATEST_DATE.year, 1, 1, tzinfo=UTC)
"""Online trade began about 1995; a moment outside these bounds is a sentinel or a typing error."""

_ATOM = r"[^\s\x00-\x1f\x7f@<>(),;:.\\\"\[\]]+"
_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
EMAIL_PATTERN = rf"^{_ATOM}(\.{_ATOM})*@({_LABEL}\.)+[A-Za-z]([A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?$"
"""The part of RFC 5322 that shops accept: no quoted local parts, no comments, a dotted domain."""

PHONE_PATTERN = r"^\+?[0-9(][0-9 ().\-/]{5,24}$"
POSTAL_CODE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9 \-]{1,9}$"

PLACEHOLDERS = (
    "n/a", "na", "none", "null", "nil", "unknown", "test", "tester", "xxx", "asdf", "-", "--", "?", "tbd",
)  # fmt: skip

# UTF-8 read as Latin-1 or Windows-1252 leaves one of these lead characters followed by one that text
# does not put behind it; U+FFFD is what a lossy decoder leaves.
MOJIBAKE_PATTERN = (
    "[\u00c2\u00c3][\u0080-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u2122]"
    # Of Polish, Czech, Turkish …: behind these two, which do begin words, no quotation marks and dashes.
    "|[\u00c4\u00c5][\u0080-\u00aa\u00ac-\u00ba\u00bc-\u00bf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc"
    "\u201a\u2020-\u2022\u2030\u2039\u203a\u20ac\u2122]"
    "|\u00e2[\u20ac\u201a\u201e\u2020]|\ufffd"
)

# Controls other than tab and line ends (U+0085 is one too): never typed by a person, and fatal to many readers.
CONTROL_PATTERN = "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u0084\u0086-\u009f]"


def column(
    description: str,
    *,
    required: bool = True,
    unit: str | None = None,
    personal: PersonalData | None = None,
    purposes: tuple[Purpose, ...] = ("analytics",),
    correction: Correction | None = None,
    references: str | None = None,
    imputation: Imputation | None = None,
    **checks: Any,
) -> Any:
    """A contract's column.

    ``description``: what a business person reads in the catalogue. ``required``: whether a null breaks
    the rule ``required``. ``unit``: the unit of a number, where it has one. ``personal``: the kind of
    personal data it holds, if any. ``purposes``: what it may be used for. ``correction``: by which
    rules it is corrected, where its type and its checks do not say so (a date, a number, a listed value).
    ``references``: the column whose values it takes, as ``source/table.column``; what is not there costs consistency
    and breaks no rule. ``imputation``: what stands in for a missing value in the marts; raw keeps it missing.
    ``checks``: Pandera checks.
    """
    metadata = {
        "unit": unit,
        "personal": personal,
        "purposes": list(purposes),
        "correction": correction,
        "references": references,
        "imputation": imputation,
    }
    return pa.Field(nullable=not required, description=description, metadata=metadata, **checks)


class Contract(pa.DataFrameModel):
    """The base of every contract. A column that the contract does not name is left out on reading."""


def _column(data: PolarsData) -> pl.Expr:
    return pl.col(data.key)


@register_check_method(statistics=["email"])
def email_format(data: PolarsData, *, email: bool) -> pl.LazyFrame:
    """The text is an e-mail address of the usual form, no longer than RFC 5321 allows: 64 before the @, 254 in all."""
    value = _column(data)
    good = (
        value.str.contains(EMAIL_PATTERN) & (value.str.len_bytes() <= 254) & (value.str.find("@", literal=True) <= 64)
    )
    return data.lazyframe.select(good == email)


@register_check_method(statistics=["plausible"])
def plausible_time(data: PolarsData, *, plausible: bool) -> pl.LazyFrame:
    """The date or moment lies between 1995 and 2100."""
    dtype = data.lazyframe.collect_schema()[data.key]
    low: date = EARLIEST_DATE
    high: date = LATEST_DATE
    if isinstance(dtype, pl.Datetime):
        low, high = EARLIEST_MOMENT, LATEST_MOMENT
    return data.lazyframe.select(_column(data).is_between(low, high, closed="left") == plausible)


@register_check_method(statistics=["clean"])
def clean_text(data: PolarsData, *, clean: bool) -> pl.LazyFrame:
    """The text has no control characters and was not decoded with the wrong character set."""
    value = _column(data)
    return data.lazyframe.select(
        (~value.str.contains(MOJIBAKE_PATTERN) & ~value.str.contains(CONTROL_PATTERN)) == clean
    )


@register_check_method(statistics=["real"])
def not_a_placeholder(data: PolarsData, *, real: bool) -> pl.LazyFrame:
    """The text is not blank and not a stand-in such as ``N/A`` or ``test``."""
    text = _column(data).str.strip_chars().str.to_lowercase()
    return data.lazyframe.select((~text.is_in(PLACEHOLDERS) & (text != "")) == real)


def first_name(description: str, *, required: bool = True) -> Any:
    """A person's given name."""
    return _name(description, required=required, correction="first_name")


def last_name(description: str, *, required: bool = True) -> Any:
    """A person's family name."""
    return _name(description, required=required, correction="last_name")


def _name(description: str, **more: Any) -> Any:
    return column(description, personal="identity", clean_text=True, not_a_placeholder=True, **more)


def email(description: str, *, required: bool = True, **more: Any) -> Any:
    """An e-mail address."""
    more.setdefault("purposes", ("fulfilment", "marketing", "support"))
    return column(description, required=required, personal="contact", correction="email", email_format=True, **more)


def phone(description: str, *, required: bool = False) -> Any:
    """A telephone number as typed: digits with the usual separators."""
    return column(
        description,
        required=required,
        personal="contact",
        purposes=("fulfilment", "support"),
        correction="phone",
        str_matches=PHONE_PATTERN,
    )


def text(description: str, *, required: bool = True, **more: Any) -> Any:
    """Text that a person typed or reads."""
    return column(description, required=required, clean_text=True, **more)


def street(description: str, *, required: bool = True, **more: Any) -> Any:
    """A street with its house number."""
    return text(description, required=required, personal="location", correction="street", **more)


def city(description: str, *, required: bool = True, **more: Any) -> Any:
    """A town."""
    return text(description, required=required, personal="location", correction="city", **more)


def region(description: str, *, required: bool = True, **more: Any) -> Any:
    """A state, province or county."""
    return text(description, required=required, personal="location", correction="region", **more)


def postal_code(description: str, *, required: bool = True, **more: Any) -> Any:
    """A postal code as typed."""
    more.setdefault("personal", "location")
    return column(description, required=required, correction="postal_code", str_matches=POSTAL_CODE_PATTERN, **more)


def country(description: str, *, required: bool = True, **more: Any) -> Any:
    """A country by its code in ISO 3166-1 alpha-2."""
    return column(description, required=required, correction="country", isin=COUNTRIES, **more)


def currency(description: str, *, required: bool = True, **more: Any) -> Any:
    """A currency by its code in ISO 4217."""
    return column(description, required=required, correction="currency", isin=CURRENCIES, **more)


def amount(description: str, *, required: bool = True, **more: Any) -> Any:
    """A non-negative amount of money, in the currency of its row."""
    more.setdefault("ge", 0)
    return column(description, required=required, unit="currency", **more)


def moment(description: str, *, required: bool = True) -> Any:
    """A moment in UTC."""
    return column(description, required=required, plausible_time=True)


def ordered(data: PolarsData, earlier: str, later: str) -> pl.LazyFrame:
    """Row rule: ``later`` does not lie before ``earlier``; a null on either side is not judged here."""
    return data.lazyframe.select((pl.col(later) >= pl.col(earlier)).fill_null(True))


def not_before(later: str, earlier: str) -> Any:
    """A contract's row rule that ``later`` does not lie before ``earlier``, such as ``updated_not_before_placed``."""

    def rule(cls: type[Contract], data: PolarsData) -> pl.LazyFrame:
        return ordered(data, earlier, later)

    rule.__name__ = f"{later.removesuffix('_at')}_not_before_{earlier.removesuffix('_at')}"
    rule.__doc__ = f"`{later}` does not lie before `{earlier}`."
    return pa.dataframe_check(rule)
