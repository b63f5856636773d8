"""Repeatable chance: random numbers that are a function of (seed, stream, id) and of nothing else.

Belongs here: the hash behind every random choice and the draws made from it. Does not belong here: what
is drawn. Because a number depends only on its own id, any customer, order or line can be worked out again
on any later day, in any batch size, without stored state.
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_TO_UNIT = 1.0 / (1 << 53)


class Dice:
    """Draws by stream name and id; every method is vectorised over the ids."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._keys: dict[str, np.uint64] = {}

    def bits(self, stream: str, ids: ArrayLike) -> NDArray[np.uint64]:
        """64 random bits per id (the finaliser of SplitMix64: Steele, Lea and Flood, 2014)."""
        key = self._keys.get(stream)
        if key is None:
            digest = blake2b(f"{self._seed}:{stream}".encode(), digest_size=8).digest()
            key = self._keys[stream] = np.uint64(int.from_bytes(digest, "little"))
        x = np.atleast_1d(np.asarray(ids)).astype(np.uint64) * _GOLDEN
        x += key
        x ^= x >> np.uint64(30)
        x *= _MIX_1
        x ^= x >> np.uint64(27)
        x *= _MIX_2
        x ^= x >> np.uint64(31)
        return x

    def uniform(self, stream: str, ids: ArrayLike, low: float = 0.0, high: float = 1.0) -> Floats:
        """Floats in [low, high)."""
        unit = (self.bits(stream, ids) >> np.uint64(11)).astype(np.float64) * _TO_UNIT
        return unit if (low, high) == (0.0, 1.0) else low + unit * (high - low)

    def below(self, stream: str, ids: ArrayLike, limit: Ints | int) -> Ints:
        """Integers in [0, limit); ``limit`` is one number or one per id."""
        return (self.uniform(stream, ids) * limit).astype(np.int64)

    def chance(self, stream: str, ids: ArrayLike, probability: float) -> Flags:
        """True with the given probability."""
        return self.uniform(stream, ids) < probability

    def choice(self, stream: str, ids: ArrayLike, weights: ArrayLike) -> Ints:
        """Indexes into ``weights``, drawn in their proportion."""
        bounds = np.cumsum(np.asarray(weights, dtype=np.float64))
        return np.asarray(np.searchsorted(bounds, self.uniform(stream, ids) * bounds[-1], side="right"), dtype=np.int64)

    def between(self, stream: str, ids: ArrayLike, low: float, high: float) -> Ints:
        """Integers in [low, high), used for spans of time in microseconds."""
        return self.uniform(stream, ids, low, high).astype(np.int64)
