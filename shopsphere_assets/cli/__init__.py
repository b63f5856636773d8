"""The command line ``shopsphere``: one module per command, each a thin layer over plain Python.

Commands import what they need when they run, so that the quick ones start quickly.
"""
