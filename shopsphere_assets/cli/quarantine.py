"""``shopsphere quarantine``: look at rows that were set aside, decide about them, and review samples."""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shopsphere_assets.cli.output import AsJson, print_json

if TYPE_CHECKING:
    from shopsphere_assets.quarantine.decisions import Order, Outcome, Wish
    from shopsphere_assets.quarantine.entries import Detail, Entry, Filter, Quarantine

app = typer.Typer(
    help="Rows that broke their contract: look at them, fix them and let them back in.", no_args_is_help=True
)


def _age(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})\s*([mhd])", text.strip())
    if not found:
        raise typer.BadParameter(f"{text!r} is no age: write 30m, 12h or 7d")
    unit = {"m": "minutes", "h": "hours", "d": "days"}[found[2]]
    return timedelta(**{unit: int(found[1])})


def _state(text: str) -> str:
    from shopsphere_assets.quarantine.entries import STATES

    if text not in STATES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(STATES)}")
    return text


Ids = Annotated[
    list[str] | None, typer.Argument(metavar="[ID]...", help="Entries; without any those that the filter finds.")
]
Table = Annotated[str | None, typer.Option("--table", metavar="SOURCE/TABLE", help="Only of this table.")]
Rule = Annotated[str | None, typer.Option("--rule", help="Only those that break this rule.")]
Column = Annotated[str | None, typer.Option("--column", help="Only those with a broken rule of this column.")]
Text = Annotated[str | None, typer.Option("--text", help="Only those with this text in the row, its key or a reason.")]
OlderThan = Annotated[
    Any, typer.Option("--older-than", metavar="AGE", parser=_age, help="Only those set aside longer ago: 30m, 12h, 7d.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many of what the filter finds.")]
Cells = Annotated[
    list[str] | None, typer.Option("--set", metavar="COLUMN=VALUE", help="Change a cell; may be given repeatedly.")
]
Empty = Annotated[
    list[str] | None, typer.Option("--empty", metavar="COLUMN", help="Empty a cell; may be given repeatedly.")
]
Suggestions = Annotated[bool, typer.Option("--suggestions", help="Put in first what the rules suggest.")]
By = Annotated[str | None, typer.Option("--by", help="Who decides; the login name unless told.")]
Why = Annotated[str | None, typer.Option("--reason", help="Why, for the history.")]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the history.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would become of it.")]


def open_quarantine(lock_timeout: float = 300) -> Quarantine:
    """The quarantine of this platform, with every raw table that exists here."""
    from resources.settings import load_settings
    from resources.warehouse import open_warehouse
    from shopsphere_assets.defs.raw import chosen_tables
    from shopsphere_assets.ingestion.batch import Destination
    from shopsphere_assets.quarantine.entries import Quarantine

    settings = load_settings()
    # A build may be under way; from then on nothing has to wait for long.
    open_warehouse(settings.warehouse).prepare()
    warehouse = open_warehouse(settings.warehouse, lock_timeout=lock_timeout)
    tables = {table.label: table for _, table in chosen_tables(None)}
    return Quarantine(Destination(warehouse, settings.lake), tables)


def login_name() -> str:
    """Who works here, as the operating system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@app.command("list")
def list_(
    state: Annotated[
        str,
        typer.Option(
            "--state",
            parser=_state,
            metavar="STATE",
            help="open, readmitted, accepted, excluded, superseded, deleted, settled or all.",
        ),
    ] = "open",
    table: Table = None,
    rule: Rule = None,
    column: Column = None,
    text: Text = None,
    older_than: OlderThan = None,
    with_suggestion: Annotated[
        bool, typer.Option("--with-suggestion", help="Only those that a rule suggests something for.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Entries on a page.")] = 20,
    page: Annotated[int, typer.Option("--page", min=1, help="Which page.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Show quarantined rows, the latest first, and how many break each rule."""
    from shopsphere_assets.quarantine.entries import count_entries, count_rules, list_entries

    quarantine = open_quarantine()
    wanted = _filter(table, rule, column, text, older_than, state=state, has_suggestion=with_suggestion)
    total = count_entries(quarantine, wanted)
    entries = list_entries(quarantine, wanted, limit=limit, offset=(page - 1) * limit)
    rules = count_rules(quarantine, wanted)
    if as_json:
        _print({"total": total, "entries": [_entry(e) for e in entries], "rules": [asdict(count) for count in rules]})
        return
    _show_list(entries, rules, total, page, limit)


@app.command()
def show(
    quarantine_id: Annotated[str, typer.Argument(metavar="ID", help="The entry.")], as_json: AsJson = False
) -> None:
    """Show one quarantined row with its reasons, suggestions and history."""
    from shopsphere_assets.quarantine.entries import read_detail

    detail = read_detail(open_quarantine(), quarantine_id)
    if as_json:
        _print(
            {
                **_entry(detail.entry),
                "draft": dict(detail.draft),
                "suggested": [asdict(each) for each in detail.suggested],
                "history": [asdict(each) for each in detail.history],
            }
        )
        return
    _show_detail(detail)


@app.command()
def edit(
    quarantine_id: Annotated[str, typer.Argument(metavar="ID", help="The entry.")],
    cells: Cells = None,
    empty: Empty = None,
    suggestions: Suggestions = False,
    by: By = None,
    reason: Why = None,
    as_json: AsJson = False,
) -> None:
    """Change cells of a quarantined row, to be re-admitted later. Exit status 1 if it was not done."""
    _decide("edit", [quarantine_id], cells, empty, suggestions, by, reason, as_json=as_json)


@app.command()
def readmit(
    ids: Ids = None,
    cells: Cells = None,
    empty: Empty = None,
    suggestions: Suggestions = False,
    by: By = None,
    reason: Why = None,
    table: Table = None,
    rule: Rule = None,
    column: Column = None,
    text: Text = None,
    older_than: OlderThan = None,
    limit: Limit = 1000,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Load quarantined rows, changed or as people left them, by the contract. Exit status 1 if one was refused."""
    wanted = _filter(table, rule, column, text, older_than, has_suggestion=suggestions)
    _decide("readmit", ids, cells, empty, suggestions, by, reason, wanted, limit, dry_run, as_json)


@app.command()
def accept(
    reason: Reason,
    ids: Ids = None,
    by: By = None,
    table: Table = None,
    rule: Rule = None,
    column: Column = None,
    text: Text = None,
    older_than: OlderThan = None,
    limit: Limit = 1000,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Load quarantined rows as they are although they break rules of value. Exit status 1 if one was refused."""
    wanted = _filter(table, rule, column, text, older_than)
    _decide("accept", ids, None, None, False, by, reason, wanted, limit, dry_run, as_json)


@app.command()
def exclude(
    reason: Reason,
    ids: Ids = None,
    by: By = None,
    table: Table = None,
    rule: Rule = None,
    column: Column = None,
    text: Text = None,
    older_than: OlderThan = None,
    limit: Limit = 1000,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Leave quarantined rows out for good, or until their source changes them. Exit status 1 if one was not."""
    wanted = _filter(table, rule, column, text, older_than)
    _decide("exclude", ids, None, None, False, by, reason, wanted, limit, dry_run, as_json)


@app.command()
def reopen(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The entries.")],
    by: By = None,
    reason: Why = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take decisions back: the rows are open again, and withdrawn from raw where they had been loaded."""
    _decide("reopen", ids, None, None, False, by, reason, dry_run=dry_run, as_json=as_json)


@app.command()
def sample(
    table: Annotated[
        list[str] | None, typer.Option("--table", metavar="SOURCE/TABLE", help="Only of this one; repeatedly for more.")
    ] = None,
    size: Annotated[int, typer.Option("--size", min=1, max=1000, help="Rows of each stratum.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed draws the same rows.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Draw rows for manual review from each table's valid rows, corrected rows and broken rules."""
    from shopsphere_assets.defs.raw import chosen_tables
    from shopsphere_assets.quarantine.samples import draw

    labels = [chosen.label for _, chosen in chosen_tables(table)]
    strata = draw(open_quarantine(), labels, size=size, seed=seed)
    if as_json:
        _print({"strata": [asdict(stratum) for stratum in strata]})
        return
    shown = _table("Drawn for review", "table", "stratum", "rows", "drawn", "new")
    for each in strata:
        label = f"{each.source}/{each.table_name}"
        shown.add_row(label, each.stratum, f"{each.rows:,}", f"{each.drawn:,}", f"{each.new:,}")
    _console().print(shown)
    _console().print("`shopsphere steward` shows them one by one.")


@app.command()
def reviews(as_json: AsJson = False) -> None:
    """Show what the verdicts on drawn rows tell of each stratum, and how far the reviewers agree."""
    from shopsphere_assets.quarantine.reviews import results

    strata, agreements = results(open_quarantine())
    if as_json:
        _print({"strata": [asdict(each) for each in strata], "agreement": [asdict(each) for each in agreements]})
        return
    shown = _table("Reviewed", "table", "stratum", "rows", "drawn", "judged", "right", "wrong", "precision (95 %)")
    for each in strata:
        share = each.precision
        precision = f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})" if share else ""
        counts = [f"{n:,}" for n in (each.rows, each.drawn, each.judged, each.right, each.wrong)]
        shown.add_row(f"{each.source}/{each.table_name}", each.stratum, *counts, precision)
    _console().print(shown)
    for agreed in agreements:
        kappa = "all verdicts are alike" if agreed.kappa is None else f"{agreed.kappa:.2f}"
        names = _plain(", ".join(agreed.reviewers))
        text = f"{agreed.measure} of {names}: {kappa} ({agreed.observed:.1%} agree on {agreed.samples:,} rows)"
        _console().print(text, highlight=False, soft_wrap=True)


def _console() -> Any:
    from rich.console import Console

    return Console()


def _filter(
    table: str | None,
    rule: str | None,
    column: str | None,
    text: str | None,
    older_than: timedelta | None,
    **more: Any,
) -> Filter:
    from shopsphere_assets.defs.raw import chosen_tables
    from shopsphere_assets.quarantine.entries import Filter

    source = name = None
    if table is not None:
        [(_, chosen)] = chosen_tables([table])
        source, name = chosen.source, chosen.name
    return Filter(source=source, table=name, rule=rule, column=column, text=text, older_than=older_than, **more)


def _decide(
    wish: Wish,
    ids: Sequence[str] | None,
    cells: Sequence[str] | None,
    empty: Sequence[str] | None,
    suggestions: bool,
    by: str | None,
    reason: str | None,
    wanted: Filter | None = None,
    limit: int = 1000,
    dry_run: bool = False,
    as_json: bool = False,
) -> None:
    from resources.errors import PermanentError
    from shopsphere_assets.quarantine.decisions import Order, decide
    from shopsphere_assets.quarantine.entries import Filter, list_entries

    given = dict(_cell(text) for text in cells or ())
    order = Order(
        wish, login_name() if by is None else by, reason, {**given, **dict.fromkeys(empty or ())}, suggestions
    )
    is_filtered = wanted is not None and wanted not in (Filter(), Filter(has_suggestion=True))
    if bool(ids) == is_filtered:
        raise PermanentError(
            "entries are named or filtered, one of the two",
            where="the arguments",
            remedy="give identifiers, or --table, --rule, --column, --text or --older-than",
        )
    quarantine = open_quarantine()
    if not ids and wanted is not None:
        ids = [entry.quarantine_id for entry in list_entries(quarantine, wanted, limit=limit)]
    outcomes = decide(quarantine, list(ids or ()), order, dry_run=dry_run)
    if as_json:
        _print({"dry_run": dry_run, "outcomes": [{**asdict(o), "is_done": o.is_done} for o in outcomes]})
    else:
        _show_outcomes(outcomes, order, dry_run=dry_run)
    raise typer.Exit(0 if all(outcome.is_done for outcome in outcomes) else 1)


def _cell(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise typer.BadParameter(f"{text!r} is not COLUMN=VALUE")
    return name, value


def _print(answer: Any) -> None:
    print_json(json.loads(json.dumps(answer, default=_as_json)))


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _entry(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "state": entry.state}


def _show_list(entries: Sequence[Entry], rules: Sequence[Any], total: int, page: int, limit: int) -> None:
    console = _console()
    if not total:
        console.print("Nothing of that kind is in the quarantine.")
        return
    counts = _table("Rules broken", "table", "rule", "rows")
    for count in rules[:15]:
        counts.add_row(f"{count.source}/{count.table_name}", count.rule, f"{count.entries:,}")
    shown = _table("Rows", "id", "table", "key", "state", "rules", "set aside")
    for entry in entries:
        broken = ", ".join(reason.rule for reason in entry.reasons)
        mark = " [green]+suggestion[/]" if entry.suggestions else ""
        when = f"{entry.quarantined_at:%Y-%m-%d %H:%M}"
        shown.add_row(entry.quarantine_id, entry.label, _plain(entry.row_key), entry.state, _plain(broken) + mark, when)
    console.print(counts)
    console.print(shown)
    pages = -(-total // limit)
    console.print(f"{total:,} rows, page {page} of {pages:,}. `shopsphere quarantine show ID` tells all of one.")


def _show_detail(detail: Detail) -> None:
    console, entry = _console(), detail.entry
    console.print(f"[bold]{entry.label}[/] {_plain(entry.row_key)}: {entry.state}", highlight=False)
    console.print(f"set aside {entry.quarantined_at:%Y-%m-%d %H:%M} UTC by batch {entry.batch_id}", highlight=False)
    suggested = {each.column: each for each in detail.suggested}
    broken: dict[str | None, list[str]] = {}
    for reason in entry.reasons:
        broken.setdefault(reason.column, []).append(reason.rule)
    shown = _table("", "column", "as read", "as edited", "suggested", "broken rules")
    for name in dict.fromkeys((*entry.payload, *detail.draft, *suggested)):
        was, now = entry.payload.get(name), detail.draft.get(name)
        suggestion = suggested.get(name)
        shown.add_row(
            name,
            _value(was),
            _value(now) if now != was else "",
            f"[green]{_value(suggestion.corrected)}[/]" if suggestion else "",
            f"[red]{_plain(', '.join(broken.get(name, ())))}[/]",
        )
    console.print(shown)
    for rule in broken.get(None, ()):
        console.print(f"[red]broken:[/] {_plain(rule)}", highlight=False)
    for past in detail.history:
        why = f": {_plain(past.reason)}" if past.reason else ""
        console.print(f"{past.decided_at:%Y-%m-%d %H:%M} {_plain(past.decided_by)} {past.action} it{why}")


def _show_outcomes(outcomes: Sequence[Outcome], order: Order, *, dry_run: bool) -> None:
    from shopsphere_assets.quarantine.decisions import ACTIONS

    console = _console()
    done = [outcome for outcome in outcomes if outcome.is_done]
    for outcome in [outcome for outcome in outcomes if not outcome.is_done][:20]:
        where = f"{outcome.label} {outcome.row_key}".strip() or outcome.quarantine_id
        console.print(
            f"[yellow]not done:[/] {_plain(where)}: {_plain(outcome.problem)}", highlight=False, soft_wrap=True
        )
    verb = "would be" if dry_run else "were"
    console.print(f"{len(done):,} of {len(outcomes):,} rows {verb} {ACTIONS[order.wish]}.")
    if done and not dry_run and order.wish in ("readmit", "accept", "reopen"):
        console.print("The marts follow with the next build: at once where Dagster runs, else by `shopsphere run`.")


def _table(title: str, *columns: str) -> Any:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        is_count = column in ("rows", "drawn", "new", "judged", "right", "wrong")
        is_whole = column in ("id", "table", "key")
        table.add_column(column, justify="right" if is_count else "left", no_wrap=is_whole, overflow="fold")
    return table


def _plain(text: str | None) -> str:
    """Text from data, fit for a terminal: no markup, no control characters."""
    from rich.markup import escape

    return escape(re.sub("[\x00-\x1f\x7f-\x9f]", lambda found: ascii(found[0])[1:-1], text or ""))


def _value(text: str | None) -> str:
    return "[dim]none[/]" if text is None else _plain(text)
