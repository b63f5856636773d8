"""Corrections by rule: what a broken cell was surely meant to be, and what it may have been meant to be.

Belongs here: one module per kind of correction, and which column of a contract is corrected by which. Does not belong
here: what is wrong with a cell (the contracts), and what becomes of a row (``ingestion.validate``).
"""
