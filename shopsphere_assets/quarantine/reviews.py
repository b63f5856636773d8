"""Verdicts of people on drawn rows: kept per reviewer, how far reviewers agree, and what the verdicts tell.

Sources of the formulas: confidence interval of a share after E. B. Wilson (1927); agreement of two reviewers after
J. Cohen, "A coefficient of agreement for nominal scales" (1960), of more after J. L. Fleiss, "Measuring nominal scale
agreement among many raters" (1971).

Does not belong here: which rows are drawn (``samples``).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any, Literal, get_args

import pyarrow as pa

from resources.errors import PermanentError
from resources.warehouse.system_tables import REVIEWS
from shopsphere_assets.ingestion.ledger import utc_now
from shopsphere_assets.quarantine.entries import Quarantine, Row

Verdict = Literal["right", "wrong", "unsure"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)

_Z95 = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Review:
    """A reviewer's verdict on a drawn row: whether the platform treated it properly."""

    reviewer: str
    verdict: Verdict
    comment: str | None
    reviewed_at: datetime


@dataclass(frozen=True)
class Sample:
    """A drawn row. ``corrections``: the cells that rules corrected in it, as (column, original, corrected, rule)."""

    sample_id: str
    source: str
    table_name: str
    stratum: str
    stratum_rows: int
    row_key: str
    quarantine_id: str | None
    payload: Row
    drawn_at: datetime
    corrections: tuple[tuple[str, str | None, str | None, str], ...] = ()
    reviews: tuple[Review, ...] = ()

    @property
    def label(self) -> str:
        """``source/table``."""
        return f"{self.source}/{self.table_name}"


@dataclass(frozen=True)
class Share:
    """A share with the ends of its confidence interval of 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class StratumResult:
    """What the verdicts tell of a stratum.

    A drawn row counts as right or wrong by the majority of its verdicts, else as unsure. ``precision``: the estimated
    share of the stratum that the platform treated properly, by those that are right or wrong; None without any.
    """

    source: str
    table_name: str
    stratum: str
    rows: int
    drawn: int
    right: int
    wrong: int
    unsure: int
    precision: Share | None

    @property
    def judged(self) -> int:
        """Drawn rows with a verdict."""
        return self.right + self.wrong + self.unsure


@dataclass(frozen=True)
class Agreement:
    """How far reviewers agree on the rows that all of them judged.

    ``observed``: the share of pairs of verdicts that agree. ``kappa``: the same beyond chance, 1 is full agreement
    and 0 none but chance; None where only one verdict was ever given, so that chance cannot be told apart.
    """

    reviewers: tuple[str, ...]
    measure: str
    samples: int
    observed: float
    kappa: float | None


def record(
    quarantine: Quarantine,
    sample_id: str,
    reviewer: str,
    verdict: str,
    comment: str | None,
    *,
    at: datetime | None = None,
) -> None:
    """Keep a verdict; a second one of the same reviewer replaces the first. Raises :class:`PermanentError`."""
    reviewer = _storable(reviewer).strip()
    if verdict not in VERDICTS:
        raise PermanentError(f"{verdict[:50]!r} is no verdict", where="the review", remedy=f"use {', '.join(VERDICTS)}")
    if not reviewer:
        raise PermanentError("nobody judges", where="the reviewer's name", remedy="give a name")
    read_sample(quarantine, sample_id)
    row = {
        "sample_id": sample_id,
        "reviewer": reviewer,
        "verdict": verdict,
        "comment": _storable(comment or "").strip() or None,
        "reviewed_at": at or utc_now(),
    }
    with quarantine.warehouse.transaction() as transaction:
        transaction.execute("DELETE FROM quality.reviews WHERE sample_id = $1 AND reviewer = $2", [sample_id, reviewer])
        transaction.append("quality", "reviews", pa.Table.from_pylist([row], schema=REVIEWS.columns))


def read_sample(quarantine: Quarantine, sample_id: str) -> Sample:
    """A drawn row with its corrections and reviews. Raises :class:`PermanentError` where there is none."""
    query = quarantine.warehouse.query
    known = sample_id.encode("utf-8", "replace").decode().replace("\x00", "")
    found = query(f"SELECT {_COLUMNS} FROM quality.samples WHERE sample_id = $1", [known]).to_pylist()
    if not found:
        raise PermanentError(
            "there is no such drawn row",
            where=known[:100],
            remedy="`shopsphere quarantine reviews` lists what was drawn",
        )
    row = found[0]
    corrections = query(
        "SELECT column_name, original, corrected, rule FROM quality.corrections"
        " WHERE source = $1 AND table_name = $2 AND row_key = $3 AND is_applied ORDER BY column_name, corrected_at",
        [row["source"], row["table_name"], row["row_key"]],
    ).to_pylist()
    reviews = query(
        "SELECT reviewer, verdict, comment, reviewed_at FROM quality.reviews WHERE sample_id = $1 ORDER BY reviewed_at",
        [known],
    ).to_pylist()
    return Sample(
        **{**row, "payload": json.loads(row["payload"])},
        corrections=tuple(tuple(each.values()) for each in corrections) if row["stratum"] == "corrected" else (),
        reviews=tuple(Review(**each) for each in reviews),
    )


def next_sample(quarantine: Quarantine, reviewer: str, *, stratum: tuple[str, str, str] | None = None) -> str | None:
    """The next drawn row that ``reviewer`` has not judged, of a stratum (source, table, stratum) or of any."""
    where, values = "", [_storable(reviewer).strip()]
    if stratum is not None:
        where = " AND s.source = $2 AND s.table_name = $3 AND s.stratum = $4"
        values += [_storable(part) for part in stratum]
    found = quarantine.warehouse.query(
        "SELECT s.sample_id FROM quality.samples AS s WHERE NOT EXISTS"
        " (SELECT 1 FROM quality.reviews AS r WHERE r.sample_id = s.sample_id AND r.reviewer = $1)"
        f"{where} ORDER BY s.source, s.table_name, s.stratum, s.sample_id LIMIT 1",
        values,
    ).to_pylist()
    return found[0]["sample_id"] if found else None


def results(quarantine: Quarantine) -> tuple[list[StratumResult], list[Agreement]]:
    """What the verdicts tell of each stratum, and how far the reviewers agree."""
    samples = quarantine.warehouse.query(
        "SELECT sample_id, source, table_name, stratum, stratum_rows FROM quality.samples"
        " ORDER BY source, table_name, stratum, drawn_at"
    ).to_pylist()
    verdicts: dict[str, dict[str, str]] = {}
    for row in quarantine.warehouse.query("SELECT sample_id, reviewer, verdict FROM quality.reviews").to_pylist():
        verdicts.setdefault(row["sample_id"], {})[row["reviewer"]] = row["verdict"]
    strata: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in samples:
        strata.setdefault((row["source"], row["table_name"], row["stratum"]), []).append(row)
    found = []
    for (source, table, stratum), rows in strata.items():
        counts = Counter(_majority(verdicts[r["sample_id"]].values()) for r in rows if r["sample_id"] in verdicts)
        right, wrong = counts["right"], counts["wrong"]
        precision = wilson(right, right + wrong) if right + wrong else None
        total = rows[-1]["stratum_rows"]
        found.append(StratumResult(source, table, stratum, total, len(rows), right, wrong, counts["unsure"], precision))
    return found, agreements(verdicts.values())


def _majority(verdicts: Any) -> str:
    counts = Counter(verdicts)
    if counts["right"] == counts["wrong"]:
        return "unsure"
    return "right" if counts["right"] > counts["wrong"] else "wrong"


def wilson(successes: int, trials: int) -> Share:
    """A share with its confidence interval of 95 % (Wilson, 1927), as if the stratum were infinite."""
    share, z2 = successes / trials, _Z95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = _Z95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return Share(share, max(0.0, middle - spread), min(1.0, middle + spread))


def agreements(verdicts: Any) -> list[Agreement]:
    """The agreement of every two reviewers, and of all where there are more.

    ``verdicts``: per drawn row each reviewer's verdict.
    """
    rows: list[Mapping[str, str]] = list(verdicts)
    reviewers = sorted({reviewer for row in rows for reviewer in row})
    found = []
    for left, right in combinations(reviewers, 2):
        pairs = [(row[left], row[right]) for row in rows if left in row and right in row]
        if pairs:
            observed, kappa = cohen(pairs)
            found.append(Agreement((left, right), "Cohen's kappa", len(pairs), observed, kappa))
    everybody = [list(row.values()) for row in rows if len(row) == len(reviewers)]
    if len(reviewers) > 2 and everybody:
        observed, kappa = fleiss(everybody)
        found.append(Agreement(tuple(reviewers), "Fleiss' kappa", len(everybody), observed, kappa))
    return found


def cohen(pairs: Sequence[tuple[str, str]]) -> tuple[float, float | None]:
    """Observed agreement and Cohen's kappa of two reviewers' verdicts on the same rows."""
    count = len(pairs)
    observed = sum(left == right for left, right in pairs) / count
    lefts, rights = Counter(left for left, _ in pairs), Counter(right for _, right in pairs)
    expected = sum(lefts[verdict] * rights[verdict] for verdict in lefts) / count**2
    return observed, _beyond_chance(observed, expected)


def fleiss(verdicts: Sequence[Sequence[str]]) -> tuple[float, float | None]:
    """Mean observed agreement and Fleiss' kappa; every row has as many verdicts as every other."""
    rows, raters = len(verdicts), len(verdicts[0])
    counts = [Counter(row) for row in verdicts]
    observed = sum(sum(n * (n - 1) for n in row.values()) / (raters * (raters - 1)) for row in counts) / rows
    totals: Counter[str] = Counter()
    for row in counts:
        totals.update(row)
    expected = sum((total / (rows * raters)) ** 2 for total in totals.values())
    return observed, _beyond_chance(observed, expected)


def _beyond_chance(observed: float, expected: float) -> float | None:
    return None if math.isclose(expected, 1) else (observed - expected) / (1 - expected)


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\x00", "\\0")


_COLUMNS = "sample_id, source, table_name, stratum, stratum_rows, row_key, quarantine_id, payload, drawn_at"
