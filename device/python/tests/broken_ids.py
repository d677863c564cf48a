"""A device that reuses ids: the conformance kit has to say so."""

import asyncio
import itertools

from tether_device import rpc
from tether_device.conform import conforming_device, main

rpc._ids = itertools.cycle((1, 2))
asyncio.run(main(conforming_device()))
