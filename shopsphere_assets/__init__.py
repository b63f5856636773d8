"""The platform: contracts, ingestion, transformation, Dagster definitions and the command line."""
