"""Connections to the outside: settings, warehouse engines, SQL, HTTP and file sources, the lake.

Nothing here knows the platform's tables or Dagster's assets; it can be used on its own.
"""
