"""The folder that Dagster calls its home, below the platform's own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from resources.errors import PermanentError
from resources.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def dagster_home(settings: Settings) -> Iterator[Path]:
    """Dagster's home with the project's ``dagster.yaml`` in it, named in the environment meanwhile."""
    home = settings.state / "dagster"
    try:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / "dagster.yaml", home / "dagster.yaml")
    except OSError as error:
        raise PermanentError(
            f"the platform's folder cannot be written: {error.strerror}",
            where=str(home),
            remedy="give the user the right to write there, or name another folder by SHOPSPHERE_HOME",
        ) from error
    before = os.environ.get("DAGSTER_HOME")
    os.environ["DAGSTER_HOME"] = str(home)
    try:
        yield home
    finally:
        if before is None:
            del os.environ["DAGSTER_HOME"]
        else:
            os.environ["DAGSTER_HOME"] = before
