"""The quality of the data: profiles, drift, scores and versions of the sources' schemas.

Plain Python; what Dagster makes of it is in ``defs/quality``.
"""
