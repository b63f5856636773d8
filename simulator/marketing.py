"""Marketing in HubSpot: contacts, campaigns and what happens to each e-mail.

Belongs here: the rows of ``hubspot/*`` and the clicks that bring visitors to the shop. Does not belong
here: the visits themselves (``web``). Every value is text.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from simulator.clock import DAY, HOUR, MINUTE, NEVER, SECOND, Clock, Recurrences, later_that_day
from simulator.columns import digits, hexadecimal, iso_moments, join, only, pick, pool, take
from simulator.dice import Dice, Flags, Ints
from simulator.identities import LEAD_BASE, Identities
from simulator.orders import WEB, Orders
from simulator.people import POOLS, People
from simulator.vocabulary import CAMPAIGN_THEMES, MAIL_PROGRAMS

_FIRST_SEND, _EVERY = 1, 4
"""The first campaign goes out on day 1, then one every four days."""
_OPEN_DAYS = 4
"""Mails are opened on the day of sending or one of the next three."""
_SHARE = 0.18
"""Share of the contacts to whom a campaign goes, before the opt-in."""
_ARCHIVED_AFTER = 45
SENT, DELIVERED, OPEN, CLICK, BOUNCE, DEFERRED, DROPPED, SPAMREPORT, UNSUBSCRIBE = range(9)
_EVENT_TYPES = (
    "SENT", "DELIVERED", "OPEN", "CLICK", "BOUNCE", "DEFERRED", "DROPPED", "SPAMREPORT", "UNSUBSCRIBE",
)  # fmt: skip
_EXTRA_OPEN, _EXTRA_CLICK = 20, 21
"""Marks of the second opening that led to an order, within an event's number."""

_SLUGS = pool([name.lower().replace("'", "").replace(",", "").replace(" ", "-") for name, _ in CAMPAIGN_THEMES])


@dataclass(frozen=True)
class Clicks:
    """Clicks in campaign e-mails: by whom (customers' or leads' numbers), in which campaign, when."""

    person: Ints
    campaign: Ints
    moment: Ints


class Marketing:
    """What HubSpot knows."""

    def __init__(self, dice: Dice, clock: Clock, people: People, identities: Identities) -> None:
        self.dice, self.clock, self.people, self.identities = dice, clock, people, identities
        self._edits = Recurrences(dice, "hubspot.edit", first=(10, 300), period=(90, 400))

    # Contacts

    def contacts_on(self, day: int, known: Ints, new: Ints) -> pl.DataFrame:
        """Rows of ``hubspot/contacts`` created or changed on the day."""
        edited = known[self._edits.today(known, day - self.identities.day_of(known))]
        ids = np.concatenate([edited, new])
        version = self._edits.count(ids, day - self.identities.day_of(ids))
        who = self.people.persons(ids)
        created = later_that_day(self.identities.since(ids), self.dice.between("hubspot.created", ids, SECOND, HOUR))
        changed = self.clock.begin(day) + self.dice.between("hubspot.changed", ids, HOUR, 22 * HOUR)
        is_lead = ids > LEAD_BASE
        stage = np.where(is_lead, self.dice.choice("hubspot.stage", ids * 8 + version, [3, 4, 2, 1, 1]), 5)
        town = POOLS.town_start[who.country] + self.dice.below(
            "town", (ids * 3 - 2) * 32, POOLS.town_count[who.country]
        )
        archived = (version > 0) & self.dice.chance("hubspot.archived", ids, 0.06)
        return pl.DataFrame(
            {
                "contact_id": self.identities.hubspot_ids(ids),
                "email": self.identities.emails(who, "hubspot"),
                "first_name": self.identities.first_names(who, "hubspot"),
                "last_name": only(
                    self.identities.last_names(who, "hubspot"),
                    ~is_lead | self.dice.chance("hubspot.last", ids, 0.6),
                ),
                "phone": self.identities.phones(who, "hubspot"),
                "city": only(take(POOLS.towns, town), self.dice.chance("hubspot.city", ids, 0.7)),
                "country_code": take(POOLS.codes, who.country),
                "lifecycle_stage": pick(
                    (
                        "subscriber",
                        "lead",
                        "marketingqualifiedlead",
                        "salesqualifiedlead",
                        "opportunity",
                        "customer",
                    ),
                    stage,
                ),
                "is_archived": pick(("false", "true"), archived.astype(np.int64)),
                "created_at": iso_moments(created),
                "updated_at": iso_moments(np.where(version > 0, changed, created)),
            }
        )

    # Campaigns

    def _sent_at(self, campaign: Ints) -> Ints:
        day = _FIRST_SEND + campaign * _EVERY
        return self.clock.begin(day) + 8 * HOUR + self.dice.between("campaigns.sent", campaign, 0, 3 * HOUR)

    def campaign_ids(self, campaign: Ints) -> pl.Series:
        """HubSpot's numbers of the campaigns."""
        return digits(80_000_000_000 + campaign * 48_271)

    def utm_campaigns(self, campaign: Ints) -> pl.Series:
        """The names that the links of the campaigns carry."""
        return join(take(_SLUGS, campaign % len(CAMPAIGN_THEMES)), "-", digits(campaign + 1, 3))

    def campaigns_on(self, day: int) -> pl.DataFrame:
        """Rows of ``hubspot/campaigns`` drafted, scheduled, sent or archived on the day."""
        campaign = np.arange(0, day // _EVERY + 2, dtype=np.int64)
        sent = self._sent_at(campaign)
        created = np.maximum(sent - 2 * DAY, self.clock.begin(0) + HOUR)
        steps = np.stack([created, np.maximum(sent - DAY, created + HOUR), sent, sent + _ARCHIVED_AFTER * DAY])
        begin = self.clock.begin(day)
        touched = ((steps >= begin) & (steps < begin + DAY)).any(axis=0)
        campaign, steps = campaign[touched], steps[:, touched]
        reached = np.where(steps < begin + DAY, steps, -1)
        step = reached.argmax(axis=0)
        theme = campaign % len(CAMPAIGN_THEMES)
        return pl.DataFrame(
            {
                "campaign_id": self.campaign_ids(campaign),
                "name": join(pick(tuple(name for name, _ in CAMPAIGN_THEMES), theme), " #", digits(campaign + 1)),
                "subject": pick(tuple(subject for _, subject in CAMPAIGN_THEMES), theme),
                "utm_campaign": self.utm_campaigns(campaign),
                "status": pick(("DRAFT", "SCHEDULED", "PUBLISHED", "ARCHIVED"), step),
                "published_at": iso_moments(np.where(step >= 2, steps[2], NEVER)),
                "created_at": iso_moments(steps[0]),
                "updated_at": iso_moments(reached.max(axis=0)),
            }
        )

    def _open_campaigns(self, day: int) -> Ints:
        """The campaigns of which mails can be opened on the day."""
        last = (day - _FIRST_SEND) // _EVERY
        first = -((_FIRST_SEND - (day - _OPEN_DAYS)) // _EVERY)
        return np.arange(max(first, 0), last + 1, dtype=np.int64)

    def _is_recipient(self, person: Ints, campaign: Ints, sent: Ints) -> Flags:
        opted_in = np.where(person > LEAD_BASE, True, self.people.is_opted_in(person))
        chosen = self.dice.chance("campaigns.recipient", person * 1_009 + campaign, _SHARE)
        return opted_in & chosen & (self.identities.since(person) < sent - DAY)

    # E-mail events

    def clicks_before_orders(self, orders: Orders) -> tuple[Flags, Clicks]:
        """Which of a day's web orders begin with a click in a recent e-mail, and those clicks."""
        person = orders.customer
        day = orders.day
        campaign = (day - _FIRST_SEND) // _EVERY
        campaign = np.maximum(campaign, 0)
        sent = self._sent_at(campaign)
        clicked = orders.placed - self.dice.between("clicks.before_order", orders.ids, 6 * MINUTE, 10 * MINUTE)
        is_led = (
            (orders.channel == WEB)
            & (day >= _FIRST_SEND)
            & (clicked > sent + HOUR)
            & ((clicked - MINUTE) // DAY == orders.placed // DAY)
            & self.dice.chance("hubspot.member", person, 0.7)
            & self.dice.chance("clicks.leads", orders.ids, 0.8)
        )
        is_led[is_led] = self._is_recipient(person[is_led], campaign[is_led], sent[is_led])
        return is_led, Clicks(person[is_led], campaign[is_led], clicked[is_led])

    def email_events_on(self, day: int, known: Ints, before_orders: Clicks) -> tuple[pl.DataFrame, Clicks]:
        """Rows of ``hubspot/email_events`` of the day, and the day's clicks that lead to no order."""
        begin = int(self.clock.begin(day))
        parts: list[tuple[Ints, Ints, int, Ints]] = []
        for number in self._open_campaigns(day):
            sent = int(self._sent_at(np.array([number]))[0])
            chosen = known[self.dice.chance("campaigns.recipient", known * 1_009 + number, _SHARE)]
            person = chosen[self._is_recipient(chosen, np.full(len(chosen), number), np.full(len(chosen), sent))]
            parts += self._events_of(int(number), sent, person, begin)
        clicks = [part for part in parts if part[2] == CLICK]
        plain = Clicks(
            _concatenate([part[0] for part in clicks]),
            _concatenate([part[1] for part in clicks]),
            _concatenate([part[3] for part in clicks]),
        )
        led = before_orders
        if len(led.person):
            opened = led.moment - self.dice.between("clicks.opened", led.person, 5 * SECOND, MINUTE)
            parts.append((led.person, led.campaign, _EXTRA_OPEN, opened))
            parts.append((led.person, led.campaign, _EXTRA_CLICK, led.moment))
        person = _concatenate([part[0] for part in parts])
        campaign = _concatenate([part[1] for part in parts])
        moment = _concatenate([part[3] for part in parts])
        mark = _concatenate([np.full(len(part[0]), part[2]) for part in parts])
        order = np.argsort(moment, kind="stable")
        person, campaign, moment, mark = person[order], campaign[order], moment[order], mark[order]
        return self._event_rows(person, campaign, mark, moment), plain

    def _events_of(self, campaign: int, sent: int, person: Ints, begin: int) -> list[tuple[Ints, Ints, int, Ints]]:
        """The campaign's events on the day, as (person, campaign, kind, moment)."""
        dice, key = self.dice, person * 1_009 + campaign
        leaves = sent + dice.between("mails.leaves", key, 0, 40 * MINUTE)
        arrives = leaves + dice.between("mails.arrives", key, SECOND, 3 * MINUTE)
        fate = dice.uniform("mails.fate", key)
        is_delivered = fate < 0.965
        opens = is_delivered & dice.chance("mails.opens", key, 0.32)
        delay = (-np.log1p(-dice.uniform("mails.opened", key)) * 14 * HOUR).astype(np.int64)
        opened = arrives + np.minimum(delay, (_OPEN_DAYS - 1) * DAY - 12 * HOUR)
        clicks = opens & dice.chance("mails.clicks", key, 0.14)
        clicked = opened + dice.between("mails.clicked", key, 5 * SECOND, 5 * MINUTE)
        reaction = dice.uniform("mails.reaction", key)
        found = [
            (SENT, np.ones(len(key), dtype=bool), leaves),
            (DELIVERED, is_delivered, arrives),
            (BOUNCE, (fate >= 0.965) & (fate < 0.985), arrives),
            (DEFERRED, (fate >= 0.985) & (fate < 0.995), arrives),
            (DROPPED, fate >= 0.995, leaves + SECOND),
            (OPEN, opens, opened),
            (CLICK, clicks, clicked),
            (UNSUBSCRIBE, opens & (reaction < 0.008), opened + MINUTE),
            (SPAMREPORT, opens & (reaction > 0.999), opened + MINUTE),
        ]
        events = []
        for kind, happens, moment in found:
            here = happens & (moment >= begin) & (moment < begin + DAY)
            count = int(here.sum())
            if count:
                events.append((person[here], np.full(count, campaign), kind, moment[here]))
        return events

    def _event_rows(self, person: Ints, campaign: Ints, mark: Ints, moment: Ints) -> pl.DataFrame:
        kind = np.where(mark >= _EXTRA_OPEN, np.where(mark == _EXTRA_OPEN, OPEN, CLICK), mark)
        is_click = kind == CLICK
        # A customer may order twice after the same mail: the moment tells the events apart.
        key = ((person * 1_009 + campaign) * 32 + mark) ^ np.where(mark >= _EXTRA_OPEN, moment << 20, 0)
        utm = self.utm_campaigns(campaign)
        link = join("https://www.shopsphere.example/?utm_source=hubspot&utm_medium=email&utm_campaign=", utm)
        program = pick(MAIL_PROGRAMS, self.dice.below("mails.program", person, len(MAIL_PROGRAMS)))
        return pl.DataFrame(
            {
                "event_id": hexadecimal(self.dice.bits("mails.event", key)),
                "campaign_id": self.campaign_ids(campaign),
                "event_type": pick(_EVENT_TYPES, kind),
                "recipient_email": self.identities.emails(self.people.persons(person), "hubspot"),
                "url": only(link, is_click),
                "user_agent": only(program, is_click | (kind == OPEN)),
                "occurred_at": iso_moments(moment),
            }
        )


def _concatenate(arrays: list[Ints]) -> Ints:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=np.int64)
