"""The simulated services: HubSpot and the reviews service, as HTTP servers on loopback.

Belongs here: the store behind the services, their endpoints and the faults that they show. Does not
belong here: what happens in the simulated shop (``simulator.world``).
"""

from simulator.apis.faults import Faults
from simulator.apis.server import RunningServer, create_app, running, serve
from simulator.apis.store import ApiStore

__all__ = ["ApiStore", "Faults", "RunningServer", "create_app", "running", "serve"]
