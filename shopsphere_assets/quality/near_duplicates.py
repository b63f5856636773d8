"""Near-duplicates: rows that are nearly the same, found without comparing every row with every other.

Each row becomes a set of shingles: runs of words of a review, runs of characters of a person's fields. How alike two
rows are is the share of shingles that both have (Jaccard). A MinHash signature keeps of every set the least value under
some hash functions; two sets agree in one of them as often as they are alike (A. Broder, "On the resemblance and
containment of documents", 1997). Signatures are cut into bands, and only rows that agree in a whole band are compared
(locality-sensitive hashing; P. Indyk and R. Motwani, 1998). What is compared is judged by its exact share.

Belongs here: the method, on frames of text. Not here: which tables are compared (``duplicate_tables``).

Memory: the texts, and per row the hashes of its bands; shingles exist for some thousand rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

KEY = "key"
PAIRS = {"left": pl.String, "right": pl.String, "similarity": pl.Float64}

_Hashes = NDArray[np.uint64]
_Numbers = NDArray[np.int64]

_CHUNK_ROWS = 10_000
_CHUNK_PAIRS = 5_000
_SEED = 20_260_301
_PRIME = np.uint64(0x100000001B3)
_COUNTERS = 1 << 20
_FEW, _MANY = 50, 1_000
# Of many rows with one hash each is compared with so many neighbours only: a text that thousands have in common
# must not make millions of pairs.
_NEIGHBOURS = 10


@dataclass(frozen=True)
class Method:
    """How rows are compared.

    ``unit`` and ``length``: what a shingle is. ``threshold``: the least similarity of a near-duplicate. ``bands`` of
    ``band_rows`` hash functions each: rows of similarity s are compared with probability 1 - (1 - s^band_rows)^bands.
    ``least_fields``: how many fields both rows must have; those that one of them lacks do not count. ``common``: a
    shingle that more than this share of the rows (or more than a thousand of them) have finds no candidates.
    """

    unit: Literal["words", "characters"]
    length: int
    threshold: float
    bands: int
    band_rows: int
    least_fields: int = 1
    common: float = 0.01


REVIEWS = Method("words", length=3, threshold=0.6, bands=20, band_rows=4)
PEOPLE = Method("characters", length=3, threshold=0.4, bands=40, band_rows=3, least_fields=2)


@dataclass(frozen=True)
class Found:
    """``exact``: each row that repeats an earlier one, with that one. ``near``: pairs with their similarity.

    ``rows``: rows with any text; ``compared``: pairs whose exact similarity was computed.
    """

    rows: int
    exact: pl.DataFrame
    near: pl.DataFrame
    compared: int


def find_duplicates(records: pl.DataFrame, method: Method) -> Found:
    """Exact and near-duplicates among ``records``: a column ``key``, every other column a field of text.

    Case, accents, punctuation and repeated blanks make no difference. A row without any text is left out.
    """
    fields = [name for name in records.columns if name != KEY]
    texts = records.select(KEY, *(_normal(name) for name in fields)).filter(
        pl.any_horizontal(pl.col(name) != "" for name in fields)
    )
    first = pl.col(KEY).first().over(fields)
    exact = texts.select(left=first, right=KEY).filter(pl.col("left") != pl.col("right"))
    unique = texts.unique(fields, keep="first", maintain_order=True)
    shingler = _Shingler(unique, fields, method)
    left, right = _candidates(shingler, method)
    pieces = [
        _judged(shingler, left[start : start + _CHUNK_PAIRS], right[start : start + _CHUNK_PAIRS], method)
        for start in range(0, len(left), _CHUNK_PAIRS)
    ]
    near = pl.concat(pieces) if pieces else pl.DataFrame(schema=PAIRS)
    near = near.sort(["similarity", "left", "right"], descending=[True, False, False])
    return Found(texts.height, exact, near, len(left))


def _normal(name: str) -> pl.Expr:
    text = pl.col(name).cast(pl.String).fill_null("").str.normalize("NFKD").str.to_lowercase()
    return text.str.replace_all(r"\p{M}", "").str.replace_all(r"[^\p{L}\p{N}]+", " ").str.strip_chars().alias(name)


@dataclass(frozen=True)
class _Shingles:
    """The distinct shingles of some rows, by row and field; ``row`` counts within the chunk."""

    row: _Numbers
    field: _Numbers
    value: _Hashes


class _Shingler:
    """The rows, and their shingles when they are asked for."""

    def __init__(self, texts: pl.DataFrame, fields: Sequence[str], method: Method) -> None:
        self.keys = texts.get_column(KEY)
        self.fields = list(fields)
        self._texts = texts.select(fields)
        self._method = method

    def __len__(self) -> int:
        return len(self.keys)

    def of(self, rows: _Numbers) -> _Shingles:
        """The shingles of the rows with these numbers."""
        parts = [self._of_field(number, name, rows) for number, name in enumerate(self.fields)]
        row = np.concatenate([part.row for part in parts])
        value = np.concatenate([part.value for part in parts])
        field = np.concatenate([part.field for part in parts])
        order = np.lexsort((value, row))
        row, value, field = row[order], value[order], field[order]
        is_new = np.ones(len(row), dtype=bool)
        is_new[1:] = (row[1:] != row[:-1]) | (value[1:] != value[:-1])
        return _Shingles(row[is_new], field[is_new], value[is_new])

    def _of_field(self, number: int, name: str, rows: _Numbers) -> _Shingles:
        texts = self._texts.get_column(name).gather(rows)
        tokens, ends = _words(texts) if self._method.unit == "words" else _characters(texts, self._method.length)
        length = self._method.length
        # A text shorter than a shingle is one of its own length.
        starts = np.concatenate([[0], ends[:-1]])
        counts = np.where(ends > starts, np.maximum(ends - starts - length + 1, 1), 0)
        row = np.repeat(np.arange(len(rows)), counts)
        place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(starts, counts)
        limit = np.repeat(ends, counts)
        value = np.full(len(place), np.uint64(number + 1), dtype=np.uint64)
        for offset in range(length):
            inside = place + offset < limit
            token = np.where(inside, tokens[np.minimum(place + offset, max(len(tokens) - 1, 0))], np.uint64(0))
            value = _mixed(value * _PRIME + token)
        return _Shingles(row, np.full(len(row), number), value)


def _words(texts: pl.Series) -> tuple[_Hashes, _Numbers]:
    """The hashes of all words, and where each text's end."""
    words = texts.to_frame("text").select(
        pl.col("text").str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    )
    lengths = words.get_column("text").list.len().to_numpy().astype(np.int64)
    return words.get_column("text").explode().drop_nulls().hash(seed=_SEED).to_numpy(), np.cumsum(lengths)


def _characters(texts: pl.Series, length: int) -> tuple[_Hashes, _Numbers]:
    """All characters, and where each text's end. A blank at both ends makes first and last letters count."""
    padded = pl.select(pl.when(texts != "").then(pl.concat_str(pl.lit(" "), texts, pl.lit(" "))).otherwise(pl.lit("")))
    series = padded.to_series()
    lengths = series.str.len_chars().to_numpy().astype(np.int64)
    points = np.frombuffer("".join(series.to_list()).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return points.astype(np.uint64), np.cumsum(lengths)


def _mixed(values: _Hashes) -> _Hashes:
    """Every bit of the input in every bit of the output (the finisher of SplitMix64; G. Steele et al., 2014)."""
    values = values ^ (values >> np.uint64(30))
    values = values * np.uint64(0xBF58476D1CE4E5B9)
    values = values ^ (values >> np.uint64(27))
    values = values * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _chunks(count: int) -> Iterator[_Numbers]:
    for start in range(0, count, _CHUNK_ROWS):
        yield np.arange(start, min(start + _CHUNK_ROWS, count))


def _candidates(shingler: _Shingler, method: Method) -> tuple[_Numbers, _Numbers]:
    """Numbers of the rows that agree in a band, each pair once."""
    if len(shingler) < 2:
        return np.array([], dtype=np.int64), np.array([], dtype=np.int64)
    frequent = _frequent(shingler, min(max(_FEW, int(method.common * len(shingler))), _MANY))
    bands = np.concatenate([_bands(shingler.of(rows), len(rows), frequent, method) for rows in _chunks(len(shingler))])
    pairs = np.array([], dtype=np.uint64)
    count = np.uint64(len(shingler))
    for band in bands.T:
        order = np.argsort(band, kind="stable")
        ordered = band[order]
        found = [pairs]
        for distance in range(1, _NEIGHBOURS + 1):
            same = (ordered[distance:] == ordered[:-distance]) & (ordered[distance:] != 0)
            if not same.any():
                break
            one, other = order[:-distance][same], order[distance:][same]
            low, high = np.minimum(one, other).astype(np.uint64), np.maximum(one, other).astype(np.uint64)
            found.append(low * count + high)
        pairs = np.unique(np.concatenate(found))
    return (pairs // count).astype(np.int64), (pairs % count).astype(np.int64)


def _frequent(shingler: _Shingler, most: int) -> NDArray[np.bool_]:
    """By the last bits of a shingle, whether more than ``most`` rows have it."""
    counts = np.zeros(_COUNTERS, dtype=np.int64)
    for rows in _chunks(len(shingler)):
        counts += np.bincount((shingler.of(rows).value % np.uint64(_COUNTERS)).astype(np.int64), minlength=_COUNTERS)
    return counts > most


def _bands(shingles: _Shingles, rows: int, frequent: NDArray[np.bool_], method: Method) -> _Hashes:
    """One hash per row and band; 0 for a row without shingles."""
    kept = ~frequent[(shingles.value % np.uint64(_COUNTERS)).astype(np.int64)]
    row, value = shingles.row[kept], shingles.value[kept]
    bands = np.zeros((rows, method.bands), dtype=np.uint64)
    if not len(row):
        return bands
    starts = np.flatnonzero(np.concatenate([[True], row[1:] != row[:-1]]))
    present = row[starts]
    # Multiply-shift hashing (M. Dietzfelbinger et al., 1997): odd factors, the upper half of the product.
    random = np.random.default_rng(_SEED)
    factors = random.integers(0, 2**63, (method.bands, method.band_rows), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    summands = random.integers(0, 2**63, (method.bands, method.band_rows), dtype=np.uint64)
    for band in range(method.bands):
        code = np.full(len(starts), np.uint64(band + 1), dtype=np.uint64)
        for place in range(method.band_rows):
            hashed = (value * factors[band, place] + summands[band, place]) >> np.uint64(32)
            code = _mixed(code * _PRIME + np.minimum.reduceat(hashed, starts))
        bands[present, band] = np.maximum(code, np.uint64(1))
    return bands


def _judged(shingler: _Shingler, left: _Numbers, right: _Numbers, method: Method) -> pl.DataFrame:
    """Those of the pairs that are near-duplicates."""
    rows, places = np.unique(np.concatenate([left, right]), return_inverse=True)
    one, other = places[: len(left)], places[len(left) :]
    shingles = shingler.of(rows)
    counts = np.zeros((len(rows), len(shingler.fields)), dtype=np.int64)
    np.add.at(counts, (shingles.row, shingles.field), 1)
    is_common = (counts[one] > 0) & (counts[other] > 0)
    both = (np.where(is_common, counts[one] + counts[other], 0)).sum(axis=1)
    # Every shingle of the one row is looked up among those of the other.
    codes = np.sort(_coded(shingles.row, shingles.value))
    sizes = counts.sum(axis=1)
    starts = np.cumsum(sizes) - sizes
    pair = np.repeat(np.arange(len(one)), sizes[one])
    place = np.arange(len(pair)) - np.repeat(np.cumsum(sizes[one]) - sizes[one], sizes[one]) + starts[one][pair]
    wanted = _coded(other[pair], shingles.value[place])
    at = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    shared = np.bincount(pair[codes[at] == wanted], minlength=len(one))
    similarity = shared / np.maximum(both - shared, 1)
    is_near = (similarity >= method.threshold) & (is_common.sum(axis=1) >= method.least_fields)
    return pl.DataFrame(
        {
            "left": shingler.keys.gather(left[is_near]),
            "right": shingler.keys.gather(right[is_near]),
            "similarity": similarity[is_near],
        },
        schema=PAIRS,
    )


def _coded(row: _Numbers, value: _Hashes) -> _Hashes:
    return _mixed(row.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ value)
