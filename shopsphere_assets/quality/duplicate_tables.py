"""What is searched for duplicates: reviews, and the people of all systems together; and where the pairs are kept.

Belongs here: which tables and columns are compared. Not here: how (``near_duplicates``), and what is done about it: a
pair is a finding, nothing is merged.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from resources.warehouse import Warehouse
from resources.warehouse.system_tables import NEAR_DUPLICATES
from shopsphere_assets.quality.near_duplicates import KEY, PEOPLE, REVIEWS, Found, Method, find_duplicates

_REVIEWS = {
    "reviews/reviews": """
        SELECT CAST(review_id AS varchar) AS key, concat_ws(' ', title, body) AS text
        FROM raw.reviews__reviews WHERE _deleted_at IS NULL
    """,
}
# The newest address stands for a customer's address book.
_PEOPLE = {
    "shop_db/customers": """
        SELECT concat('shop_db/customers:', customers.customer_id) AS key,
            concat_ws(' ', first_name, last_name) AS name, email, phone, address
        FROM raw.shop_db__customers AS customers
        LEFT JOIN (
            SELECT customer_id, concat_ws(' ', line1, city, postal_code) AS address,
                row_number() OVER (PARTITION BY customer_id ORDER BY updated_at DESC, address_id) AS place
            FROM raw.shop_db__addresses WHERE _deleted_at IS NULL
        ) AS addresses ON addresses.customer_id = customers.customer_id AND addresses.place = 1
        WHERE _deleted_at IS NULL
    """,
    "crm_files/contacts": """
        SELECT concat('crm_files/contacts:', crm_contact_id) AS key,
            concat_ws(' ', first_name, last_name) AS name, email, phone,
            concat_ws(' ', street, city, postal_code) AS address
        FROM raw.crm_files__contacts WHERE _deleted_at IS NULL
    """,
    "hubspot/contacts": """
        SELECT concat('hubspot/contacts:', contact_id) AS key, concat_ws(' ', first_name, last_name) AS name, email,
            phone, CAST(NULL AS varchar) AS address
        FROM raw.hubspot__contacts WHERE _deleted_at IS NULL
    """,
}
_COMPARED: dict[str, tuple[dict[str, str], Method]] = {"reviews": (_REVIEWS, REVIEWS), "people": (_PEOPLE, PEOPLE)}

TABLES = (*_REVIEWS, *_PEOPLE)
"""The raw tables that are searched, by their labels."""


@dataclass(frozen=True)
class Searched:
    """A relation, and what was found in it."""

    relation: str
    found: Found


def search(warehouse: Warehouse, tables: Collection[str]) -> list[Searched]:
    """Search the relations of which any of ``tables`` (labels of raw tables) exists here; what was kept is replaced."""
    done = []
    for relation, (queries, method) in _COMPARED.items():
        frames = [
            pl.DataFrame(pl.from_arrow(warehouse.query(query))) for label, query in queries.items() if label in tables
        ]
        if not frames:
            continue
        records = pl.concat(frames).with_columns(pl.all().cast(pl.String))
        if relation == "people":
            records = records.with_columns(_digits("phone"), _person_of("email"))
        found = find_duplicates(records.sort(KEY), method)
        keep(warehouse, relation, found)
        done.append(Searched(relation, found))
    return done


def _digits(name: str) -> pl.Expr:
    """A telephone number by its last nine digits, without the ways of writing it."""
    return pl.col(name).str.replace_all(r"\D", "").str.tail(9)


def _person_of(name: str) -> pl.Expr:
    """What stands before the @: providers have millions of customers."""
    return pl.col(name).str.split("@").list.first()


def keep(warehouse: Warehouse, relation: str, found: Found) -> None:
    """Put the pairs of a relation into the warehouse in place of those of the last search."""
    now = datetime.now(UTC)
    exact = found.exact.with_columns(similarity=pl.lit(1.0), is_exact=pl.lit(True))
    rows = pl.concat([exact, found.near.with_columns(is_exact=pl.lit(False))]).select(
        relation=pl.lit(relation),
        left_key="left",
        right_key="right",
        similarity="similarity",
        is_exact="is_exact",
        found_at=pl.lit(now),
    )
    with warehouse.transaction() as transaction:
        transaction.execute(f"DELETE FROM {NEAR_DUPLICATES} WHERE relation = $1", [relation])
        transaction.append(NEAR_DUPLICATES.schema, NEAR_DUPLICATES.name, rows.to_arrow().cast(NEAR_DUPLICATES.columns))
