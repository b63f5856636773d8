"""The living ShopSphere: a simulated shop with its databases, SaaS services and file drops.

Belongs here: everything that plays a source system in demonstrations and tests. Does not belong here:
anything of the platform that reads those sources; the simulator knows nobody.
"""
