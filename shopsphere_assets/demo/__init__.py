"""The embedded environment: simulated sources and embedded stores for whatever the settings leave unset.

The only place outside the tests that knows the simulator. Does not belong here: anything a platform with
sources of its own needs.
"""
