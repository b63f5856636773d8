"""The simulated file drops: the shop's web logs, the legacy CRM's exports, the help desk's tickets.

Belongs here: file names, formats, encodings and the damage that such files really have. Does not belong
here: what happens in the simulated shop (``simulator.world``).
"""

from simulator.files.drops import FileDrops

__all__ = ["FileDrops"]
