"""The entry point: the commands and what a person sees when one fails."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from resources.errors import PlatformError
from shopsphere_assets.cli.alerts import alerts
from shopsphere_assets.cli.backfill import backfill
from shopsphere_assets.cli.demo import demo
from shopsphere_assets.cli.doctor import doctor
from shopsphere_assets.cli.quarantine import app as quarantine
from shopsphere_assets.cli.reconcile import reconcile
from shopsphere_assets.cli.replay import replay
from shopsphere_assets.cli.report import report
from shopsphere_assets.cli.run import run
from shopsphere_assets.cli.simulate import simulate
from shopsphere_assets.cli.sql import sql
from shopsphere_assets.cli.status import status
from shopsphere_assets.cli.steward import steward

app = typer.Typer(
    name="shopsphere",
    help="An asset-based data platform for a growing online shop.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for command in (demo, run, reconcile, backfill, replay, status, report, alerts, sql, doctor, simulate, steward):
    app.command()(command)
app.add_typer(quarantine, name="quarantine")


def main() -> None:
    """Run the command line; an error that a person can act on is shown without a stack."""
    try:
        app(prog_name="shopsphere")
    except PlatformError as error:
        console = Console(stderr=True)
        console.print(f"[red]error:[/] {escape(error.what)}", highlight=False, soft_wrap=True)
        console.print(f"  where: {error.where}", highlight=False, markup=False, soft_wrap=True)
        console.print(f"  what to do: {error.remedy}", highlight=False, markup=False, soft_wrap=True)
        sys.exit(1)
