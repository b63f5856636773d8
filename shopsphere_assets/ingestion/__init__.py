"""From a source to the warehouse: extract, validate, land in the lake, load with a ledger entry.

Belongs here: raw tables, batches, quarantine, lake, ledger, all as plain Python. Does not belong here:
Dagster, connections' details (``resources``), the meaning of columns (``contracts``).
"""
