"""A device that makes its JSON-RPC by hand, as many do, over any WebSocket.

It writes JSON as Python does if nobody tells it otherwise, with spaces and with
everything but ASCII escaped. Its ids are strings, its requests have a member
that nobody asked for. It says on standard output what it made of each answer.
It comes back at once, whatever its connection was closed with, as no device
should: southbound section 5 says when.
"""
import asyncio
import itertools
import json
import signal
import sys

URL, DEVICE_ID, PASSWORD = sys.argv[1:4]
REPORT = {"device_id": DEVICE_ID, "CPU_info": {"user_cpu_time": 1.5}, "Memory_info": {"total_memory_mb": 512}, "Disk_info": {}}


def say(*words):
    print(*words, flush=True)


class Fault(Exception):
    """An error that the other side answered with."""


class Device:
    """A device over one connection after the other.

    connect gives an asynchronous context manager; what it enters has send(text),
    close(code, reason), and is iterated for the texts that come.
    """

    def __init__(self, name, connect):
        self.name, self.connect = name, connect
        self.secret, self.boot, self.stopping = {"password": PASSWORD}, 0, False

    async def run(self):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self.stop)
        while not self.stopping:
            async with self.connect(URL) as self.socket:
                self.waiting, self.ids = {}, itertools.count(1)
                talk = asyncio.create_task(self.talk())
                async for text in self.socket:
                    self.receive(json.loads(text))
                talk.cancel()
            say("closed")

    def stop(self):
        self.stopping = True
        asyncio.ensure_future(self.socket.close(1000, "done"))

    async def request(self, method, params=None):
        id = f"{method} #{next(self.ids)} é灯😀"
        message = {"method": method, "id": id, "jsonrpc": "2.0", "from": self.name}
        if params is not None:
            message["params"] = params
        self.waiting[id] = asyncio.get_running_loop().create_future()
        await self.socket.send(json.dumps(message) + "\n")
        return await self.waiting[id]

    def receive(self, message):
        if "method" in message:
            asyncio.ensure_future(self.answer(message))
        elif "error" in message:
            self.waiting.pop(message["id"]).set_exception(Fault(message["error"]["code"], message["error"]["message"]))
        else:
            self.waiting.pop(message["id"]).set_result(message["result"])

    async def answer(self, message):
        answer = {"jsonrpc": "2.0", "id": message.get("id")}
        try:
            answer["result"] = await self.carry_out(message["method"], message.get("params"))
        except KeyError as unknown:
            answer["error"] = {"code": -32601, "message": f"no method {unknown}"}
        except RuntimeError as error:
            answer["error"] = {"code": 17, "message": str(error), "data": None}
        if "id" in message:
            await self.socket.send(json.dumps(answer))

    async def carry_out(self, method, params):
        if method == "give_order":
            return await self.order(params["order_type"], params["params"])
        if method == "device_update":
            say("device_update", params["device_name"])
            return {}
        if method == "restart_confirm":
            say("restart_confirm")
            return await self.socket.close(1000, "restarting")
        raise KeyError(method)

    async def order(self, order, params):
        if order == "say":
            return {"status": "success", "message": "said", "data": params}
        if order == "ask":
            return {"status": "success", "message": "asked", "data": {"answer": await self.request("ping")}}
        if order in ("broken", "clumsy"):
            raise RuntimeError("the lamp is broken")
        if order == "nothing":
            return None
        if order == "restart":
            return {"status": "success", "message": "wait Server Confirm", "data": None}
        return {"status": "fail", "message": "order not in config", "data": None}

    async def ask(self, method, params=None):
        try:
            say(method, json.dumps(await self.request(method, params)))
        except Fault as fault:
            say(method, *fault.args)

    async def talk(self):
        self.boot += 1
        session = await self.request("login", {
            "device_id": DEVICE_ID, **self.secret, "boot_id": f"boot-{self.boot}", "client": {"name": self.name}})
        say("login", *self.secret)
        self.secret = {"token": session["token"]}
        await self.ask("ping")
        await self.ask("upload_status_info", REPORT)
        if self.boot == 1:
            await self.ask("no_such_method", {})
            await self.ask("upload_status_info", {"device_id": DEVICE_ID})
            await self.ask("upload_status_info", {**REPORT, "custom": {"filler": "é" * 1300}})
        say("ready", self.boot)
        while True:
            await asyncio.sleep(5)
            await self.request("ping")
