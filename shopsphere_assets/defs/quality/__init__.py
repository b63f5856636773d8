"""The quality of the data in Dagster: profiles and drift, scores, reports, near-duplicates."""
