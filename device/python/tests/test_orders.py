import asyncio
import json
import os
import threading
import time

from tether_device import OrderFailed
from tether_device.orders import MAX_DATA, failure, success

from .server import HEARTBEAT, DeviceCase, until


class OrderTest(DeviceCase):
    async def linked(self, **options):
        device = self.device(**options)
        self.run_device(device)
        return device, await self.link()

    async def results(self, link, **order):
        reply = await link.order(**order)
        return reply["result"]

    async def test_results(self):
        device = self.device()

        @device.order("plain")
        def plain(params):
            return [threading.current_thread() is threading.main_thread(), params["x"]]

        @device.order("fails")
        async def fails(params):
            raise OrderFailed("the lamp is broken")

        @device.order("exits")
        def exits(params):
            raise SystemExit(3)

        @device.order("nothing")
        async def nothing(params):
            return None

        self.run_device(device)
        link = await self.link()
        for n, (order, params, want) in enumerate((
            ("echo", {"a": "灯"}, {"status": "success", "message": "done", "data": {"a": "灯"}}),
            ("plain", {"x": 1}, {"status": "success", "message": "done", "data": {"value": [False, 1]}}),
            ("nothing", {}, {"status": "success", "message": "done"}),
            ("fails", {}, {"status": "fail", "message": "the lamp is broken"}),
            ("exits", {}, {"status": "fail", "message": "SystemExit(3)"}),
            ("plain", {}, {"status": "fail", "message": "'x'"}),
            ("unknown", {}, {"status": "fail", "message": "order not in config"}),
        )):
            reply = await link.order(order, str(n), number=f"id-{n}", params=params)
            self.assertEqual((reply["id"], reply["result"]), (f"id-{n}", want))

    async def test_refused(self):
        _, link = await self.linked()
        for wrong, member in (
            ({"order_id": 5}, "order_id"), ({"order_id": "x"}, "order_id"), ({"params": None}, "params"), ({"params": []}, "params"),
            ({"deadline_time": "1"}, "deadline_time"), ({"deadline_time": True}, "deadline_time"), ({"is_inner": 1}, "is_inner"),
            ({"order_type": None}, "order_type"), ({"device_id": "9"}, "device_id"), ({"sftp": []}, "sftp"),
        ):
            error = (await link.order(**wrong))["error"]
            self.assertEqual((error["code"], error["message"].split(":")[0], error["data"]["retryable"]), (-32602, member, False))
        self.assertEqual((await link.ask("give_order", [1]))["error"]["code"], -32602)
        self.assertEqual((await link.ask("nothing", {}))["error"]["code"], -32601)
        await link.send({"jsonrpc": "2.0", "method": "give_order", "params": {}})
        self.assertEqual((await self.results(link))["status"], "success")

    async def test_remembered(self):
        """T6: an id that is known is never carried out again, through restarts of the process as well."""
        device, link = await self.linked()
        count = 0

        @device.order("count")
        async def counted(params):
            nonlocal count
            count += 1
            return count
        first = await self.results(link, order_type="count", order_id="7")
        self.assertEqual(await self.results(link, order_type="count", order_id="7"), first)
        self.assertEqual(await self.results(link, order_type="echo", order_id="7", deadline_time=0), first)
        device.stop()
        _, link = await self.linked()
        self.assertEqual((await self.results(link, order_type="count", order_id="7"), count), (first, 1))

    async def test_expired(self):
        """The deadline is by the server's clock, whatever this host's says."""
        device = self.device()
        ahead = 3_600_000

        async def on_login(link, m):
            await link.welcome(m, server_time=int(time.time() * 1000) + ahead)
        self.on_login = on_login
        self.run_device(device)
        link = await self.link()
        self.assertEqual(await self.results(link), {"status": "fail", "message": "expired"})
        later = int(time.time() * 1000) + ahead + 5000
        self.assertEqual((await self.results(link, order_id="2", deadline_time=later))["status"], "success")

    async def test_one_at_a_time(self):
        """Another order is refused meanwhile; the same one waits for the same end."""
        device = self.device()
        go_on = asyncio.Event()

        @device.order("wait")
        async def wait(params):
            await go_on.wait()
            return "waited"
        self.run_device(device)
        link = await self.link()
        for number in (1, 2):
            params = {"order_id": "5", "order_type": "wait", "is_inner": False, "params": {}, "deadline_time": 1 << 50}
            await link.send({"jsonrpc": "2.0", "id": number, "method": "give_order", "params": params})
        self.assertEqual(await self.results(link, order_id="6", number=3), {"status": "fail", "message": "busy"})
        go_on.set()
        replies = [await link.next(), await link.next()]
        self.assertEqual([(r["id"], r["result"]["data"]) for r in replies], [(1, {"value": "waited"}), (2, {"value": "waited"})])
        self.assertEqual((await self.results(link, order_id="6"))["message"], "busy", "it is settled")

    async def test_interrupted(self):
        """What a stop cut off was begun and has not ended: the next process says so, and hands it in if asked."""
        device = self.device()
        begun = asyncio.Event()

        @device.order("wait")
        async def wait(params):
            begun.set()
            await asyncio.Event().wait()
        self.run_device(device)
        link = await self.link()
        await link.send({"jsonrpc": "2.0", "id": 1, "method": "give_order", "params": {
            "order_id": "5", "order_type": "wait", "is_inner": False, "params": {}, "deadline_time": 1 << 50}})
        await begun.wait()
        device.stop()
        await asyncio.wait(self.runs)
        with open(os.path.join(self.folder.name, "journal"), encoding="ascii") as file:
            self.assertEqual(json.loads(file.read().split(" ", 1)[1]), {"order_id": "5"})
        self.on_login = lambda link, m: link.welcome(m, unsettled_orders=["4", "5", "6"])
        _, link = await self.linked()
        handed = await link.next()
        self.assertEqual((handed["method"], handed["params"]), (
            "upload_instruction_result", {"order_id": "5", "status": "fail", "message": "interrupted"}))
        await link.reply(handed, {})
        self.assertEqual((await self.results(link, order_type="wait", order_id="5"))["message"], "interrupted")

    async def test_late(self):
        """An order goes on while its connection is lost; its result is handed in over the next one, once it is there."""
        device = self.device()
        go_on = asyncio.Event()

        @device.order("wait")
        async def wait(params):
            await go_on.wait()
            return {"x": 1}
        self.run_device(device)
        link = await self.link()
        await link.send({"jsonrpc": "2.0", "id": 1, "method": "give_order", "params": {
            "order_id": "5", "order_type": "wait", "is_inner": False, "params": {}, "deadline_time": 1 << 50}})
        await asyncio.sleep(0)
        self.on_login = lambda link, m: link.welcome(m, unsettled_orders=["5"])
        await until(lambda: device.orders.outcome("5") is not None)
        await link.ws.close(1011)
        link = await self.link()
        go_on.set()
        handed = await link.next()
        self.assertEqual(handed["params"], {"order_id": "5", "status": "success", "message": "done", "data": {"x": 1}})
        await link.reply(handed, {})

    async def test_asked_often(self):
        """However often an order is given while it runs, the newest who ask are told how it ends."""
        device = self.device()
        go_on = asyncio.Event()

        @device.order("wait")
        async def wait(params):
            await go_on.wait()
        self.run_device(device)
        link = await self.link()
        for number in range(12):
            await link.send({"jsonrpc": "2.0", "id": number, "method": "give_order", "params": {
                "order_id": "5", "order_type": "wait", "is_inner": False, "params": {}, "deadline_time": 1 << 50}})
        self.assertEqual((await self.results(link, order_id="6", number="x"))["message"], "busy")
        go_on.set()
        self.assertEqual([(await link.next())["id"] for _ in range(8)], list(range(4, 12)))

    async def test_order_timeout(self):
        device = self.device(order_timeout=0.05)

        @device.order("wait")
        async def wait(params):
            await asyncio.Event().wait()
        self.run_device(device)
        link = await self.link()
        self.assertEqual(await self.results(link, order_type="wait"), {"status": "fail", "message": "timed out"})
        self.assertEqual((await self.results(link, order_id="2"))["status"], "success")

    async def test_names(self):
        device = self.device()
        for name in ("restart", "upload_log", "echo", "", "1a", "a b", "a" * 65):
            with self.subTest(name), self.assertRaises(ValueError):
                device.order(name)(print)
        device.order("a" * 64)(print)


class BlockingTest(DeviceCase):
    heartbeat = HEARTBEAT

    async def test_blocking_handler(self):
        """A handler that blocks costs no ping."""
        device = self.device()
        release = threading.Event()

        @device.order("block")
        def block(params):
            return release.wait(10)
        self.run_device(device)
        link = await self.link()
        order = asyncio.ensure_future(link.order("block"))
        await until(lambda: len(self.heard) >= 8)
        release.set()
        self.assertEqual((await order)["result"]["data"], {"value": True})
        self.assertTrue(self.links.empty(), "the connection was lost")


def nested(depth):
    return [nested(depth - 1)] if depth > 1 else []


class ResultTest(DeviceCase):
    async def test_data(self):
        def data(value):
            result = success(value)
            self.assertEqual(result["status"], "success")
            return result.get("data", result["message"].split(":")[0])
        self.assertEqual(data({"a": 1}), {"a": 1})
        self.assertEqual(data(0), {"value": 0})
        self.assertEqual(data({1: 2}), {"1": 2})
        for wrong in (object(), float("inf"), "\ud800", {"a": {1}}, 10**40, nested(30)):
            self.assertEqual(data(wrong), "done; its data has no JSON form")
        self.assertEqual(data(nested(29)), {"value": nested(29)}, "32 with the message around it")
        self.assertEqual(data("x" * (MAX_DATA - 12)), {"value": "x" * (MAX_DATA - 12)})
        self.assertEqual(data("x" * (MAX_DATA - 11)), "done; its data is left out")

    async def test_failure(self):
        self.assertEqual(failure(ValueError())["message"], "ValueError")
        self.assertEqual(len(failure(ValueError("灯" * 1000))["message"].encode()), 1023)
        self.assertEqual(failure(ValueError("\ud800"))["message"], "?")
