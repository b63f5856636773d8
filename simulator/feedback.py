"""What customers say: product reviews and requests for help.

Belongs here: the rows of ``reviews/reviews`` and ``support/tickets``. Does not belong here: the orders
they are about. Every value is text, as the services give it.
"""

from __future__ import annotations

import numpy as np
import polars as pl

from simulator.clock import DAY, HOUR, MINUTE, NEVER
from simulator.columns import digits, either, hexadecimal, iso_moments, join, only, pick, pool, take
from simulator.dice import Dice, Flags, Ints
from simulator.orders import RETURNED, STORE, OrderBook, Orders
from simulator.people import POOLS, People, Persons
from simulator.places import COUNTRIES
from simulator.sales import within
from simulator.vocabulary import LANGUAGES, REVIEW_BODIES, REVIEW_TITLES, TICKETS

_MOODS = ("good", "bad")
_LANGUAGE_OF = np.array(
    [LANGUAGES.index(c.locale[:2]) if c.locale[:2] in LANGUAGES else 0 for c in COUNTRIES]
)  # fmt: skip


class _Sayings:
    """Sentences by mood and language in one pool."""

    def __init__(self, sentences: dict[str, dict[str, list[str]]]) -> None:
        lists = [sentences[mood][language] for mood in _MOODS for language in LANGUAGES]
        self._count = np.array([len(entries) for entries in lists])
        self._start = np.cumsum(self._count) - self._count
        self._pool = pool([sentence for entries in lists for sentence in entries])

    def pick(self, dice: Dice, stream: str, ids: Ints, mood: Ints, language: Ints) -> pl.Series:
        group = mood * len(LANGUAGES) + language
        return take(self._pool, self._start[group] + dice.below(stream, ids, self._count[group]))


_TITLES, _BODIES = _Sayings(REVIEW_TITLES), _Sayings(REVIEW_BODIES)


class Feedback:
    """Reviews and tickets that follow from orders."""

    def __init__(self, dice: Dice, book: OrderBook, people: People) -> None:
        self.dice, self.book, self.people = dice, book, people

    def reviews_on(self, day: int, alive: Orders) -> pl.DataFrame:
        """Rows of ``reviews/reviews`` written or moderated on the day."""
        dice, begin = self.dice, int(self.book.clock.begin(day))
        writes = (alive.delivered < NEVER) & (alive.channel != STORE) & dice.chance("reviews.writes", alive.ids, 0.17)
        orders = alive.at(writes)
        written = orders.delivered + dice.between("reviews.after", orders.ids, 12 * HOUR, 12 * DAY)
        waits = dice.chance("reviews.waits", orders.ids, 0.4)
        moderated = np.where(waits, written + dice.between("reviews.moderated", orders.ids, HOUR, 30 * HOUR), NEVER)
        touched = within(written, begin) | within(moderated, begin)
        orders, written, moderated, waits = (
            orders.at(touched),
            written[touched],
            moderated[touched],
            waits[touched],
        )
        ids = orders.ids
        lines = self.book.lines(orders)
        counts = np.bincount(lines.owner, minlength=len(ids))
        line = np.cumsum(counts) - counts + dice.below("reviews.line", ids, counts)
        product = lines.product[line]
        quality = dice.uniform("products.quality", product, -0.9, 0.9) - 1.4 * (orders.outcome == RETURNED)
        noise = dice.uniform("reviews.noise", ids) + dice.uniform("reviews.noise2", ids) - 1
        rating = np.clip(np.rint(4.1 + quality + 1.6 * noise), 1, 5).astype(np.int64)
        mood = (rating <= 3).astype(np.int64)
        language = _LANGUAGE_OF[orders.country]
        is_moderated = moderated < begin + DAY
        verdict = np.where(dice.chance("reviews.rejected", ids, 0.05), 2, 1)
        status = np.where(waits, np.where(is_moderated, verdict, 0), 1)
        who = self.people.persons(orders.customer)
        first, last = take(POOLS.first_names, who.first), take(POOLS.last_names, who.last)
        short = join(first, " ", last.str.head(1), ".")
        return pl.DataFrame(
            {
                "review_id": join("rev_", hexadecimal(dice.bits("reviews.id", ids))),
                "product_id": digits(product),
                "sku": self.book.catalogue.skus(product),
                "customer_id": only(digits(orders.customer), dice.chance("reviews.signed_in", ids, 0.8)),
                "reviewer_name": either(dice.chance("reviews.short", ids, 0.5), short, join(first, " ", last)),
                "reviewer_email": only(self.people.emails(who), dice.chance("reviews.email", ids, 0.6)),
                "rating": digits(rating),
                "title": _TITLES.pick(dice, "reviews.title", ids, mood, language),
                "body": _BODIES.pick(dice, "reviews.body", ids, mood, language),
                "language": pick(LANGUAGES, language),
                "is_verified_purchase": pick(
                    ("false", "true"), dice.chance("reviews.verified", ids, 0.85).astype(np.int64)
                ),
                "status": pick(("pending", "published", "rejected"), status),
                "created_at": iso_moments(written),
                "updated_at": iso_moments(np.where(is_moderated, moderated, written)),
            }
        )

    def _requesters(self, who: Persons) -> tuple[pl.Series, pl.Series]:
        """Address and name as typed into the form."""
        email = self.people.emails(who)
        email = either(self.dice.chance("tickets.capitals", who.ids, 0.12), email.str.to_titlecase(), email)
        name = join(take(POOLS.first_names, who.first), " ", take(POOLS.last_names, who.last))
        return email, only(name, self.dice.chance("tickets.named", who.ids, 0.9))

    def tickets_on(self, day: int, alive: Orders) -> pl.DataFrame:
        """Rows of ``support/tickets`` opened or changed on the day."""
        dice, begin = self.dice, int(self.book.clock.begin(day))
        orders = alive.at(dice.chance("tickets.asks", alive.ids, 0.06))
        opened = orders.placed + dice.between("tickets.after", orders.ids, HOUR, 12 * DAY)
        answered = opened + dice.between("tickets.answered", orders.ids, 10 * MINUTE, 20 * HOUR)
        solved = answered + dice.between("tickets.solved", orders.ids, HOUR, 6 * DAY)
        closed = solved + 4 * DAY
        steps = np.stack([opened, answered, solved, closed])
        touched: Flags = np.any((steps >= begin) & (steps < begin + DAY), axis=0)
        orders, steps = orders.at(touched), steps[:, touched]
        ids = orders.ids
        reached = np.where(steps < begin + DAY, steps, -1)
        step = reached.argmax(axis=0)
        # open or pending after the first answer; pool order: new open solved closed pending
        status = np.where((step == 1) & dice.chance("tickets.pending", ids, 0.4), 4, step)
        is_solved = step >= 2
        topic = dice.below("tickets.topic", ids, len(TICKETS))
        email, name = self._requesters(self.people.persons(orders.customer))
        rated = is_solved & dice.chance("tickets.rated", ids, 0.4)
        stars = 1 + dice.choice("tickets.stars", ids, [6, 7, 14, 33, 40])
        return pl.DataFrame(
            {
                "ticket_id": join("T-", digits(ids + 100_000, 9)),
                "requester_email": email,
                "requester_name": name,
                "customer_id": only(digits(orders.customer), dice.chance("tickets.known", ids, 0.8)),
                "order_id": only(digits(ids), dice.chance("tickets.about_order", ids, 0.75)),
                "channel": pick(
                    ("email", "chat", "phone", "web"), dice.choice("tickets.channel", ids, [45, 20, 10, 25])
                ),
                "subject": pick(tuple(entry[0] for entry in TICKETS), topic),
                "body": pick(tuple(entry[1] for entry in TICKETS), topic),
                "status": pick(("new", "open", "solved", "closed", "pending"), status),
                "priority": pick(
                    ("low", "normal", "high", "urgent"), dice.choice("tickets.priority", ids, [15, 60, 20, 5])
                ),
                "satisfaction_rating": only(digits(stars), rated),
                "created_at": iso_moments(steps[0]),
                "solved_at": iso_moments(np.where(is_solved, steps[2], NEVER)),
                "updated_at": iso_moments(reached.max(axis=0)),
            }
        )
