"""Everything that Dagster decorates, and nothing else: the work itself is plain Python outside this package."""
