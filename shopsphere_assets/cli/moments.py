"""Moments as a person writes them in an option."""

from __future__ import annotations

from datetime import datetime

import typer


def moment(text: str) -> datetime:
    """The moment; what is none is an error of usage."""
    from resources.errors import PermanentError
    from shopsphere_assets.ingestion.backfill import parse_moment

    try:
        return parse_moment(text)
    except PermanentError as error:
        raise typer.BadParameter(f"{error.what}; {error.remedy}") from None
