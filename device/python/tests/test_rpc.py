import asyncio
import json
import unittest

from tether_device.rpc import MAX_BATCH, Peer, RpcError, encode, parse


def error(code, number=None):
    return {"id": number, "error": code}


class PeerTest(unittest.TestCase):
    def setUp(self):
        self.sent = []
        self.peer = Peer(self.sent.append, {"echo": lambda params, wanted: params, "refuse": self.refuse})

    def refuse(self, params, wanted):
        raise RpcError(-32602, "name: must be a string")

    def answers(self, text):
        """What a message is answered, errors by their codes."""
        self.sent.clear()
        self.peer.receive(text)
        def brief(m):
            self.assertEqual(m["jsonrpc"], "2.0")
            return {"id": m["id"], "error": m["error"]["code"]} if "error" in m else {"id": m["id"], "result": m["result"]}
        whole = [json.loads(text) for text in self.sent]
        return [[brief(m) for m in one] if isinstance(one, list) else brief(one) for one in whole]

    def test_messages(self):
        deep = lambda n: '{"jsonrpc":"2.0","id":1,"method":"echo","params":' + "[" * n + "]" * n + "}"
        number = lambda n: '{"jsonrpc":"2.0","id":1,"method":"echo","params":[%s]}' % ("1" * n)
        for text, want in (
            ('{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}', [{"id": 1, "result": [1]}]),
            ('{"jsonrpc":"2.0","id":"1","method":"echo","params":[1]}', [{"id": "1", "result": [1]}]),
            ('{"jsonrpc":"2.0","id":-7,"method":"echo","params":{}}', [{"id": -7, "result": {}}]),
            ('{"jsonrpc":"2.0","method":"echo","params":[1]}', []),
            ('{"jsonrpc":"2.0","method":"nothing"}', []),
            ('{"jsonrpc":"2.0","method":"echo","params":1}', []),
            ('{"jsonrpc":"2.0","id":2,"method":"nothing"}', [error(-32601, 2)]),
            ('{"jsonrpc":"2.0","id":2,"method":"refuse"}', [error(-32602, 2)]),
            ('{"jsonrpc":"2.0","id":null,"method":"echo"}', [error(-32600)]),
            ('{"jsonrpc":"2.0","id":1.5,"method":"echo"}', [error(-32600)]),
            ('{"jsonrpc":"2.0","id":true,"method":"echo"}', [error(-32600)]),
            ('{"jsonrpc":"2.0","id":"\\ud800","method":"echo"}', [error(-32600)]),
            ('{"jsonrpc":"2.0","id":3,"method":1}', [error(-32600, 3)]),
            ('{"jsonrpc":"1.0","id":3,"method":"echo"}', [error(-32600, 3)]),
            ('{"jsonrpc":"2.0","id":3,"method":"echo","params":"x"}', [error(-32600, 3)]),
            ('{"jsonrpc":"2.0","id":3,"method":"echo","result":1}', [error(-32600, 3)]),
            ('{"jsonrpc":"2.0","id":3,"method":"echo","method":"echo"}', [error(-32600, 3)]),
            ('{"JSONRPC":"2.0","id":3,"method":"echo"}', [error(-32600, 3)]),
            ("{}", [error(-32600)]), ("1", [error(-32600)]), ("null", [error(-32600)]), ('"x"', [error(-32600)]),
            ("", [error(-32700)]), ("{", [error(-32700)]), ("NaN", [error(-32700)]), ('{"a":1}x', [error(-32700)]),
            ("[[1]", [error(-32700)]), ("[" * 50_000, [error(-32600)]),
            (deep(31), [{"id": 1, "result": json.loads("[" * 31 + "]" * 31)}]), (deep(32), [error(-32600, 1)]),
            (number(32), [{"id": 1, "result": [int("1" * 32)]}]), (number(33), [error(-32600, 1)]),
            ("[]", [error(-32600)]),
            ("[1,2]", [[error(-32600), error(-32600)]]),
            ('[{"jsonrpc":"2.0","id":1,"method":"echo","params":[]},{"jsonrpc":"2.0","method":"echo"},{"foo":1},'
             '{"jsonrpc":"2.0","id":2,"method":"nothing"}]', [[{"id": 1, "result": []}, error(-32600), error(-32601, 2)]]),
            ('[{"jsonrpc":"2.0","method":"echo"}]', []),
            ('[{"jsonrpc":"2.0","id":1,"result":1}]', [[error(-32600, 1)]]),
            ("[%s]" % ",".join(["1"] * MAX_BATCH), [[error(-32600)] * MAX_BATCH]),
            ("[%s]" % ",".join(["1"] * (MAX_BATCH + 1)), [error(-32600)]),
        ):
            with self.subTest(text[:100]):
                self.assertEqual(self.answers(text), want)

    def test_calls(self):
        """A reply belongs to one call, once; whatever else it is, it is unasked."""
        got = []
        number = self.peer.call("ping", None, lambda result, fault: got.append((result, fault and fault.code)))
        self.assertEqual(json.loads(self.sent[0]), {"jsonrpc": "2.0", "id": number, "method": "ping"})
        for wrong in (f'"{number}"', str(number + 1), "null", "[]", "1.0"):
            self.peer.receive('{"jsonrpc":"2.0","id":%s,"result":"pong"}' % wrong)
        self.assertEqual((got, self.peer.malformed), ([], 5))
        self.peer.receive('{"jsonrpc":"2.0","id":%d,"result":"pong"}' % number)
        self.assertEqual((got, self.peer.malformed), ([("pong", None)], 0))
        self.peer.receive('{"jsonrpc":"2.0","id":%d,"result":"pong"}' % number)
        self.assertEqual((len(got), self.peer.malformed), (1, 1))
        second = self.peer.call("ping", None, lambda result, fault: got.append((result, fault and fault.code)))
        self.assertGreater(second, number)
        self.peer.receive('{"jsonrpc":"2.0","id":%d,"error":{"code":-32005,"message":"x"}}' % second)
        self.assertEqual(got[1], (None, -32005))
        third = self.peer.call("ping", None, got.append)
        self.peer.forget(third)
        self.peer.receive('{"jsonrpc":"2.0","id":%d,"result":"pong"}' % third)
        self.assertEqual(len(got), 2)

    def test_malformed_in_a_row(self):
        for n in range(1, 4):
            self.peer.receive("x")
            self.assertEqual(self.peer.malformed, n)
        self.peer.receive('{"jsonrpc":"2.0","method":"echo"}')
        self.assertEqual(self.peer.malformed, 0)

    def test_later(self):
        """A Future is answered when it is done, a batch when all of it is."""
        async def talk():
            first, second = asyncio.get_running_loop().create_future(), asyncio.get_running_loop().create_future()
            waiting = iter((first, second))
            peer = Peer(self.sent.append, {"wait": lambda params, wanted: next(waiting)})
            peer.receive('[{"jsonrpc":"2.0","id":1,"method":"wait"},{"jsonrpc":"2.0","id":2,"method":"wait"}]')
            second.set_result("b")
            await asyncio.sleep(0)
            self.assertEqual(self.sent, [])
            first.set_exception(RpcError(-32603, "internal error"))
            await asyncio.sleep(0)
        asyncio.run(talk())
        first, second = json.loads(self.sent[0])
        self.assertEqual((first["error"]["code"], second["result"]), (-32603, "b"))


class JSONTest(unittest.TestCase):
    def test_encode(self):
        self.assertEqual(encode({"灯": 1.5}), '{"灯":1.5}')
        for wrong in (float("nan"), "\ud800", object(), {1: {2}}):
            with self.subTest(repr(wrong)), self.assertRaises((ValueError, TypeError)):
                encode(wrong)

    def test_parse(self):
        self.assertEqual(parse('{"a":[1,2.5]}'), ({"a": [1, 2.5]}, None))
        self.assertEqual(parse('{"a":1,"a":2}')[1], "a name occurs twice in an object")


if __name__ == "__main__":
    unittest.main()
