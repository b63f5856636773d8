"""The product catalogue: categories, products, and prices that change.

Belongs here: what is on sale at which price, and the rows of ``catalogue_db`` except the stock. Does not
belong here: stock (``stock``) and who buys what (``orders``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import polars as pl

from simulator.clock import DAY, HOUR, MINUTE, NEVER, SECOND, Arrivals, Clock, Recurrences
from simulator.columns import dates, digits, integers, join, moments, money, pick, pool, take
from simulator.dice import Dice, Floats, Ints
from simulator.places import CURRENCIES, UNITS_PER_DOLLAR
from simulator.vocabulary import ADJECTIVES, BRANDS, COLOURS, DEPARTMENTS

_LISTED_BEFORE = 400
"""How many days before day 0 the opening catalogue was entered."""
_PRICE_VERSIONS = 1_000


@dataclass(frozen=True)
class Shelf:
    """What can be bought during a week, ordered by category, with the bounds for drawing by popularity."""

    products: Ints
    bounds: Floats
    category_low: Floats
    category_high: Floats

    def pick(self, quantile: Floats) -> Ints:
        """Any product, the popular ones more often."""
        place = np.searchsorted(self.bounds, quantile * self.bounds[-1], side="right")
        return np.asarray(self.products[np.minimum(place, len(self.products) - 1)])

    def pick_in(self, category: Ints, quantile: Floats) -> Ints:
        """A product of the category (numbered from 0), the popular ones more often."""
        low, high = self.category_low[category], self.category_high[category]
        place = np.searchsorted(self.bounds, low + quantile * (high - low), side="right")
        return self.products[np.minimum(place, len(self.products) - 1)]


class Catalogue:
    """Everything the shop sells."""

    def __init__(self, dice: Dice, clock: Clock, scale: float) -> None:
        self.dice, self.clock = dice, clock
        self.arrivals = Arrivals(clock, opening=max(int(1_400 * scale), 100), per_day=max(200 * scale / 90, 0.05))
        self._repricing = Recurrences(dice, "prices.change", first=(5, 260), period=(60, 320))
        self._edits = Recurrences(dice, "products.edit", first=(10, 500), period=(120, 500))
        self.departments = list(DEPARTMENTS)
        leaves = [(d, name, *spec) for d, entries in DEPARTMENTS.items() for name, spec in entries.items()]
        self.category_count = len(leaves)
        self._leaf_parent = [self.departments.index(leaf[0]) + 1 for leaf in leaves]
        self._leaf_names = [leaf[1] for leaf in leaves]
        nouns = [leaf[2].split(";") for leaf in leaves]
        self._noun_counts = np.array([len(entries) for entries in nouns])
        self._noun_starts = np.concatenate([[0], np.cumsum(self._noun_counts)[:-1]])
        self._nouns = pool([noun for entries in nouns for noun in entries])
        self._typical = np.array([leaf[3] for leaf in leaves])
        self.shelf = lru_cache(maxsize=16)(self._shelf)

    # Category numbers: departments first, from 1; then the leaves, from 101.

    def category(self, product: Ints) -> Ints:
        """The leaf (from 0) in which a product is listed."""
        return self.dice.below("products.category", product, self.category_count)

    def category_ids(self, leaf: Ints) -> Ints:
        """The catalogue's number of a leaf."""
        return leaf + 101

    def popularity(self, product: Ints) -> Floats:
        """How often a product is bought, relatively: few best-sellers and a long tail (Pareto, shape 1.25)."""
        return np.minimum((1 - self.dice.uniform("products.popularity", product)) ** -0.8, 60.0)

    def _last_week(self, product: Ints) -> Ints:
        """The first week in which a product is no longer sold; most stay."""
        leaves = self.dice.chance("products.leaves", product, 0.15)
        week = np.maximum(self.arrivals.day_of(product), 0) // 7 + self.dice.between("products.left", product, 3, 60)
        return np.where(leaves, week, NEVER)

    def _shelf(self, week: int) -> Shelf:
        product = self.arrivals.known_before(week * 7)
        product = product[self._last_week(product) > week]
        leaf = self.category(product)
        order = np.argsort(leaf, kind="stable")
        product, leaf = product[order], leaf[order]
        bounds = np.cumsum(self.popularity(product))
        edges = np.searchsorted(leaf, np.arange(self.category_count + 1))
        padded = np.concatenate([[0.0], bounds])
        return Shelf(product, bounds, padded[edges[:-1]], padded[edges[1:]])

    def skus(self, product: Ints) -> pl.Series:
        """Stock-keeping units."""
        return join("SKU-", digits(product, 7))

    def names(self, product: Ints) -> pl.Series:
        """Names as shown in the shop."""
        leaf = self.category(product)
        noun = self._noun_starts[leaf] + self.dice.below("products.noun", product, self._noun_counts[leaf])
        return join(
            pick(ADJECTIVES, self.dice.below("products.adjective", product, len(ADJECTIVES))), " ",
            take(self._nouns, noun), ", ",
            pick(COLOURS, self.dice.below("products.colour", product, len(COLOURS))),
        )  # fmt: skip

    def price_cents(self, product: Ints, currency: Ints, day: Ints | int) -> Ints:
        """The list price that holds on the day, in cents of the currency."""
        version = self._repricing.count(product, np.asarray(day) - self.arrivals.day_of(product))
        return self._cents(product, currency, version)

    def _cents(self, product: Ints, currency: Ints, version: Ints) -> Ints:
        spread = np.exp(self.dice.uniform("products.price", product, -0.7, 0.7))
        step = np.where(
            version == 0, 1.0, self.dice.uniform("prices.step", product * _PRICE_VERSIONS + version, 0.8, 1.2)
        )
        dollars = self._typical[self.category(product)] * spread * step
        # Prices end in .90 or .99, as prices do.
        whole = np.maximum(np.rint(dollars * np.array(UNITS_PER_DOLLAR)[currency]), 2).astype(np.int64)
        return np.asarray(whole * 100 - np.where(product % 3 == 0, 10, 1))

    def categories_on(self, day: int) -> pl.DataFrame:
        """Rows of ``catalogue_db/categories`` inserted or updated on the day."""
        parents: list[int | None] = [None] * len(self.departments)
        parents += self._leaf_parent
        names = self.departments + self._leaf_names
        numbers = [*range(1, len(self.departments) + 1), *range(101, 101 + self.category_count)]
        entered = self.clock.begin(0) - _LISTED_BEFORE * DAY
        at = np.full(len(names), entered)
        keep = np.full(len(names), day == 0)
        if day:
            keep = self.dice.chance("categories.edit", np.array(numbers) + day * 1_000, 0.004)
            at = self.clock.begin(day) + self.dice.between("categories.at", np.array(numbers), 8 * HOUR, 17 * HOUR)
        slugs = [name.lower().replace(" & ", "-").replace(" ", "-") for name in names]
        frame = pl.DataFrame(
            {
                "category_id": pl.Series(numbers, dtype=pl.Int64),
                "parent_category_id": pl.Series(parents, dtype=pl.Int64),
                "name": names,
                "slug": slugs,
                "updated_at": moments(at),
            }
        )
        return frame.filter(pl.Series(keep))

    def products_on(self, day: int) -> pl.DataFrame:
        """Rows of ``catalogue_db/products`` inserted or updated on the day."""
        new = self.arrivals.delivered_on(day)
        known = self.arrivals.known_before(day) if day else new[:0]
        leaving = (self._last_week(known) == day // 7) if day % 7 == 0 else np.zeros(len(known), dtype=bool)
        edited = known[self._edits.today(known, day - self.arrivals.day_of(known)) | leaving]
        product = np.concatenate([edited, new])
        arrived = self.arrivals.day_of(product)
        created = np.where(
            arrived < 0,
            self.clock.begin(0) - self.dice.between("products.created", product, DAY, _LISTED_BEFORE * DAY),
            self.clock.begin(np.maximum(arrived, 0)) + self.dice.between("products.entered", product, HOUR, 12 * HOUR),
        )
        is_edit = np.arange(len(product)) < len(edited)
        changed = self.clock.begin(day) + self.dice.between("products.changed", product + day * 7_919, HOUR, 20 * HOUR)
        left = self._last_week(product) <= day // 7
        names = self.names(product)
        brand = pick(BRANDS, self.dice.below("products.brand", product, len(BRANDS)))
        weight = np.exp(self.dice.uniform("products.weight", product, 3.5, 8.5)).astype(np.int64)
        return pl.DataFrame(
            {
                "product_id": integers(product),
                "sku": self.skus(product),
                "name": names,
                "description": join(names, " by ", brand, ". Made to last; see the size guide for details."),
                "category_id": integers(self.category_ids(self.category(product))),
                "brand": brand,
                "weight_grams": integers(weight),
                "status": pick(("active", "discontinued"), left.astype(np.int64)),
                "launched_on": dates(created // DAY + 1),
                "created_at": moments(created),
                "updated_at": moments(np.where(is_edit, np.maximum(changed, created), created)),
            }
        )

    def prices_on(self, day: int) -> pl.DataFrame:
        """Rows of ``catalogue_db/prices`` inserted or updated on the day.

        A new price holds from midnight; the row of the one before gets its ``valid_to`` at the same time.
        """
        new = self.arrivals.delivered_on(day)
        known = self.arrivals.known_before(day) if day else new[:0]
        changed = known[self._repricing.today(known, day - self.arrivals.day_of(known))]
        version = self._repricing.count(changed, day - self.arrivals.day_of(changed))
        never = np.full(len(changed) + len(new), NEVER)
        begin = self.clock.begin(day)
        product = np.concatenate([changed, changed, new])
        versions = np.concatenate([version - 1, version, np.zeros(len(new), dtype=np.int64)])
        valid_to = np.concatenate([np.full(len(changed), begin), never])
        return self._price_rows(product, versions, valid_to, day)

    def _price_rows(self, product: Ints, version: Ints, valid_to: Ints, day: int) -> pl.DataFrame:
        count = len(CURRENCIES)
        currency = np.tile(np.arange(count), len(product))
        product, version, valid_to = (np.repeat(values, count) for values in (product, version, valid_to))
        arrived = self.arrivals.day_of(product)
        listed = self.clock.begin(0) - self.dice.between("prices.listed", product, DAY, _LISTED_BEFORE * DAY)
        launched = np.where(arrived < 0, listed // DAY * DAY, self.clock.begin(np.maximum(arrived, 0)))
        age = day - arrived
        # The moment a version began: the last repricing, or for a price that ends today the one before it.
        age = np.where(valid_to < NEVER, age - 1, age)
        began = self.clock.begin(np.maximum(arrived + self._repricing.last_age(product, age), 0))
        valid_from = np.where(version == 0, launched, began)
        written = self.clock.begin(day) + SECOND + self.dice.between("prices.written", product, 0, 10 * MINUTE)
        is_opening = (day == 0) & (arrived < 0)
        return pl.DataFrame(
            {
                "price_id": integers((product * _PRICE_VERSIONS + version) * 10 + currency),
                "product_id": integers(product),
                "currency": pick(CURRENCIES, currency),
                "amount": money(self._cents(product, currency, version)),
                "valid_from": moments(valid_from),
                "valid_to": moments(valid_to),
                "updated_at": moments(np.where(is_opening, launched + MINUTE, written)),
            }
        )
