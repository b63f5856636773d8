"""How other systems know the shop's customers: other numbers, other spellings, other addresses.

Belongs here: the variants of names, e-mail addresses and telephone numbers, and the people whom only
marketing or only the sales staff knows. Does not belong here: the rows of those systems.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from simulator.clock import Arrivals, Clock
from simulator.columns import digits, either, join, only, pool, scrambled, take
from simulator.dice import Dice, Ints
from simulator.people import POOLS, People, Persons
from simulator.places import NICKNAMES, without_accents

LEAD_BASE = 60_000_000
"""Numbers above it are leads, whom only marketing knows."""
VISITOR_BASE = 40_000_000
"""Numbers above it (up to the leads) are people whom only the legacy CRM knows."""
_CRM_PRIME = 99_999_989
_HUBSPOT_PRIME = 9_999_999_967


def _with_typo(text: str) -> str:
    """Two neighbouring letters exchanged."""
    middle = len(text) // 2
    return text[: middle - 1] + text[middle] + text[middle - 1] + text[middle + 1 :] if len(text) > 3 else text


def _spellings(names: list[str]) -> list[pl.Series]:
    """Per style, the names: as they are, nickname, no accents, capitals, small letters, mistyped."""
    return [
        pool(names),
        pool([NICKNAMES.get(name, name) for name in names]),
        pool([without_accents(name) for name in names]),
        pool([name.upper() for name in names]),
        pool([name.lower() for name in names]),
        pool([_with_typo(name) for name in names]),
    ]


def _stacked(spellings: list[pl.Series]) -> tuple[pl.Series, int]:
    """All the styles in one pool, and the number of names per style."""
    size = spellings[0].len() - 1
    return pool([text for style in spellings for text in style.head(size).to_list()]), size


_FIRST, _FIRST_SIZE = _stacked(_spellings(POOLS.firsts))
_LAST, _LAST_SIZE = _stacked(_spellings(POOLS.lasts))


class Identities:
    """The same people, as seen by another system (``system`` keeps the systems' quirks apart)."""

    def __init__(self, dice: Dice, people: People, clock: Clock, scale: float) -> None:
        self.dice, self.people = dice, people
        self.leads = Arrivals(clock, opening=max(int(2_500 * scale), 5), per_day=2_500 * scale / 90)
        self.visitors = Arrivals(clock, opening=max(int(1_000 * scale), 3), per_day=300 * scale / 90)

    def members(self, ids: Ints, system: str) -> Ints:
        """The customers whom the system knows: marketing 70 %, the legacy CRM 60 %."""
        share = 0.7 if system == "hubspot" else 0.6
        return ids[self.dice.chance(f"{system}.member", ids, share)]

    def known_before(self, day: int, system: str) -> Ints:
        """Everybody whom the system knew when the day began."""
        base, others = (LEAD_BASE, self.leads) if system == "hubspot" else (VISITOR_BASE, self.visitors)
        customers = self.members(self.people.arrivals.known_before(day), system)
        return np.concatenate([customers, base + others.known_before(day)])

    def new_on(self, day: int, system: str) -> Ints:
        """Everybody whose row first appears in the system on the day."""
        base, others = (LEAD_BASE, self.leads) if system == "hubspot" else (VISITOR_BASE, self.visitors)
        customers = self.members(self.people.arrivals.delivered_on(day), system)
        return np.concatenate([customers, base + others.delivered_on(day)])

    def day_of(self, ids: Ints) -> Ints:
        """The day on which somebody became known; -1 for those known at the opening."""
        day = self.people.arrivals.day_of(np.where(ids > VISITOR_BASE, 1, ids))
        for base, others in ((VISITOR_BASE, self.visitors), (LEAD_BASE, self.leads)):
            is_here = (ids > base) & (ids <= base + LEAD_BASE - VISITOR_BASE)
            day = np.where(is_here, others.day_of(np.where(is_here, ids - base, 1)), day)
        return day

    def since(self, ids: Ints) -> Ints:
        """The moment at which somebody became known: with the account, or during office hours."""
        numbers = np.where(ids > LEAD_BASE, ids - LEAD_BASE, ids - VISITOR_BASE)
        clock = self.people.clock
        day = self.day_of(ids)
        back = self.dice.between("identities.back", ids, 1, 700)
        begin = clock.begin(np.where(day < 0, -back, day))
        office = begin + self.dice.between("identities.since", numbers, 28_800_000_000, 64_800_000_000)
        registered = self.people.registered(np.where(ids > VISITOR_BASE, 1, ids))
        return np.where(ids > VISITOR_BASE, office, registered)

    def hubspot_ids(self, ids: Ints) -> pl.Series:
        """HubSpot's numbers of the contacts."""
        return digits(20_000_000_000 + scrambled(ids, _HUBSPOT_PRIME))

    def crm_ids(self, ids: Ints) -> pl.Series:
        """The legacy CRM's numbers of the contacts."""
        return join("C", digits(scrambled(ids, _CRM_PRIME), 8))

    def loyalty_numbers(self, ids: Ints) -> pl.Series:
        """Numbers on the loyalty cards."""
        return digits(scrambled(ids + 77, _HUBSPOT_PRIME), 10)

    def _styles(self, ids: Ints, system: str, part: str) -> Ints:
        weights = [80, 6, 5, 2, 4, 3] if system == "hubspot" else [55, 12, 14, 9, 2, 8]
        return self.dice.choice(f"{system}.{part}_style", ids, weights)

    def first_names(self, who: Persons, system: str) -> pl.Series:
        """Given names in the system's spelling."""
        return take(_FIRST, self._styles(who.ids, system, "first") * _FIRST_SIZE + who.first)

    def last_names(self, who: Persons, system: str) -> pl.Series:
        """Family names in the system's spelling; nobody has a nickname for those."""
        return take(_LAST, self._styles(who.ids, system, "last") * _LAST_SIZE + who.last)

    def emails(self, who: Persons, system: str) -> pl.Series:
        """E-mail addresses: mostly the shop's, some in capitals, some private ones."""
        draw = self.dice.uniform(f"{system}.email", who.ids)
        own = self.people.emails(who)
        private = join(
            take(POOLS.first_parts, who.first), digits(self.dice.between("private_email", who.ids, 10, 99_999)),
            "@mail.example",
        )  # fmt: skip
        is_private = (draw < 0.12) & (who.ids < VISITOR_BASE)
        loud = (draw > 0.94) if system == "crm" else np.zeros(len(draw), dtype=bool)
        return either(is_private, private, either(loud, own.str.to_uppercase(), own))

    def phones(self, who: Persons, system: str) -> pl.Series:
        """Telephone numbers, typed in the system's way."""
        number = self.people.phones(who, np.zeros(len(who.ids), dtype=np.int64))
        if system != "crm":
            return only(number, self.dice.chance("hubspot.phone", who.ids, 0.55))
        parts = number.str.splitn(" ", 3).struct.unnest()
        local = join("0", parts["field_1"], "/", parts["field_2"])
        return either(self.dice.chance("crm.local_phone", who.ids, 0.5), local, number)
