"""A device that pings late: the conformance kit has to say so."""

import asyncio

from tether_device import connection
from tether_device.cadence import Cadence
from tether_device.conform import conforming_device, main


class LateCadence(Cadence):
    """Twice the interval that the login result tells."""

    def __init__(self, heartbeat, now):
        super().__init__({**heartbeat, "ping_interval_ms": 2 * heartbeat["ping_interval_ms"]}, now)


connection.Cadence = LateCadence
asyncio.run(main(conforming_device()))
