"""A device that ignores restart_confirm: the conformance kit has to say so."""

import asyncio

from tether_device.conform import conforming_device, main
from tether_device.orders import Orders

Orders.confirm = lambda self, order_id: None  # it waits out its 3 s each time
asyncio.run(main(conforming_device()))
