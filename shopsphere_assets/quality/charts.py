"""Small charts as SVG that stands in a page: lines and pairs of bars, coloured by the page's own style."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

_MARGIN = 3.0
_BAR = Markup('<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="2"><title>{}: {:,} {}</title></rect>')


def sparkline(values: Sequence[float], label: str, *, width: int = 120, height: int = 28) -> Markup:
    """A line through ``values``, its last point marked; nothing for fewer than two. ``label``: what it shows."""
    if len(values) < 2:
        return Markup("")
    low, high = min(values), max(values)
    spread = (high - low) or 1.0
    step = (width - 2 * _MARGIN) / (len(values) - 1)
    points = [
        (
            _MARGIN + number * step,
            height / 2 if high == low else height - _MARGIN - (value - low) / spread * (height - 2 * _MARGIN),
        )
        for number, value in enumerate(values)
    ]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    last_x, last_y = points[-1]
    return Markup(
        '<svg class="spark" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img"'
        ' aria-label="{label}"><polyline points="{line}"/><circle cx="{x}" cy="{y}" r="2.6"/></svg>'
    ).format(width=width, height=height, label=label, line=line, x=f"{last_x:.1f}", y=f"{last_y:.1f}")


def paired_bars(pairs: Sequence[tuple[str, int, int]], label: str, *, width: int = 900, height: int = 150) -> Markup:
    """Two bars for each of ``pairs`` (its name and two counts), on one scale."""
    most = max((max(first, second) for _, first, second in pairs), default=0) or 1
    floor, slot = height - 18, width / max(len(pairs), 1)
    bar = slot * 0.34
    parts = []
    for number, (name, first, second) in enumerate(pairs):
        left = number * slot + slot * 0.14
        for place, (kind, count) in enumerate((("came", first), ("settled", second))):
            tall = (floor - 4) * count / most
            # What is not nothing is to be seen.
            tall = max(tall, 1.5) if count else 0.0
            parts.append(
                _BAR.format(
                    kind, f"{left + place * (bar + 1):.1f}", f"{floor - tall:.1f}", f"{bar:.1f}", f"{tall:.1f}",
                    name, count, kind,
                )
            )  # fmt: skip
        parts.append(
            Markup('<text x="{}" y="{}">{}</text>').format(f"{number * slot + slot / 2:.1f}", height - 4, name)
        )
    return Markup(
        '<svg class="bars" viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
        '<line x1="0" y1="{floor}" x2="{width}" y2="{floor}"/>{parts}</svg>'
    ).format(width=width, height=height, label=label, floor=floor, parts=Markup("").join(parts))
