"""A device over Debian's python3-websockets, which pings by itself."""
import asyncio
from contextlib import asynccontextmanager

import websockets

from device import Device


class Socket:
    """A WebSocket whose end is no exception."""

    def __init__(self, ws):
        self.send, self.close, self.ws = ws.send, ws.close, ws

    async def __aiter__(self):
        try:
            async for message in self.ws:
                yield message
        except websockets.ConnectionClosed:
            pass


@asynccontextmanager
async def connect(url):
    async with websockets.connect(url, subprotocols=["tether.v1"], ping_interval=0.1) as ws:
        yield Socket(ws)


asyncio.run(Device("websockets", connect).run())
