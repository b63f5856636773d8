"""Data contracts: one Pandera model per raw table, one module per source system.

Belongs here: column types, row rules, and what each column means (description, unit, whether it is
personal data, what it may be used for). Does not belong here: reading, writing, Dagster, SQL.
"""
