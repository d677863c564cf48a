"""A device over Debian's python3-aiohttp."""
import asyncio
from contextlib import asynccontextmanager

import aiohttp

from device import Device


class Socket:
    """An aiohttp WebSocket in the form that the device wants."""

    def __init__(self, ws):
        self.ws = ws

    async def send(self, text):
        await self.ws.send_str(text)

    async def close(self, code, reason):
        await self.ws.close(code=code, message=reason.encode())

    async def __aiter__(self):
        async for message in self.ws:
            yield message.data


@asynccontextmanager
async def connect(url):
    async with aiohttp.ClientSession() as session, session.ws_connect(url, compress=15) as ws:
        await ws.ping(b"alive?")
        yield Socket(ws)


asyncio.run(Device("aiohttp", connect).run())
