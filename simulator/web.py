"""Visits to the web shop: tracked events and the web server's access log.

Belongs here: the rows of ``web_logs/*``: visits that end in the real orders of the channel ``web``, visits
that follow clicks in e-mails, visits that lead to nothing, and bots. Does not belong here: the format of the
log files (``files``). Every value is text.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote_plus

import numpy as np
import polars as pl

from simulator.catalogue import Catalogue
from simulator.clock import DAY, MINUTE, SECOND, Clock
from simulator.columns import digits, draws_of, either, hexadecimal, iso_moments, join, only, pick, pool, take
from simulator.dice import Dice, Flags, Ints
from simulator.identities import LEAD_BASE
from simulator.marketing import Clicks, Marketing
from simulator.orders import Lines, Orders
from simulator.people import People
from simulator.vocabulary import BOTS, BROWSERS, DEPARTMENTS, SEARCHES

SITE = "https://www.shopsphere.example"
_TYPES = (
    "page_view", "search", "product_view", "add_to_cart", "remove_from_cart", "checkout_started", "purchase",
)  # fmt: skip
_PAGE, _SEARCH, _VIEW, _ADD, _REMOVE, _CHECKOUT, _PURCHASE = range(7)
# The order of the steps within a visit; the views and cart moves lie between.
_RANKS = {_PAGE: 0, _SEARCH: 1, _REMOVE: 900, _CHECKOUT: 901, _PURCHASE: 902}
_BROWSED = np.array([0.18, 0.30, 0.24, 0.15, 0.08, 0.05])
"""Chances of viewing 0, 1, 2, ... products in a visit that ends without an order."""
_IDLE_VISITS = 960 / 667
"""Visits without an order, per order of any channel; makes 500,000 events at scale 1 in 90 days."""

_PAGES = pool(
    ["/", "/sale", "/new", "/about"] + [f"/c/{c.lower().replace(' ', '-')}" for d in DEPARTMENTS.values() for c in d]
)
_PAGE_COUNT = _PAGES.len() - 1
_QUERIES = pool(SEARCHES)
_QUERY_PATHS = pool([f"/search?q={quote_plus(text)}" for text in SEARCHES])
_BROWSERS = pool(list(BROWSERS))
# 198.18.0.0/15 is set aside for tests (RFC 2544): these addresses belong to nobody.
_ADDRESSES = pool(
    [f"198.{18 + number // 65536}.{number // 256 % 256}.{number % 256}" for number in range(0, 131_072, 7)]
)
_ADDRESS_COUNT = _ADDRESSES.len() - 1
_REFERRERS = pool(["https://www.google.example/", "https://www.bing.example/", "https://social.example/feed"])
# Where a visit comes from: nothing, search engine, paid search, social network, e-mail.
_DIRECT, _ORGANIC, _PAID, _SOCIAL, _EMAIL = range(5)
_UTM_SOURCES = pool([None, None, "google", "facebook", "hubspot"])
_UTM_MEDIA = pool([None, None, "cpc", "social", "email"])
_UTM_NAMES = pool([None, None, "brand-search", "spring-lookbook"])
_BOT_PATHS = pool(["/wp-login.php", "/.env", "/robots.txt", "/sitemap.xml", "/p/SKU-9999999", "/xmlrpc.php", "/"])
_BOT_STATUS = np.array([404, 404, 200, 200, 404, 404, 200])
_BOT_HOSTS = pool([f"203.0.113.{number}" for number in range(1, 60)])
_BOTS = pool(list(BOTS))


@dataclass(frozen=True)
class _Visits:
    """The visits of one day; ``customer`` and ``order`` are 0 where there is none."""

    key: Ints
    customer: Ints
    is_signed_in: Flags
    order: Ints
    anchor: Ints
    source: Ints
    campaign: Ints
    views: Ints


class Web:
    """The web shop's visitors."""

    def __init__(
        self,
        dice: Dice,
        clock: Clock,
        people: People,
        catalogue: Catalogue,
        marketing: Marketing,
        scale: float,
    ) -> None:
        self.dice, self.clock, self.people = dice, clock, people
        self.catalogue, self.marketing = catalogue, marketing
        self._idle_per_day = 60_000 * scale / 90 * _IDLE_VISITS
        self._strangers = max(int(18_000 * scale), 50)

    def _visits(self, day: int, orders: Orders, led: Flags, led_clicks: Clicks, lines: Lines, plain: Clicks) -> _Visits:
        dice, buying, clicking = self.dice, len(orders.ids), len(plain.person)
        idle = int(self._idle_per_day * float(self.clock.weight[day]))
        key = draws_of(day, buying + clicking + idle)
        idle_key = key[buying + clicking :]
        known = max(int(self.people.arrivals.before(day)), 1)
        someone = 1 + dice.below("visits.customer", idle_key, known)
        is_known = dice.chance("visits.is_known", idle_key, 0.35)
        started = self.clock.begin(day) + Clock.time_of_day(dice.uniform("visits.at", idle_key))
        latest = self.clock.begin(day) + DAY - 15 * MINUTE
        source = dice.choice("visits.source", key, [48, 30, 15, 7])
        source[:buying] = np.where(led, _EMAIL, source[:buying])
        source[buying : buying + clicking] = _EMAIL
        campaign = np.zeros(len(key), dtype=np.int64)
        campaign[:buying][led] = led_clicks.campaign
        campaign[buying : buying + clicking] = plain.campaign
        bought = np.bincount(lines.owner, minlength=buying)
        browsed = dice.choice("visits.views", key[buying:], _BROWSED)
        extra = dice.choice("visits.extra", key[:buying], [0.45, 0.35, 0.2])
        clicker = np.where(plain.person > LEAD_BASE, 0, plain.person)
        return _Visits(
            key,
            np.concatenate([orders.customer, clicker, np.where(is_known, someone, 0)]),
            dice.chance("visits.signed_in", key, 0.7),
            np.concatenate([orders.ids, np.zeros(clicking + idle, dtype=np.int64)]),
            np.concatenate([orders.placed, np.minimum(plain.moment + 2 * SECOND, latest), np.minimum(started, latest)]),
            source,
            campaign,
            np.concatenate([bought + extra, browsed]),
        )

    def _steps(self, day: int, visits: _Visits, lines: Lines) -> tuple[Ints, Ints, Ints, Ints]:
        """Every event of the visits in order, as (visit, type, product, quantity); 0 where there is none."""
        dice, count = self.dice, len(visits.key)
        everyone = np.arange(count)
        owner = np.repeat(everyone, visits.views)
        starts = np.cumsum(visits.views) - visits.views
        number = np.arange(len(owner)) - starts[owner]
        view_key = visits.key[owner] * 16 + number
        product = self.catalogue.shelf(day // 7).pick(dice.uniform("views.product", view_key))
        quantity = np.zeros(len(owner), dtype=np.int64)
        # A buyer looks at what is bought first, and puts all of it into the cart.
        place = starts[lines.owner] + lines.number - 1
        product[place], quantity[place] = lines.product, lines.quantity
        is_bought = quantity > 0
        is_idle = visits.order[owner] == 0
        added = is_bought | (dice.chance("views.added", view_key, 0.13) & is_idle)
        quantity[added & ~is_bought] = 1
        removed = added & ~is_bought & dice.chance("views.removed", view_key, 0.25)
        searching = everyone[dice.chance("visits.searches", visits.key, 0.38)]
        buying = np.flatnonzero(visits.order)
        leaves_cart = np.zeros(count, dtype=bool)
        leaves_cart[owner[added & ~removed & is_idle]] = True
        halfway = np.flatnonzero(leaves_cart & dice.chance("visits.halfway", visits.key, 0.35))
        parts = [
            (everyone, _PAGE, 0, 0, 0),
            (searching, _SEARCH, 1, 0, 0),
            (owner, _VIEW, 2 + 2 * number, product, 0),
            (owner[added], _ADD, 3 + 2 * number[added], product[added], quantity[added]),
            (owner[removed], _REMOVE, _RANKS[_REMOVE], product[removed], quantity[removed]),
            (np.concatenate([buying, halfway]), _CHECKOUT, _RANKS[_CHECKOUT], 0, 0),
            (buying, _PURCHASE, _RANKS[_PURCHASE], 0, 0),
        ]
        columns = [np.concatenate([np.broadcast_to(part[field], len(part[0])) for part in parts]) for field in range(5)]
        order = np.argsort(columns[0] * 1_000 + columns[2], kind="stable")
        visit, kind, _, product, quantity = (column[order] for column in columns)
        return visit, kind, product, quantity

    def _times(self, day: int, visits: _Visits, visit: Ints) -> tuple[Ints, Ints, Ints]:
        """Per event: its number within the visit, when it happened and when the collector received it."""
        counts = np.bincount(visit, minlength=len(visits.key))
        starts = np.cumsum(counts) - counts
        step = np.arange(len(visit)) - starts[visit]
        event_key = visits.key[visit] * 64 + step
        is_buying = visits.order > 0
        # A visit with an order takes less than five minutes, so that it follows the click that began it.
        short = self.dice.uniform("visits.pace", visits.key, 2 * MINUTE, 5 * MINUTE) / np.maximum(counts, 1)
        gap = np.where(is_buying, short, self.dice.uniform("visits.gap", visits.key, 8 * SECOND, 50 * SECOND))
        jitter = self.dice.uniform("events.jitter", event_key, 0, 0.8)
        from_start = (step + jitter * (step > 0)) * gap[visit]
        from_end = (counts[visit] - 1 - step - jitter) * gap[visit]
        from_end = np.where(step == counts[visit] - 1, 0, np.maximum(from_end, 0))
        offset = np.where(is_buying[visit], -from_end, from_start).astype(np.int64)
        begin, end = int(self.clock.begin(day)), int(self.clock.begin(day)) + DAY
        occurred = np.minimum(visits.anchor[visit] + offset, end - 1)
        delay = self.dice.between("events.delay", event_key, 40_000, 2_500_000)
        received = np.maximum(np.clip(occurred + delay, begin, end - 1), occurred)
        return step, occurred, received

    def tables_on(
        self, day: int, orders: Orders, led: Flags, led_clicks: Clicks, lines: Lines, plain: Clicks
    ) -> dict[str, pl.DataFrame]:
        """Both tables' rows of the day.

        ``orders``, ``lines``: the day's orders of the channel ``web``; ``led``: which of them follow a click
        in an e-mail, and ``led_clicks`` those clicks; ``plain``: clicks that lead to no order.
        """
        dice = self.dice
        visits = self._visits(day, orders, led, led_clicks, lines, plain)
        visit, kind, product, quantity = self._steps(day, visits, lines)
        step, occurred, received = self._times(day, visits, visit)
        key = visits.key * 64
        event_key = key[visit] + step
        stranger = np.int64(day // 14) * 50_000_000 + dice.below("visits.stranger", visits.key, self._strangers)
        device = visits.customer * 2 + dice.chance("visits.second_device", visits.key, 0.3)
        person = np.where(visits.customer > 0, device, -1 - stranger)
        address = dice.below("visitors.address", person, _ADDRESS_COUNT)
        browser = dice.choice("visitors.browser", person, [30, 14, 6, 26, 20, 4])

        query = np.where(kind == _SEARCH, dice.below("visits.query", visits.key[visit], len(SEARCHES)), -1)
        page = np.where(
            kind == _PAGE,
            (dice.uniform("visits.page", visits.key[visit]) ** 2 * _PAGE_COUNT).astype(np.int64),
            -1,
        )
        products = join("/p/", self.catalogue.skus(product))
        path = either(kind == _PAGE, take(_PAGES, page), products)
        path = either(kind == _SEARCH, take(_QUERY_PATHS, query), path)
        path = either(
            kind >= _CHECKOUT,
            pick(("/checkout", "/checkout/complete"), (kind == _PURCHASE).astype(np.int64)),
            path,
        )
        utm = self._utm(visits, visit, step)
        with_utm = join(path, "?utm_source=", utm[0], "&utm_medium=", utm[1], "&utm_campaign=", utm[2])
        path = either(with_utm.is_not_null().to_numpy(), with_utm, path)
        url = join(SITE, path)
        outside = np.select(
            [visits.source == _ORGANIC, visits.source == _PAID, visits.source == _SOCIAL],
            [dice.below("visits.engine", visits.key, 2), 0, 2], -1,
        )  # fmt: skip
        referrer = either(step == 0, take(_REFERRERS, outside[visit]), url.shift(1))
        signed_in = (visits.customer[visit] > 0) & (visits.is_signed_in[visit] | (kind >= _CHECKOUT))
        visitor_bits = dice.bits("visitors.cookie", person)
        order = np.argsort(received, kind="stable")
        events = pl.DataFrame(
            {
                "event_id": join("evt-", hexadecimal(dice.bits("events.id", event_key))),
                "event_type": pick(_TYPES, kind),
                "visitor_id": hexadecimal(visitor_bits)[visit],
                "customer_id": only(digits(visits.customer[visit]), signed_in),
                "url": url,
                "referrer": referrer,
                "utm_source": utm[0],
                "utm_medium": utm[1],
                "utm_campaign": utm[2],
                "search_query": take(_QUERIES, query),
                "product_id": only(digits(product), product > 0),
                "order_id": only(digits(visits.order[visit]), kind == _PURCHASE),
                "quantity": only(digits(quantity), quantity > 0),
                "user_agent": take(_BROWSERS, browser[visit]),
                "ip_address": take(_ADDRESSES, address[visit]),
                "occurred_at": iso_moments(occurred),
                "received_at": iso_moments(received),
            }
        )
        log = self._access_log(day, events, path, occurred, kind)
        return {"web_logs/events": events[order], "web_logs/access_log": log}

    def _utm(self, visits: _Visits, visit: Ints, step: Ints) -> list[pl.Series]:
        """Source, medium and campaign: on the first event of a visit, as the link said."""
        source = np.where(step == 0, visits.source[visit], -1)
        is_mail = source == _EMAIL
        named = take(_UTM_NAMES, np.where(is_mail, -1, source))
        mailed = self.marketing.utm_campaigns(visits.campaign[visit])
        return [take(_UTM_SOURCES, source), take(_UTM_MEDIA, source), either(is_mail, mailed, named)]

    def _access_log(self, day: int, events: pl.DataFrame, path: pl.Series, occurred: Ints, kind: Ints) -> pl.DataFrame:
        """One line per page that a visitor asked for, and the bots' requests."""
        seen = np.flatnonzero(kind <= _VIEW)
        bots = draws_of(day, len(seen) // 9)
        dice = self.dice
        bot_path = dice.below("bots.path", bots, len(_BOT_STATUS))
        asked = np.sort(dice.between("bots.at", bots, 0, DAY)) + self.clock.begin(day)
        draws = np.int64(day) * (1 << 36) + np.arange(len(seen)) + (1 << 35)
        status = np.array([200, 304, 404, 500])[dice.choice("log.status", draws, [93.3, 5, 1.5, 0.2])]
        moment = np.concatenate([occurred[seen], asked]) // SECOND * SECOND
        moment = np.maximum(moment, self.clock.begin(day))
        statuses = np.concatenate([status, _BOT_STATUS[bot_path]])
        size = np.concatenate(
            [dice.between("log.bytes", draws, 4_000, 90_000), dice.between("log.bot_bytes", bots, 150, 2_000)]
        )
        count = len(moment)
        line_key = draws_of(day, count)
        order = np.argsort(moment, kind="stable")
        nothing = pl.Series([None], dtype=pl.String)
        frame = pl.DataFrame(
            {
                # The log has no number for its lines: this one is the world's, for the truth to refer to.
                "log_line_id": join("log-", hexadecimal(dice.bits("log.id", line_key))),
                "remote_host": events["ip_address"][seen].append(
                    take(_BOT_HOSTS, dice.below("bots.host", bots, _BOT_HOSTS.len() - 1))
                ),
                "remote_user": nothing.new_from_index(0, count),
                "method": pl.Series(["GET"]).new_from_index(0, count),
                "path": path[seen].append(take(_BOT_PATHS, bot_path)),
                "protocol": pick(("HTTP/1.1", "HTTP/2.0"), (np.arange(count) < len(seen)).astype(np.int64)),
                "status_code": digits(statuses),
                "response_bytes": digits(np.where(statuses == 304, 0, size)),
                "referrer": events["referrer"][seen].append(nothing.new_from_index(0, len(bots))),
                "user_agent": events["user_agent"][seen].append(
                    take(_BOTS, dice.below("bots.agent", bots, len(BOTS)))
                ),
                "requested_at": iso_moments(moment),
            }
        )  # fmt: skip
        return frame[order]
