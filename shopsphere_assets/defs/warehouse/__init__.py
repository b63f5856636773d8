"""The warehouse's assets: the dbt models and the publication."""
