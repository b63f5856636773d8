"""The programs that contestants are started as: each loads one table in a process of its own.

Belongs here: what a user of that tool would write. Does not belong here: measuring, installing, verifying.
"""
