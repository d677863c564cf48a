"""What decides has no clock: the cadence of section 4, and what follows an ending."""

import unittest

from tether_device.cadence import LEAVE, PING, REPORT, WAIT, Cadence
from tether_device.retry import DeviceGone, Ending, NoLogin, Retry
from tether_device.rpc import RpcError


def play(cadence, until, answer=lambda now, action: True):
    """What is sent and when, with replies at once where answer says so."""
    now, sent = 0.0, []
    while now <= until:
        action, wake = cadence.next(now)
        if action == WAIT:
            now = wake
            continue
        sent.append((now, action))
        if action == LEAVE:
            break
        if answer(now, action):
            cadence.replied(action)
    return sent


class CadenceTest(unittest.TestCase):
    def test_standard(self):
        """A report at once, pings every 5 s, a report in the place of a ping every 15 s."""
        self.assertEqual(play(Cadence({}, 0.0), 35), [
            (0, REPORT), (5, PING), (10, PING), (15, REPORT), (20, PING), (25, PING), (30, REPORT), (35, PING)])

    def test_no_replies(self):
        """What is missed goes out again at once; at the third failure the connection is given up."""
        self.assertEqual(play(Cadence({}, 0.0), 60, lambda now, action: False), [
            (0, REPORT), (3, REPORT), (6, REPORT), (9, LEAVE)])
        sent = play(Cadence({}, 0.0), 60, lambda now, action: now < 5)
        self.assertEqual(sent, [(0, REPORT), (5, PING), (8, PING), (11, PING), (14, LEAVE)])

    def test_a_reply_forgives(self):
        sent = play(Cadence({}, 0.0), 20, lambda now, action: now not in (5, 8))
        self.assertEqual(sent, [(0, REPORT), (5, PING), (8, PING), (11, PING), (15, REPORT), (20, PING)])

    def test_slow_figures(self):
        """A report counts from when it went out, not from when its figures were asked for."""
        cadence = Cadence({}, 0.0)
        self.assertEqual(cadence.next(0), (REPORT, 0))
        cadence.reported(0.9)
        self.assertEqual(cadence.next(1), (WAIT, 3.9))
        cadence.replied(REPORT)
        self.assertEqual(cadence.next(1), (WAIT, 5.9))

    def test_the_servers_values(self):
        cadence = Cadence({"ping_interval_ms": 1000, "status_interval_ms": 4000, "reply_timeout_ms": 500, "max_failures": 1}, 0.0)
        self.assertEqual(play(cadence, 5, lambda now, action: now < 5), [
            (0, REPORT), (1, PING), (2, PING), (3, PING), (4, REPORT), (5, PING)])
        self.assertEqual(cadence.next(5.5)[0], LEAVE)

    def test_nonsense(self):
        nonsense = {"ping_interval_ms": -1, "status_interval_ms": "x", "reply_timeout_ms": None, "max_failures": True}
        self.assertEqual(vars(Cadence(nonsense, 0))["ping_every"], 5)
        self.assertEqual(Cadence(nonsense, 0).max_failures, 3)
        bounded = Cadence({"ping_interval_ms": 1, "status_interval_ms": 10**12}, 0)
        self.assertEqual((bounded.ping_every, bounded.report_every), (0.1, 3600))


class RetryTest(unittest.TestCase):
    def setUp(self):
        self.retry = Retry(5, rand=lambda: 0.5)

    def verdict(self, **ending):
        return self.retry.after(Ending(**ending))

    def test_close_codes(self):
        for code, wait in ((0, 10), (1002, 10), (1003, 10), (1007, 10), (1009, 10), (1011, 10), (1008, 60), (4400, 10),
                           (4401, 10), (4408, 10), (4409, 60)):
            with self.subTest(code):
                self.assertEqual(self.verdict(logged_in=True, code=code).wait, wait)
        self.assertEqual(self.verdict(logged_in=True, code=1012, reason="retry_after_ms=1234").wait, 1.234)
        self.assertEqual(self.verdict(code=4429, reason="retry_after_ms=1").wait, 0.1)
        self.assertEqual(self.verdict(code=4429, reason="retry_after_ms=99999999999").wait, 3600)
        self.assertEqual(self.verdict(logged_in=True, code=1012, reason="soon").wait, 10)
        self.assertTrue(self.verdict(code=1000).stop)
        self.assertIsInstance(self.verdict(code=4410).error, DeviceGone)

    def test_tries(self):
        for _ in range(4):
            self.assertFalse(self.verdict(code=4400).stop)
        self.assertFalse(self.verdict(code=4429, reason="retry_after_ms=200").stop, "it is no try")
        self.assertFalse(self.verdict(refused=RpcError(-32005, "x", {"retry_after_ms": 200})).stop, "nor is this")
        self.assertFalse(self.verdict(logged_in=True).stop)
        for _ in range(4):
            self.assertFalse(self.verdict(reason="connect: refused").stop)
        self.assertIsInstance(self.verdict(reason="connect: refused").error, NoLogin)
        unlimited = Retry(None)
        self.assertFalse(any(unlimited.after(Ending()).stop for _ in range(1000)))

    def test_overloaded(self):
        wait = self.verdict(refused=RpcError(-32005, "x", {"retry_after_ms": 700}), code=4429, reason="").wait
        self.assertEqual(wait, 0.7)
        self.assertEqual(self.verdict(refused=RpcError(-32001, "x", {"retry_after_ms": 700})).wait, 10)

    def test_jitter(self):
        waits = [Retry(None).after(Ending(logged_in=True)).wait for _ in range(1000)]
        self.assertTrue(8 <= min(waits) < 8.5 and 11.5 < max(waits) <= 12, (min(waits), max(waits)))

    def test_credential(self):
        self.assertTrue(Ending(code=4401).credential_refused())
        self.assertTrue(Ending(refused=RpcError(-32001, "x")).credential_refused())
        self.assertFalse(Ending(code=4400).credential_refused())


if __name__ == "__main__":
    unittest.main()
