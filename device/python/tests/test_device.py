import asyncio
import contextlib
import json
import os
import ssl
import time

import websockets

from tether_device import Device, DeviceGone, NoLogin
from tether_device.rpc import MAX_MESSAGE

from .server import DEVICE, HEARTBEAT, NEVER, PASSWORD, TOKEN, DeviceCase, until


async def refuse(link, m, code, close, reason="", **data):
    await link.send({"jsonrpc": "2.0", "id": m["id"], "error": {"code": code, "message": "no", "data": data}})
    await link.ws.close(close, reason)


class LoginTest(DeviceCase):
    async def test_forms(self):
        """The password first; then the token that it earned, also after a restart of the process."""
        device = self.device(client={"name": "t", "version": "1"})
        self.run_device(device)
        link = await self.link()
        boot = link.login.pop("boot_id")
        self.assertEqual(link.login, {"device_id": DEVICE, "password": PASSWORD, "client": {"name": "t", "version": "1"}})
        await link.ws.close(1011)
        link = await self.link()
        self.assertEqual((link.login["device_id"], link.login["token"], link.login["boot_id"]), (DEVICE, TOKEN, boot))
        self.assertNotIn("password", link.login)
        device.stop()
        self.run_device(self.device())
        link = await self.link()
        self.assertEqual(link.login["token"], TOKEN)
        self.assertNotEqual(link.login["boot_id"], boot)

    async def test_sn(self):
        self.run_device(self.device(device_id="", device_sn="SN", device_model="M"))
        link = await self.link()
        self.assertEqual((link.login["device_sn"], link.login["device_model"]), ("SN", "M"))
        self.assertNotIn("device_id", link.login)
        await link.ws.close(1011)
        self.assertEqual((await self.link()).login["device_id"], DEVICE)

    async def test_token_refused(self):
        """4401: the password, not the token. So it is when a connection ends that way."""
        self.run_device(self.device())
        await (await self.link()).ws.close(4401)
        link = await self.link()
        self.assertIn("password", link.login)
        self.on_login = lambda link, m: refuse(link, m, -32001, 4401)
        await link.ws.close(1011)
        self.assertIn("token", (await self.link()).login)
        self.on_login = lambda link, m: link.welcome(m)
        self.assertIn("password", (await self.link()).login)

    async def test_token_expired(self):
        self.on_login = lambda link, m: link.welcome(m, token_expires_time=int(time.time() * 1000) - 1)
        self.run_device(self.device())
        await (await self.link()).ws.close(1011)
        self.assertIn("password", (await self.link()).login)

    async def test_tries(self):
        self.on_login = lambda link, m: refuse(link, m, -32600, 4400)
        with self.assertRaisesRegex(NoLogin, "after 5 tries"):
            await self.run_device(self.device(time_scale=0.01))
        self.assertEqual(self.links.qsize(), 5)
        with self.assertRaisesRegex(NoLogin, "after 5 tries"):  # each run counts for itself
            await self.run_device(self.devices[0])

    async def test_unlimited(self):
        self.on_login = lambda link, m: refuse(link, m, -32600, 4400)
        device = self.device(max_tries=None, time_scale=0.0001)
        run = self.run_device(device)
        await until(lambda: self.links.qsize() >= 30)
        self.assertFalse(run.done())

    async def test_nobody_listens(self):
        self.server.close()
        await self.server.wait_closed()
        with self.assertRaisesRegex(NoLogin, "connect: "):
            await self.run_device(self.device(time_scale=0.01))

    async def test_no_reply(self):
        """The reply to login is awaited 10 s."""
        async def silence(link, m):
            pass
        self.on_login = silence
        self.run_device(self.device(time_scale=0.01))
        link = await self.link()
        self.assertEqual(await link.closed, (4408, "no reply to login"))
        await self.link()

    async def test_reply_not_understood(self):
        for wrong in ({"device_id": 5}, {"server_time": None}, {"token_expires_time": "x"}, {"heartbeat": 1}):
            async def on_login(link, m):
                await link.welcome(m, **wrong)
            self.on_login = on_login
            device = self.device()
            self.run_device(device)
            self.assertEqual(await (await self.link()).closed, (1011, "login reply not understood"))
            device.stop()

    async def test_retry_after(self):
        """A server that says when is obeyed, and it is no failed try."""
        self.on_login = lambda link, m: refuse(link, m, -32005, 4429, "retry_after_ms=150", retry_after_ms=150)
        self.run_device(self.device(max_tries=2))
        times = []
        for _ in range(3):
            await self.link()
            times.append(time.monotonic())
        self.assertTrue(all(0.14 <= b - a for a, b in zip(times, times[1:])), times)

    async def test_before_login(self):
        async def on_login(link, m):
            self.assertEqual((await link_error(link, "give_order")), -32002)
            await link.welcome(m)

        async def link_error(link, method):
            await link.send({"jsonrpc": "2.0", "id": "x", "method": method, "params": {}})
            return json.loads(await link.ws.recv())["error"]["code"]
        self.on_login = on_login
        self.run_device(self.device())
        link = await self.link()
        self.assertEqual((await link.order())["result"]["status"], "success")


class EndTest(DeviceCase):
    async def test_stop(self):
        states = []
        device = self.device(on_state=lambda state, cause: states.append(state))
        run = self.run_device(device)
        link = await self.link()
        await until(lambda: states)
        device.stop()
        await run
        self.assertEqual((await link.closed, states), ((1000, "stopped"), ["online", "offline"]))

    async def test_cancel(self):
        run = self.run_device(self.device())
        link = await self.link()
        run.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await run
        self.assertEqual((await link.closed)[0], 1000)

    async def test_stop_while_waiting(self):
        self.on_login = lambda link, m: refuse(link, m, -32005, 4429, "retry_after_ms=3600000")
        device = self.device()
        run = self.run_device(device)
        await (await self.link()).closed
        await asyncio.sleep(0.05)
        device.stop()
        await asyncio.wait_for(run, 1)

    async def test_stop_after_dialing(self):
        """A stop between the handshake and what follows it is not lost."""
        device = self.device()
        dial = device._dial

        async def dial_and_stop():
            ws = await dial()
            device.stop()
            return ws
        device._dial = dial_and_stop
        run = self.run_device(device)
        await asyncio.wait_for(run, 5)
        self.assertEqual(await (await self.links.get()).closed, (1000, "stopped"))

    async def test_done_and_gone(self):
        for code, ends in ((1000, None), (4410, DeviceGone)):
            run = self.run_device(self.device())
            await (await self.link()).ws.close(code)
            await asyncio.wait({run}, timeout=5)
            self.assertIsInstance(run.exception(), ends or type(None))

    async def test_one_run(self):
        device = self.device()
        self.run_device(device)
        await self.link()
        with self.assertRaises(RuntimeError):
            await device.run()

    async def test_options(self):
        lax, nameless = ssl.create_default_context(), ssl.create_default_context()
        lax.check_hostname, lax.verify_mode = False, ssl.CERT_NONE
        nameless.check_hostname = False
        for wrong in ({"url": "http://x/ws"}, {"url": "ws:///ws"}, {"url": "ws://u:p@x/ws"}, {"device_id": "x"}, {"device_id": ""},
                      {"device_sn": "S"}, {"device_id": "", "device_sn": "S"}, {"password": ""}, {"password": "p" * 73}, {"tls": lax},
                      {"tls": nameless}):
            with self.subTest(wrong), self.assertRaises(ValueError) as raised:
                Device(**{"url": "ws://x/ws", "device_id": "1", "password": "p" * 72, "state_dir": self.folder.name, **wrong})
            self.assertNotIn("ppp", str(raised.exception))


class RestartTest(DeviceCase):
    async def restart(self, device, order_id="9"):
        link = await self.link()
        reply = await link.order("restart", order_id, is_inner=True)
        self.assertEqual(reply["result"], {"status": "success", "message": "wait Server Confirm"})
        return link

    async def confirm(self, link, order_id):
        await link.send({"jsonrpc": "2.0", "method": "restart_confirm", "params": {"order_id": order_id}})

    async def test_confirmed(self):
        """On the confirmation of this order, and no other; the process that follows does not restart again."""
        restarts = []
        run = self.run_device(self.device(restart=lambda: restarts.append(1), time_scale=10))
        link = await self.restart(run)
        await self.confirm(link, "8")
        self.assertEqual((await link.order(order_id="10"))["result"]["message"], "busy")
        await self.confirm(link, "9")
        await run
        self.assertEqual((await link.closed, restarts), ((1000, "restart"), [1]))
        run = self.run_device(self.device(restart=lambda: restarts.append(2)))
        link = await self.restart(run)
        await self.confirm(link, "9")
        self.assertEqual((await link.order(order_id="11"))["result"]["status"], "success")
        self.assertEqual(restarts, [1])

    async def test_unconfirmed(self):
        """Without a confirmation after 3 s, here a tenth of that; so too if the connection is lost."""
        for order_id, lose in (("9", False), ("10", True)):
            restarted = asyncio.Event()
            at = time.monotonic()
            run = self.run_device(self.device(restart=restarted.set, time_scale=0.1))
            link = await self.restart(run, order_id)
            if lose:
                await link.ws.close(1011)
            await run
            self.assertTrue(restarted.is_set())
            self.assertGreater(time.monotonic() - at, 0.3)


class HeartbeatTest(DeviceCase):
    heartbeat = HEARTBEAT

    async def test_messages(self):
        """A report at once, and then pings and reports. When each is due, the tests of the cadence tell."""
        self.run_device(self.device(custom=lambda: {"uses": 1}))
        link = await self.link()
        await until(lambda: len(self.heard) >= 10)
        sent = [method for _, method in link.seen]
        self.assertEqual(sent[:2], ["login", "upload_status_info"])
        self.assertGreater(sent.count("ping"), 3)
        self.assertGreater(sent.count("upload_status_info"), 2)
        report = self.heard[0]["params"]
        self.assertEqual((report["device_id"], report["dev_state"], report["custom"]), (DEVICE, "online", {"uses": 1}))
        self.assertGreater(report["Memory_info"]["total_memory_mb"], 0)
        self.assertGreater(report["Disk_info"]["root_total_size_mb"], 0)
        self.assertGreater(report["CPU_info"]["user_cpu_time"], 0)

    async def test_no_replies(self):
        """Three that are not answered in time are the connection's end; it begins anew with the next."""
        self.heartbeat = {**HEARTBEAT, "reply_timeout_ms": 150}
        self.run_device(self.device())
        link = await self.link()
        await until(lambda: len(self.heard) >= 2)
        self.silent_on = {"ping", "upload_status_info"}
        self.assertEqual(await asyncio.wait_for(link.closed, 30), (4408, "no replies"))
        self.silent_on, self.heartbeat = set(), HEARTBEAT
        before = len(self.heard)
        await self.link()
        await until(lambda: len(self.heard) >= before + 6)

    async def test_custom_hangs(self):
        """Figures that do not come, or are none, are left out."""
        for custom in (lambda: time.sleep(2), lambda: 1 / 0, lambda: {"x": "y" * 9000}, lambda: {"x": object()}, lambda: 5,
                       lambda: {"x": json.loads("[" * 30 + "]" * 30)}):
            self.heartbeat = NEVER
            device = self.device(custom=custom)
            before = len(self.heard)
            self.run_device(device)
            await self.link()
            await until(lambda: len(self.heard) > before)
            self.assertNotIn("custom", self.heard[-1]["params"])
            self.assertIn("total_memory_mb", self.heard[-1]["params"]["Memory_info"])
            device.stop()


class HostileTest(DeviceCase):
    async def connected(self, **options):
        self.run_device(self.device(**options))
        return await self.link()

    async def test_malformed(self):
        link = await self.connected()
        await link.send("x")
        self.assertEqual((await link.next())["error"]["code"], -32700)
        for _ in range(18):
            await link.send("{}")
            self.assertEqual((await link.next())["error"]["code"], -32600)
        self.assertEqual((await link.order())["result"]["status"], "success")
        for _ in range(20):
            await link.send({"jsonrpc": "2.0", "id": 99999, "result": 1})
        self.assertEqual((await link.closed)[0], 1008)

    async def test_flood(self):
        """T42: 200 messages at once are served, a flood is 1008."""
        link = await self.connected()
        for n in range(200):
            await link.send({"jsonrpc": "2.0", "id": n, "method": "x"})
        for n in range(200):
            self.assertEqual((await link.next())["id"], n)
        with contextlib.suppress(websockets.ConnectionClosed):
            for n in range(20_000):
                await link.send({"jsonrpc": "2.0", "method": "x"})
        self.assertEqual(await link.closed, (1008, "a flood"))

    async def test_batch(self):
        link = await self.connected()
        order = {"order_type": "echo", "is_inner": False, "params": {}, "deadline_time": 1 << 50}
        await link.send([{"jsonrpc": "2.0", "id": "a", "method": "give_order", "params": {**order, "order_id": "1"}},
                         {"jsonrpc": "2.0", "id": "b", "method": "nothing"}, 5])
        first, second, third = await link.next()
        self.assertEqual((first["result"]["status"], second["error"]["code"], third["error"]["code"]), ("success", -32601, -32600))

    async def test_sizes(self):
        """64 KiB is read, more is 1009; a binary frame is 1003. Then the device comes back."""
        link = await self.connected()
        ping = '{"jsonrpc":"2.0","id":1,"method":"x","params":{"p":"%s"}}'
        await link.send(ping % ("x" * (MAX_MESSAGE - len(ping) + 2)))
        self.assertEqual((await link.next())["error"]["code"], -32601)
        await link.send(ping % ("x" * (MAX_MESSAGE - len(ping) + 3)))
        self.assertEqual((await link.closed)[0], 1009)
        link = await self.link()
        await link.send(b"{}")
        self.assertEqual((await link.closed)[0], 1003)
        await self.link()

    async def test_updates(self):
        """device_update is answered when the program was told, one after the other, and aside from the heartbeat."""
        told, go_on = [], asyncio.Event()

        async def on_update(record):
            await go_on.wait()
            told.append(record["device_name"])
            if len(told) == 1:
                raise ValueError("it makes no difference")
        link = await self.connected(on_update=on_update)
        for n in range(17):
            await link.send({"jsonrpc": "2.0", "id": n, "method": "device_update", "params": {"device_id": DEVICE, "device_name": n}})
        self.assertEqual((await link.next())["error"]["code"], -32005)
        go_on.set()
        self.assertEqual([(await link.next())["id"] for _ in range(16)], list(range(16)))
        self.assertEqual(told, list(range(16)))
        wrong = await link.ask("device_update", {"device_id": "9"})
        self.assertEqual(wrong["error"]["code"], -32602)

    async def test_state_folder(self):
        await self.connected()
        await until(lambda: os.path.exists(os.path.join(self.folder.name, "token.json")))
        for name in ("token.json", "journal"):
            self.assertEqual(os.stat(os.path.join(self.folder.name, name)).st_mode & 0o077, 0)
