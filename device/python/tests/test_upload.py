import os
import tempfile
import unittest

from tether_device.orders import OrderFailed
from tether_device.upload import _batch, _prepare, _snapshot

from .server import DeviceCase

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYx"
TARGET = {"address": "127.0.0.1:9022", "host_key": KEY, "username": "u1", "password": "secret"}


class UploadTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_command(self):
        command, environment = _prepare("/usr/bin/sftp", self.folder, {**TARGET, "host_key": KEY + " a comment\n"})
        self.assertEqual((command[0], command[-1]), ("/usr/bin/sftp", "127.0.0.1"))
        for option in ("-oPort=9022", "-oStrictHostKeyChecking=yes", "-oUser=u1", "-oGlobalKnownHostsFile=none"):
            self.assertIn(option, command)
        self.assertFalse([word for word in command if "secret" in word])
        self.assertEqual(environment["TETHER_SFTP_PASSWORD"], "secret")
        with open(os.path.join(self.folder, "known_hosts"), encoding="ascii") as file:
            self.assertEqual(file.read(), f"tether {KEY}\n")

    def test_refused(self):
        for name, wrong in (
            ("address", "127.0.0.1"), ("address", "-oProxyCommand=x:22"), ("address", "a b:22"), ("address", "$(x):22"),
            ("address", None), ("host_key", ""), ("host_key", "* " + KEY), ("host_key", KEY + "\n* " + KEY), ("username", "-x"),
            ("username", "a b"), ("username", ""), ("username", "a\n"),
        ):
            with self.subTest((name, wrong)), self.assertRaisesRegex(OrderFailed, name):
                _prepare("sftp", self.folder, {**TARGET, name: wrong})

    def test_batch(self):
        self.assertEqual(_batch("/s/log", '/a "b"/*.log', False), 'put "/s/log" "/a \\"b\\"/\\*.log"\n')
        self.assertEqual(_batch("/s/log", "/a/b/1.log", True), '-mkdir "/a"\n-mkdir "/a/b"\nput "/s/log" "/a/b/1.log.part"\n'
                         'rename "/a/b/1.log.part" "/a/b/1.log"\n')
        with self.assertRaises(OrderFailed):
            _batch("/s/log", "/a\n!reboot", False)

    def test_snapshot(self):
        source, copy = os.path.join(self.folder, "a"), os.path.join(self.folder, "b")
        with open(source, "w", encoding="ascii") as file:
            file.write("abc")
        self.assertEqual(_snapshot(source, copy), (3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"))


class RefusedTest(DeviceCase):
    async def test_honest(self):
        """An upload that cannot be done fails, says why, and leaves nothing behind."""
        log = os.path.join(self.folder.name, "device.log")
        for n, (options, more, why) in enumerate((
            ({}, {}, "no SFTP target is configured and the order carries none"),
            ({}, {"sftp": TARGET}, "no log file is configured"),
            ({"log_file": log}, {"sftp": TARGET}, "snapshot of the log: No such file or directory"),
            ({"log_file": os.devnull}, {"sftp": {**TARGET, "host_key": "x"}}, "sftp: host_key is not understood"),
            ({"log_file": os.devnull}, {"sftp": {**TARGET, "address": "127.0.0.1:1"}}, "sftp: ssh: connect to host"),
        )):
            device = self.device(**options)
            self.run_device(device)
            link = await self.link()
            result = (await link.order("upload_log", str(n), is_inner=True, remote_dir="/logs", **more))["result"]
            self.assertEqual(result["status"], "fail")
            self.assertIn(why, result["message"])
            device.stop()
            self.assertEqual([name for name in os.listdir(self.folder.name) if name.startswith("upload")], [])
