"""Lets the simulated shop go on living while the demo runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from resources.settings import Settings
from shopsphere_assets.demo.environment import open_simulation


@contextmanager
def living_shop(
    settings: Settings, sources: Sequence[str], seconds_per_day: float, on_day: Callable[[str], None]
) -> Iterator[None]:
    """Advance the shop that feeds ``sources`` by a day every ``seconds_per_day`` while the block runs.

    ``on_day`` is told about every day that has passed. An error of the simulation is told and ends its clock;
    the platform goes on.
    """
    stop = threading.Event()

    def live() -> None:
        try:
            simulation = open_simulation(settings, sources)
            while not stop.wait(seconds_per_day):
                simulation.advance(1)
                on_day(f"In the shop it is now {simulation.now:%A %Y-%m-%d}.")
        except Exception as error:  # whatever it is, the visitor must hear of it
            on_day(f"The shop's clock has stopped: {error}")

    thread = threading.Thread(target=live, name="shop-clock", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=30)
