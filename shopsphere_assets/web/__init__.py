"""The page for stewards of data quality: the quarantine, its decisions and manual reviews, in a browser.

Belongs here: requests, forms and templates. What they show and do is in ``shopsphere_assets.quarantine``.
"""
