"""The faults that the simulated services show: rate limits, errors, slowness, broken answers.

Belongs here: which request meets which fault. Does not belong here: how a service words it.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum


class Fault(Enum):
    """What goes wrong with a request."""

    RATE_LIMITED = "rate limited"
    EXPIRED_TOKEN = "expired token"
    SERVER_ERROR = "server error"
    SLOW = "slow"
    TRUNCATED_JSON = "truncated JSON"
    HTML = "HTML instead of JSON"


@dataclass(frozen=True)
class Verdict:
    """What a request meets: its fault, if any, and where it stands with the rate limit."""

    fault: Fault | None
    limit: int
    remaining: int


@dataclass
class Faults:
    """Which requests go wrong. Every setting may be changed while the server runs.

    The n-th request meets the same fault for the same ``seed`` and settings, whatever came before; only
    the rate limit depends on the clock. ``p_…`` are probabilities between 0 and 1.
    """

    seed: int = 0
    rate_limit_per_second: int | None = None
    """Requests admitted in any one second, over all clients; none: no limit."""
    p_429: float = 0.0
    """Share of requests that are told of a rate limit without having broken it (other clients use it too)."""
    p_500: float = 0.0
    p_slow: float = 0.0
    slow_seconds: float = 2.0
    """How much later a slow answer comes; longer than the client's time-out makes it a time-out."""
    p_truncated_json: float = 0.0
    p_html: float = 0.0
    expired_after: int | None = None
    """The number of requests after which the token counts as expired."""
    clock: Callable[[], float] = time.monotonic
    _requests: int = field(default=0, init=False, repr=False)
    _admitted: deque[float] = field(default_factory=deque, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @classmethod
    def mild(cls, seed: int = 0) -> Faults:
        """A good day at a real service: a few requests in a hundred must be repeated."""
        return cls(seed=seed, rate_limit_per_second=200, p_429=0.004, p_500=0.01, p_slow=0.01, slow_seconds=0.3)

    @property
    def requests(self) -> int:
        """How many requests were judged so far."""
        return self._requests

    def judge(self) -> Verdict:
        """What the next request meets."""
        with self._lock:
            self._requests += 1
            number = self._requests
            limit = self.rate_limit_per_second
            now = self.clock()
            while self._admitted and self._admitted[0] <= now - 1.0:
                self._admitted.popleft()
            shown_limit = limit if limit is not None else 10_000
            is_over_limit = limit is not None and len(self._admitted) >= limit
            if not is_over_limit:
                self._admitted.append(now)
            remaining = max(0, shown_limit - len(self._admitted))
        if is_over_limit:
            return Verdict(Fault.RATE_LIMITED, shown_limit, 0)
        if self.expired_after is not None and number > self.expired_after:
            return Verdict(Fault.EXPIRED_TOKEN, shown_limit, remaining)
        return Verdict(self._drawn(number), shown_limit, remaining)

    def _drawn(self, number: int) -> Fault | None:
        draw = random.Random(f"{self.seed}:{number}").random()
        for probability, fault in (
            (self.p_429, Fault.RATE_LIMITED),
            (self.p_500, Fault.SERVER_ERROR),
            (self.p_slow, Fault.SLOW),
            (self.p_truncated_json, Fault.TRUNCATED_JSON),
            (self.p_html, Fault.HTML),
        ):
            if draw < probability:
                return fault
            draw -= probability
        return None
