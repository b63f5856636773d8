"""The shop's customers and their address books.

Belongs here: who the customers are, derived from their number, and the rows of ``shop_db/customers`` and
``shop_db/addresses``. Does not belong here: how other systems know the same people (``crm``,
``marketing``) or what they buy (``orders``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from simulator.clock import DAY, HOUR, MINUTE, NEVER, SECOND, Arrivals, Clock, Recurrences, later_that_day
from simulator.columns import (
    dates,
    digits,
    either,
    integers,
    join,
    moments,
    only,
    pick,
    pool,
    scrambled,
    take,
)
from simulator.dice import Dice, Flags, Ints
from simulator.places import COUNTRIES, CURRENCIES, REGIONS, address_part

OPENING_DAYS = 1_100
"""How far back the opening customers' registrations reach, in days."""
_POSTCODES_PER_TOWN = 24
_NUMBER_PRIME = 9_999_991


@dataclass(frozen=True)
class Persons:
    """What never changes about some customers, one entry per customer."""

    ids: Ints
    country: Ints
    first: Ints
    last: Ints

    def at(self, index: Ints | Flags) -> Persons:
        """Some of them."""
        return Persons(self.ids[index], self.country[index], self.first[index], self.last[index])


class _Pools:
    """The countries' data, flattened into pools; ``*_start`` and ``*_count`` are per country."""

    def __init__(self) -> None:
        firsts = [c.first_names.split() for c in COUNTRIES]
        lasts = [c.last_names.split() for c in COUNTRIES]
        streets = [c.streets.split(";") for c in COUNTRIES]
        towns = [[town.split("|") for town in c.towns.split(";")] for c in COUNTRIES]
        domains = [c.domains for c in COUNTRIES]
        self.first_start, self.first_count = _extents(firsts)
        self.last_start, self.last_count = _extents(lasts)
        self.street_start, self.street_count = _extents(streets)
        self.town_start, self.town_count = _extents(towns)
        self.domain_start, self.domain_count = _extents(domains)
        self.firsts = [name for names in firsts for name in names]
        self.lasts = [name for names in lasts for name in names]
        self.first_names, self.last_names = pool(self.firsts), pool(self.lasts)
        self.first_parts = pool(
            [address_part(n, c.locale) for c, ns in zip(COUNTRIES, firsts, strict=True) for n in ns]
        )
        self.last_parts = pool([address_part(n, c.locale) for c, ns in zip(COUNTRIES, lasts, strict=True) for n in ns])
        self.streets = pool([street for names in streets for street in names])
        flat_towns = [town for country in towns for town in country]
        self.towns = pool([town[0] for town in flat_towns])
        self.states = pool([town[2] or None for town in flat_towns])
        dice = Dice(0)  # the towns' postal codes are the same in every simulation
        self.postcodes = pool(
            [
                _postcode(town[1], dice.bits("postcode", number * 1000 + variant)[0].item())
                for number, town in enumerate(flat_towns)
                for variant in range(_POSTCODES_PER_TOWN)
            ]
        )
        self.domains = pool([domain for names in domains for domain in names])
        self.codes = pool([c.code for c in COUNTRIES])
        self.locales = pool([c.locale for c in COUNTRIES])
        self.dials = pool([c.dial for c in COUNTRIES])
        self.number_first = np.array([c.is_number_first for c in COUNTRIES])
        self.weights = np.array([c.weight for c in COUNTRIES])
        self.currency = np.array([CURRENCIES.index(c.currency) for c in COUNTRIES])
        self.tax_percent = np.array([c.tax_percent for c in COUNTRIES])
        self.region = np.array([REGIONS.index(c.region) for c in COUNTRIES])


def _extents(lists: list[list[str]] | list[list[list[str]]] | list[tuple[str, ...]]) -> tuple[Ints, Ints]:
    counts = np.array([len(entries) for entries in lists], dtype=np.int64)
    return np.concatenate([[0], np.cumsum(counts)[:-1]]), counts


def _postcode(pattern: str, bits: int) -> str:
    letters = "ABCDEFGHJKLMNPRSTUVWXYZ"
    text = ""
    for character in pattern:
        bits = bits // 29 or 7_919_191
        text += str(bits % 10) if character == "#" else letters[bits % 23] if character == "@" else character
    return text


POOLS = _Pools()


class People:
    """Everybody with an account in the shop."""

    def __init__(self, dice: Dice, clock: Clock, scale: float) -> None:
        self.dice, self.clock = dice, clock
        self.arrivals = Arrivals(clock, opening=max(int(14_000 * scale), 20), per_day=6_000 * scale / 90)
        self._edits = Recurrences(dice, "customers.edit", first=(25, 500), period=(150, 600))
        self._moves = Recurrences(dice, "addresses.move", first=(40, 1_200), period=(500, 1_500))

    def persons(self, ids: Ints) -> Persons:
        """Who the customers with these numbers are."""
        country = self.dice.choice("customers.country", ids, POOLS.weights)
        return Persons(
            ids,
            country,
            POOLS.first_start[country] + self.dice.below("customers.first", ids, POOLS.first_count[country]),
            POOLS.last_start[country] + self.dice.below("customers.last", ids, POOLS.last_count[country]),
        )

    def emails(self, who: Persons) -> pl.Series:
        """The addresses they sign in with; no two customers share one."""
        dot = pick((".", "", "_", "."), self.dice.below("customers.dot", who.ids, 4))
        domain = POOLS.domain_start[who.country] + self.dice.below(
            "customers.domain", who.ids, POOLS.domain_count[who.country]
        )
        # A number of one's own, as people add when the plain address is taken.
        number = digits(scrambled(who.ids, _NUMBER_PRIME))
        return join(
            take(POOLS.first_parts, who.first), dot, take(POOLS.last_parts, who.last), number, "@",
            take(POOLS.domains, domain),
        )  # fmt: skip

    def phones(self, who: Persons, version: Ints) -> pl.Series:
        """Their telephone numbers; a new version is a new number."""
        ids = who.ids * 64 + version
        number = join(
            take(POOLS.dials, who.country), " ", digits(self.dice.between("phone.area", ids, 200, 999)), " ",
            digits(self.dice.between("phone.number", ids, 1_000_000, 9_999_999)),
        )  # fmt: skip
        return only(number, self.dice.chance("phone.known", who.ids, 0.8))

    def registered(self, ids: Ints) -> Ints:
        """When the accounts were created."""
        day = self.arrivals.day_of(ids)
        jitter = self.dice.uniform("customers.registered", ids)
        in_day = Clock.time_of_day(self.arrivals.quantile(ids, np.maximum(day, 0), jitter))
        past = (ids - 1 + jitter) / max(self.arrivals.opening, 1) * OPENING_DAYS
        opening = self.clock.begin(0) - ((OPENING_DAYS - past) * DAY).astype(np.int64) - MINUTE
        return np.where(day < 0, opening, self.clock.begin(np.maximum(day, 0)) + in_day)

    def is_opted_in(self, ids: Ints) -> Flags:
        """Who agreed to marketing e-mail when registering."""
        return self.dice.chance("customers.opt_in", ids, 0.62)

    def never_buys(self, ids: Ints) -> Flags:
        """Who only ever looks."""
        return self.dice.chance("customers.never_buys", ids, 0.06)

    def customers_on(self, day: int) -> pl.DataFrame:
        """Rows of ``shop_db/customers`` inserted or updated on the day."""
        new = self.arrivals.delivered_on(day)
        known = self.arrivals.known_before(day) if day else new[:0]
        edited = known[self._edits.today(known, day - self.arrivals.day_of(known))]
        ids = np.concatenate([edited, new])
        who = self.persons(ids)
        age = day - self.arrivals.day_of(ids)
        version = self._edits.count(ids, age)
        registered = self.registered(ids)
        changed = self.clock.begin(day) + self.dice.between("customers.edited_at", ids, 6 * HOUR, 22 * HOUR)
        birth = self.clock.date_number(0) - self.dice.between("customers.birth", ids, 6_570, 30_000)
        opted_in = self.is_opted_in(ids) ^ (version % 4 == 3)
        return pl.DataFrame(
            {
                "customer_id": integers(ids),
                "email": self.emails(who),
                "first_name": take(POOLS.first_names, who.first),
                "last_name": take(POOLS.last_names, who.last),
                "phone": self.phones(who, version),
                "birth_date": only(dates(birth), self.dice.chance("customers.birth_known", ids, 0.7)),
                "country_code": take(POOLS.codes, who.country),
                "locale": take(POOLS.locales, who.country),
                "is_marketing_opt_in": pl.Series(opted_in),
                "registered_at": moments(registered),
                "updated_at": moments(np.where(version > 0, changed, registered)),
            }
        )

    # Address numbers are handed out three per customer: delivery, invoice, and one that is never used.

    def has_billing(self, ids: Ints) -> Flags:
        """Who has a second address for invoices."""
        return self.dice.chance("addresses.billing", ids, 0.35)

    def shipping_address(self, customer: Ints) -> Ints:
        """The number of the address that goods go to."""
        return customer * 3 - 2

    def billing_address(self, customer: Ints) -> Ints:
        """The number of the address that invoices go to."""
        return customer * 3 - 2 + self.has_billing(customer)

    def _spare_until(self, ids: Ints) -> Ints:
        """The age in days at which the never used address is deleted; NEVER for who has none."""
        has = self.dice.chance("addresses.spare", ids, 0.12)
        return np.where(has, self.dice.between("addresses.spare_until", ids, 6, 400), NEVER)

    def places_of(self, address: Ints, country: Ints, version: Ints) -> tuple[Ints, Ints, Ints, Ints]:
        """Per address: street, house number, town and postal code (indexes into the pools)."""
        ids = address * 32 + version
        street = POOLS.street_start[country] + self.dice.below("street", ids, POOLS.street_count[country])
        town = POOLS.town_start[country] + self.dice.below("town", ids, POOLS.town_count[country])
        house = 1 + (self.dice.uniform("house", ids) ** 2 * 180).astype(np.int64)
        code = town * _POSTCODES_PER_TOWN + self.dice.below("postcode", ids, _POSTCODES_PER_TOWN)
        return street, house, town, code

    def lines_of(self, street: Ints, house: Ints, country: Ints) -> pl.Series:
        """Street and house number in the country's order."""
        name, number = take(POOLS.streets, street), digits(house)
        return either(POOLS.number_first[country], join(number, " ", name), join(name, " ", number))

    def addresses_on(self, day: int) -> pl.DataFrame:
        """Rows of ``shop_db/addresses`` inserted or updated on the day."""
        new = self.arrivals.delivered_on(day)
        known = self.arrivals.known_before(day) if day else new[:0]
        moved = known[self._moves.today(known, day - self.arrivals.day_of(known))]
        billed, spare = new[self.has_billing(new)], new[self._spare_until(new) < NEVER]
        address = np.concatenate([moved * 3 - 2, new * 3 - 2, billed * 3 - 1, spare * 3])
        address.sort()
        customer = (address + 2) // 3
        kind = (address + 2) % 3
        age = day - self.arrivals.day_of(customer)
        version = np.where(kind == 0, self._moves.count(customer, age), 0)
        country = self.dice.choice("customers.country", customer, POOLS.weights)
        street, house, town, code = self.places_of(address, country, version)
        delay = self.dice.between("addresses.created", address, 20 * SECOND, 50 * SECOND)
        created = later_that_day(self.registered(customer), delay)
        changed = self.clock.begin(day) + self.dice.between("addresses.moved_at", address, 7 * HOUR, 22 * HOUR)
        floor = join("Apt. ", digits(1 + self.dice.below("addresses.flat", address, 40)))
        has_floor = self.dice.chance("addresses.has_flat", address, 0.15)
        return pl.DataFrame(
            {
                "address_id": integers(address),
                "customer_id": integers(customer),
                "address_type": pick(("shipping", "billing"), (kind == 1).astype(np.int64)),
                "line1": self.lines_of(street, house, country),
                "line2": only(floor, has_floor),
                "city": take(POOLS.towns, town),
                "state": take(POOLS.states, town),
                "postal_code": take(POOLS.postcodes, code),
                "country_code": take(POOLS.codes, country),
                "created_at": moments(created),
                "updated_at": moments(np.where(version > 0, changed, created)),
            }
        )

    def addresses_deleted_on(self, day: int) -> pl.DataFrame:
        """Keys of the addresses that customers delete on the day; no order ever used them."""
        known = self.arrivals.known_before(day)
        gone = known[self._spare_until(known) == day - self.arrivals.day_of(known)]
        return pl.DataFrame({"address_id": integers(gone * 3)})
