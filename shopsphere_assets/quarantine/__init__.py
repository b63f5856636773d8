"""The quarantine for people: what is in it, what they decide about it, and manual reviews of samples.

Plain Python without Dagster. Does not belong here: which rows break which rule and how entries are settled by what
the source gives (``shopsphere_assets.ingestion``), and how things are shown (``cli``, ``web``).
"""
