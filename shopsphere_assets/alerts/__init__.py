"""Alerts: one per cause, kept in ``quality.alerts``, told once and once more when it is mended.

Belongs here: what a cause is, its words, its life from the first occurrence to the mending, and which message is due.
Not here: delivering a message (``resources/notify``) and asking Dagster (``defs/operations/alerts.py``).
"""
