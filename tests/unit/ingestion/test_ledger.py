"""What the ledger keeps as text and as versions tells apart what must be told apart."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from shopsphere_assets.contracts.base import Contract, Timestamp, column, moment
from shopsphere_assets.ingestion.batch import contract_version
from shopsphere_assets.ingestion.ledger import _as_text
from tests.raw_tables import ALL_TABLES, raw_table

_moments = st.datetimes(
    datetime(1900, 1, 2),  # noqa: DTZ001
    datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.sampled_from([UTC, ZoneInfo("Asia/Kolkata"), ZoneInfo("America/New_York")]),
)


@given(_moments, _moments)
def test_the_order_of_watermarks_as_text_is_the_order_of_moments(one: datetime, other: datetime) -> None:
    assert (_as_text(one) < _as_text(other)) == (one.astimezone(UTC) < other.astimezone(UTC))
    assert datetime.fromisoformat(_as_text(one)) == one.astimezone(UTC)
    assert len(_as_text(one)) == len("2026-03-01T12:00:00.000000+00:00")


def test_every_contract_has_its_own_version() -> None:
    versions = {table.label: contract_version(table) for table in ALL_TABLES}
    assert len(set(versions.values())) == len(versions)


def test_a_contracts_version_changes_with_a_type_a_rule_or_its_bounds() -> None:
    class Plain(Contract):
        """A contract."""

        name: str = column("A name.", str_length={"min_value": 1, "max_value": 8})
        updated_at: Timestamp = moment("When.")

    class Longer(Contract):
        """The same with another bound."""

        name: str = column("A name.", str_length={"min_value": 1, "max_value": 9})
        updated_at: Timestamp = moment("When.")

    class Optional(Contract):
        """The same with an optional column."""

        name: str = column("A name.", required=False, str_length={"min_value": 1, "max_value": 8})
        updated_at: Timestamp = moment("When.")

    class Numbered(Contract):
        """The same with another type."""

        name: pl.Int64 = column("A name.")
        updated_at: Timestamp = moment("When.")

    class Reworded(Contract):
        """Other words for the same."""

        name: str = column("Another description.", str_length={"min_value": 1, "max_value": 8})
        updated_at: Timestamp = moment("When.")

    versions = [contract_version(raw_table(c)) for c in (Plain, Longer, Optional, Numbered)]
    assert len(set(versions)) == 4
    assert contract_version(raw_table(Reworded)) == versions[0]
