"""A device over Debian's python3-websockets, which pings by itself."""
import asyncio

import websockets

from device import Device

asyncio.run(Device("websockets", lambda url: websockets.connect(url, subprotocols=["tether.v1"], ping_interval=0.1)).run())
