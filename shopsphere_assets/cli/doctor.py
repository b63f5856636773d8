"""``shopsphere doctor``: what is configured, reachable and permitted, and what to do about the rest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import typer

from shopsphere_assets.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from shopsphere_assets.diagnosis import Finding, Status

_WIDTH = 100
_SUBJECT_WIDTH = 30
_STYLES = {"ok": "green", "embedded": "cyan", "warning": "yellow", "failed": "bold red"}
_MARKS = {"ok": "✓", "embedded": "○", "warning": "!", "failed": "✗"}


def doctor(as_json: AsJson = False) -> None:
    """Check settings, stores and sources, and say what to do. Exit status 1 if anything failed."""
    from rich.console import Console

    from shopsphere_assets.defs.raw import source_systems
    from shopsphere_assets.diagnosis import Status, diagnose

    findings: list[Finding] = []
    console = Console(stderr=True)
    with console.status("Looking …") as status:
        for finding in diagnose(source_systems()):
            findings.append(finding)
            status.update(f"Looking … ({finding.area}: {finding.subject})")
    counts = Counter(finding.status for finding in findings)
    if as_json:
        report = {
            "is_healthy": not counts[Status.FAILED],
            "counts": {s.value: counts[s] for s in Status},
            "findings": [finding.as_json() for finding in findings],
        }
        print_json(report)
    else:
        output = Console()
        _show(findings, counts, Console(width=min(output.width, _WIDTH)))
    raise typer.Exit(1 if counts[Status.FAILED] else 0)


def _show(findings: list[Finding], counts: Counter[Status], console: Console) -> None:
    """Print the findings under their headings, and what they come to."""
    from itertools import groupby, zip_longest

    from rich.table import Table
    from rich.text import Text

    from shopsphere_assets.diagnosis import Status

    widest = max(len(line) for finding in findings for line in _folded(finding.subject).split("\n"))
    for area, members in groupby(findings, key=lambda finding: finding.area):
        console.print(Text(f"\n{area}", style="bold"))
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, width=10)
        table.add_column(overflow="fold", width=min(widest, _SUBJECT_WIDTH))
        table.add_column(overflow="fold")
        listed = list(members)
        for finding, following in zip_longest(listed, listed[1:]):
            words = Text(finding.what)
            # What is to be done about several in a row is said once.
            if finding.remedy and (following is None or following.remedy != finding.remedy):
                words.append(f"\n→ {finding.remedy}", style="italic")
            mark = Text(f"{_MARKS[finding.status]} {finding.status}", style=_STYLES[finding.status])
            table.add_row(mark, Text(_folded(finding.subject)), words)
        console.print(table)
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if count)
    worst = next((s for s in (Status.FAILED, Status.WARNING) if counts[s]), Status.OK)
    console.print(Text(f"\n{summary}", style=_STYLES[worst]))


def _folded(subject: str) -> str:
    """A long name on two lines: the table, then the column."""
    return subject.replace(".", "\n.") if len(subject) > _SUBJECT_WIDTH else subject
