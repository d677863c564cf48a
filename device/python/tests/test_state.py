import os
import stat
import tempfile
import unittest
from unittest import mock

from tether_device import state
from tether_device.state import INTERRUPTED, KEEP, Journal, TokenFile, in_thread

DONE = {"status": "success", "message": "done"}


class JournalTest(unittest.IsolatedAsyncioTestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.path = os.path.join(self.folder, "journal")

    def read(self):
        with open(self.path, encoding="utf-8") as file:
            return file.read()

    async def reopened(self, journal):
        await journal.close()
        again = Journal(self.folder)
        self.addAsyncCleanup(again.close)
        return again

    async def test_remembers(self):
        journal = Journal(self.folder)
        await journal.begin("1")
        self.assertIsNone(journal.result("1"))
        await journal.end("1", DONE)
        await journal.begin("2")
        journal = await self.reopened(journal)
        self.assertEqual((journal.result("1"), journal.result("2"), journal.result("3")), (DONE, INTERRUPTED, None))
        await journal.end("2", DONE)
        self.assertEqual(journal.result("2"), INTERRUPTED, "the first result stays")
        journal = await self.reopened(journal)
        self.assertEqual(journal.result("2"), INTERRUPTED)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    async def test_torn(self):
        """A crash in the midst of a line costs that line alone."""
        journal = Journal(self.folder)
        await journal.begin("1")
        await journal.end("1", DONE)
        await journal.begin("2")
        await journal.close()
        whole = self.read().encode()
        last = whole.index(b"\n", whole.index(b"\n") + 1) + 1
        for cut in range(last, len(whole)):
            with open(self.path, "wb") as file:
                file.write(whole[:cut])
            journal = Journal(self.folder)
            self.assertEqual((journal.result("1"), journal.result("2")), (DONE, None), cut)
            await journal.close()
        with open(self.path, "wb") as file:
            file.write(whole.replace(b"done", b"dine"))
        journal = Journal(self.folder)
        self.assertEqual((journal.result("1"), journal.result("2")), (INTERRUPTED, INTERRUPTED))
        await journal.close()

    async def test_bounded(self):
        journal = Journal(self.folder)
        for n in range(300):
            await journal.begin(str(n))
            await journal.end(str(n), DONE)
        self.assertLess(self.read().count("\n"), 4 * KEEP + 2)
        journal = await self.reopened(journal)
        self.assertEqual([n for n in range(300) if journal.result(str(n))], list(range(300 - KEEP, 300)))

    async def test_full_disk(self):
        """An order whose beginning is not on the disk is not begun; the journal mends itself."""
        journal = Journal(self.folder)
        await journal.begin("1")
        with mock.patch.object(state.os, "fsync", side_effect=OSError("full")):
            with self.assertRaises(OSError):
                await journal.begin("2")
            with self.assertRaises(OSError):
                await journal.end("1", DONE)
        self.assertEqual((journal.result("1"), journal.result("2")), (DONE, None))
        await journal.begin("3")
        journal = await self.reopened(journal)
        self.assertEqual((journal.result("1"), journal.result("2"), journal.result("3")), (DONE, None, INTERRUPTED))

    async def test_starts_on_a_full_disk(self):
        """What earlier processes did is remembered; an order is begun when there is room again."""
        journal = Journal(self.folder)
        await journal.begin("1")
        await journal.close()
        with mock.patch.object(state.os, "fsync", side_effect=OSError("full")):
            with self.assertLogs("tether_device", "ERROR"):
                journal = Journal(self.folder)
            self.assertEqual(journal.result("1"), INTERRUPTED)
            with self.assertRaises(OSError):
                await journal.begin("2")
        await journal.begin("2")
        journal = await self.reopened(journal)
        self.assertEqual((journal.result("1"), journal.result("2")), (INTERRUPTED, INTERRUPTED))

    async def test_synced(self):
        """A beginning is on the disk when begin returns, a result when end does."""
        journal = Journal(self.folder)
        synced = []
        with mock.patch.object(state.os, "fsync", side_effect=lambda _: synced.append(self.read())):
            await journal.begin("1")
            self.assertIn('"1"', synced[-1])
            await journal.end("1", DONE)
            self.assertIn("done", synced[-1])
        await journal.close()


class TokenTest(unittest.IsolatedAsyncioTestCase):
    async def test_token(self):
        with tempfile.TemporaryDirectory() as folder:
            owner = {"url": "ws://a/ws", "sn": "", "model": ""}
            await TokenFile(folder, owner).keep("7", "tt_x", 5)
            path = os.path.join(folder, "token.json")
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            for who, device_id, token in ((owner, "7", "tt_x"), (owner, "", "tt_x"), (owner, "8", ""),
                                          ({**owner, "url": "ws://b/ws"}, "7", ""), ({**owner, "sn": "S"}, "", "")):
                file = TokenFile(folder, who)
                file.load(device_id)
                self.assertEqual(file.token, token)
            for torn in (b"", b"{", b"[]", b'{"url":"ws://a/ws"}', b"\xff"):
                with open(path, "wb") as file:
                    file.write(torn)
                file = TokenFile(folder, owner)
                file.load("7")
                self.assertEqual(file.token, "")
            await file.forget()
            await file.forget()
            self.assertEqual(os.listdir(folder), [])


class ThreadTest(unittest.IsolatedAsyncioTestCase):
    async def test_in_thread(self):
        self.assertEqual(await in_thread(max, 1, 2), 2)
        for wrong, raised in ((SystemExit(1), RuntimeError), (StopIteration(), RuntimeError), (KeyError("x"), KeyError)):
            with self.assertRaises(raised):
                await in_thread(mock.Mock(side_effect=wrong))


if __name__ == "__main__":
    unittest.main()
