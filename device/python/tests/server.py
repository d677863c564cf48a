"""A small server for the tests: real sockets, scripted by the test."""

import asyncio
import json
import tempfile
import time
import unittest

import websockets

from tether_device import Device

# Replies are awaited long: a machine that is busy with other tests must not fail this one.
HEARTBEAT = {"ping_interval_ms": 200, "status_interval_ms": 600, "reply_timeout_ms": 5000, "max_failures": 3}
NEVER = {"ping_interval_ms": 3_600_000, "status_interval_ms": 3_600_000, "reply_timeout_ms": 3_600_000, "max_failures": 3}
DEVICE, PASSWORD, TOKEN = "1860117402213097472", "tp_secret", "tt_token"


class Link:
    """The server's end of one connection. It answers what devices ask by themselves, and keeps the rest."""

    def __init__(self, ws, server):
        self.ws, self.server = ws, server
        self.seen = []  # (time, method) of each request
        self.messages = asyncio.Queue()  # replies, and requests that are not answered here
        self.login = None  # the params
        self.greeted = False  # it is answered, in whatever way
        self.closed = asyncio.get_running_loop().create_future()  # (code, reason) as the device closed

    async def serve(self):
        try:
            async for text in self.ws:
                await self._receive(json.loads(text))
        except websockets.ConnectionClosed:
            pass
        if not self.closed.done():
            self.closed.set_result((self.ws.close_code, self.ws.close_reason))

    async def _receive(self, m):
        method = m.get("method") if isinstance(m, dict) else None
        self.seen.append((time.monotonic(), method))
        if method == "login":
            self.login = m["params"]
            await self.server.on_login(self, m)
            self.greeted = True
        elif method in ("ping", "upload_status_info") and method not in self.server.silent_on:
            await self.reply(m, "pong" if method == "ping" else {})
            self.server.heard.append(m)
        elif method not in self.server.silent_on:
            self.messages.put_nowait(m)

    async def send(self, message):
        await self.ws.send(message if isinstance(message, (str, bytes)) else json.dumps(message))

    async def reply(self, m, result):
        await self.send({"jsonrpc": "2.0", "id": m["id"], "result": result})

    async def ask(self, method, params, number=1):
        await self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return await self.next()

    async def next(self):
        return await asyncio.wait_for(self.messages.get(), 30)

    async def order(self, order_type="echo", order_id="1861", number=1, **more):
        params = {"order_id": order_id, "order_type": order_type, "is_inner": False, "device_id": DEVICE, "params": {},
                  "deadline_time": int(time.time() * 1000) + 10_000, **more}
        return await self.ask("give_order", params, number)

    async def welcome(self, m, **more):
        await self.reply(m, {
            "device_id": DEVICE, "token": TOKEN, "token_expires_time": int(time.time() * 1000) + 10**9,
            "server_time": int(time.time() * 1000), "unsettled_orders": [], "heartbeat": self.server.heartbeat, **more})


class DeviceCase(unittest.IsolatedAsyncioTestCase):
    """A test with a server, and devices that end with it."""

    heartbeat = NEVER

    async def asyncSetUp(self):
        self.silent_on = set()
        self.heard = []  # pings and reports
        self.links = asyncio.Queue()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.server = await websockets.serve(self._serve, "127.0.0.1", 0, subprotocols=["tether.v1"])
        self.url = "ws://127.0.0.1:%d/ws" % self.server.sockets[0].getsockname()[1]
        self.runs = []
        self.devices = []

    async def asyncTearDown(self):
        for device in self.devices:
            device.stop()
        for run in self.runs:
            await asyncio.wait({run}, timeout=30)
            self.assertTrue(run.done(), "run does not end")
        self.server.close()
        await self.server.wait_closed()

    async def _serve(self, ws):
        link = Link(ws, self)
        self.links.put_nowait(link)
        await link.serve()

    async def on_login(self, link, m):
        """What the server does with a login: a test replaces it."""
        await link.welcome(m)

    def device(self, **options):
        options = {"device_id": DEVICE, "password": PASSWORD, "state_dir": self.folder.name, "time_scale": 0.1,
                   "restart": lambda: None, **options}
        device = Device(self.url, **options)
        self.devices.append(device)

        @device.order("echo")
        async def echo(params):
            return params
        return device

    def run_device(self, device):
        self.runs.append(asyncio.ensure_future(device.run()))
        return self.runs[-1]

    async def link(self):
        """The next connection, once it is logged in or refused."""
        link = await asyncio.wait_for(self.links.get(), 30)
        await until(lambda: link.greeted or link.closed.done())
        return link


async def until(so):
    """Wait until something is so."""
    end = time.monotonic() + 30
    while not so():
        if time.monotonic() > end:
            raise AssertionError("in vain")
        await asyncio.sleep(0.01)
