"""The platform: contracts, ingestion, transformation, Dagster definitions and the command line."""

import gc

# Loading the definitions makes a great many objects, all of which stay: looking through them again and again for
# garbage took a quarter of the 3 s that every run's process starts with.
gc.set_threshold(100_000, 20, 20)
