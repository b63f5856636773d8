"""The legacy CRM of the sales staff and the loyalty programme kept with it.

Belongs here: the rows of ``crm_files/*``. Does not belong here: the formats of its export files
(``files``). Every value is text.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from simulator.clock import DAY, HOUR, Clock, Recurrences, later_that_day
from simulator.columns import digits, draws_of, iso_dates, iso_moments, join, only, pick, pool, take
from simulator.dice import Dice, Ints
from simulator.identities import VISITOR_BASE, Identities
from simulator.people import POOLS, People
from simulator.places import COUNTRIES, address_part
from simulator.vocabulary import BRANDS, CRM_NOTES, INTERACTIONS

_SALUTATIONS = {
    "de": ("Herr", "Frau"), "fr": ("M.", "Mme"), "pt": ("Sr.", "Sra."), "es": ("Sr.", "Sra."),
    "it": ("Sig.", "Sig.ra"), "nl": ("Dhr.", "Mevr."), "pl": ("Pan", "Pani"),
}  # fmt: skip
_SALUTATION_POOL = pool([word for c in COUNTRIES for word in _SALUTATIONS.get(c.locale[:2], ("Mr", "Ms"))])
_BRAND_SLUGS = pool([address_part(brand.replace("&", "and"), "en") for brand in BRANDS])


class Crm:
    """Contacts, loyalty accounts, interactions and suppliers."""

    def __init__(self, dice: Dice, clock: Clock, people: People, identities: Identities, scale: float) -> None:
        self.dice, self.clock, self.people, self.identities = dice, clock, people, identities
        self._interactions_per_day = 50 * scale
        self._edits = Recurrences(dice, "crm.edit", first=(8, 500), period=(150, 700))
        self._statements = Recurrences(dice, "loyalty.statement", first=(4, 60), period=(30, 75))

    def contacts_on(self, day: int, known: Ints, new: Ints) -> pl.DataFrame:
        """Rows of ``crm_files/contacts`` entered or edited on the day."""
        edited = known[self._edits.today(known, day - self.identities.day_of(known))]
        ids = np.concatenate([edited, new])
        is_edit = np.arange(len(ids)) < len(edited)
        who = self.people.persons(ids)
        since = self.identities.since(ids)
        street, house, town, code = self.people.places_of(
            self.people.shipping_address(ids), who.country, np.zeros(len(ids), dtype=np.int64)
        )
        entered = later_that_day(since, self.dice.between("crm.entered", ids, 0, 2 * HOUR))
        changed = self.clock.begin(day) + self.dice.between("crm.changed", ids, 8 * HOUR, 18 * HOUR)
        birth = self.clock.date_number(0) - self.dice.between("customers.birth", ids, 6_570, 30_000)
        email = self.identities.emails(who, "crm")
        lines = self.people.lines_of(street, house, who.country)
        return pl.DataFrame(
            {
                "crm_contact_id": self.identities.crm_ids(ids),
                "salutation": only(
                    take(_SALUTATION_POOL, who.country * 2 + self.dice.below("crm.salutation", ids, 2)),
                    self.dice.chance("crm.saluted", ids, 0.8),
                ),
                "first_name": self.identities.first_names(who, "crm"),
                "last_name": self.identities.last_names(who, "crm"),
                "email": only(email, self.dice.chance("crm.has_email", ids, 0.85)),
                "phone": self.identities.phones(who, "crm"),
                "street": lines.str.replace("(?i)straße", "str.").str.replace("Street", "St."),
                "city": take(POOLS.towns, town),
                "postal_code": take(POOLS.postcodes, code),
                "country_code": take(POOLS.codes, who.country),
                "birth_date": only(iso_dates(birth), self.dice.chance("crm.birth_known", ids, 0.4)),
                "notes": only(
                    pick(CRM_NOTES, self.dice.below("crm.notes", ids, len(CRM_NOTES))),
                    self.dice.chance("crm.noted", ids, 0.2),
                ),
                "created_on": iso_dates(entered // DAY),
                "modified_at": iso_moments(np.where(is_edit, changed, entered)),
            }
        )

    def loyalty_accounts_on(self, day: int, known: Ints, new: Ints) -> pl.DataFrame:
        """Rows of ``crm_files/loyalty_accounts`` opened or credited on the day."""
        known = known[self.dice.chance("loyalty.joins", known, 0.5)]
        new = new[self.dice.chance("loyalty.joins", new, 0.5)]
        credited = known[self._statements.today(known, day - self.identities.day_of(known))]
        ids = np.concatenate([credited, new])
        is_credit = np.arange(len(ids)) < len(credited)
        since = self.identities.since(ids)
        per_day = (1 - self.dice.uniform("loyalty.rate", ids)) ** -0.5
        days = np.maximum(self.clock.begin(day) - since, 0) // DAY
        tier = np.searchsorted([1.6, 2.4, 4.0], per_day)
        changed = self.clock.begin(day) + self.dice.between("loyalty.changed", ids, 2 * HOUR, 4 * HOUR)
        return pl.DataFrame(
            {
                "loyalty_number": self.identities.loyalty_numbers(ids),
                "crm_contact_id": self.identities.crm_ids(ids),
                "tier": pick(("bronze", "silver", "gold", "platinum"), tier),
                "points_balance": digits((days * per_day).astype(np.int64)),
                "enrolled_on": iso_dates(since // DAY),
                "modified_at": iso_moments(np.where(is_credit, changed, later_that_day(since, HOUR))),
            }
        )

    def interactions_on(self, day: int) -> pl.DataFrame:
        """Rows of ``crm_files/interactions`` noted on the day."""
        weight = float(self.clock.weight[day])
        ids = draws_of(day, max(int(self._interactions_per_day * weight), 1))
        at_opening = max(int(self.people.arrivals.before(day)), 1)
        customer = 1 + self.dice.below("interactions.customer", ids, at_opening)
        known = self.dice.chance("crm.member", customer, 0.6)
        visitor = VISITOR_BASE + 1 + self.dice.below("interactions.visitor", ids, self.identities.visitors.before(day))
        occurred = self.clock.begin(day) + np.sort(self.dice.between("interactions.at", ids, 7 * HOUR, 19 * HOUR))
        topic = self.dice.below("interactions.topic", ids, len(INTERACTIONS))
        return pl.DataFrame(
            {
                "interaction_id": join("I", digits(np.int64(day) * 100_000 + np.arange(len(ids)), 9)),
                "crm_contact_id": self.identities.crm_ids(np.where(known, customer, visitor)),
                "channel": pick(
                    ("phone", "email", "store", "letter", "chat"),
                    self.dice.choice("interactions.channel", ids, [45, 30, 12, 3, 10]),
                ),
                "direction": pick(("inbound", "outbound"), self.dice.below("interactions.direction", ids, 2)),
                "subject": pick(tuple(entry[0] for entry in INTERACTIONS), topic),
                "notes": pick(tuple(entry[1] for entry in INTERACTIONS), topic),
                "occurred_at": iso_moments(occurred),
            }
        )

    def suppliers_on(self, day: int) -> pl.DataFrame:
        """Rows of ``crm_files/suppliers``: all of them at the opening, later the edited ones."""
        ids = np.arange(1, len(BRANDS) + 1, dtype=np.int64)
        if day:
            ids = ids[self.dice.chance("suppliers.edit", ids + day * 1_000, 0.01)]
        version = ids + day * 1_000
        country = self.dice.choice("suppliers.country", ids, POOLS.weights)
        modified = self.clock.begin(day) + self.dice.between("suppliers.at", version, 8 * HOUR, 17 * HOUR)
        if day == 0:
            modified -= self.dice.between("suppliers.back", ids, 1, 300) * DAY
        brands = pick(BRANDS, ids - 1)
        legal = pick((" Ltd", " GmbH", " S.A.", " Inc."), self.dice.below("suppliers.legal", ids, 4))
        number = self.dice.between("suppliers.phone", ids, 1_000_000, 9_999_999)
        return pl.DataFrame(
            {
                "supplier_id": join("S", digits(ids, 4)),
                "name": join(brands, legal),
                "contact_email": join("orders@", take(_BRAND_SLUGS, ids - 1), ".example"),
                "phone": join(take(POOLS.dials, country), " 20 ", digits(number)),
                "country_code": take(POOLS.codes, country),
                "brand": brands,
                "lead_time_days": digits(self.dice.between("suppliers.lead_time", version, 2, 45)),
                "modified_at": iso_moments(modified),
            }
        )
