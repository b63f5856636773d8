"""The dbt project from the outside: its manifest, its environment, its results and its column lineage.

Does not belong here: SQL models (``dbt_project``), Dagster (``defs``).
"""
