"""One JSON-RPC 2.0 peer: what a message is, who is answered, which call a reply belongs to.

It has no socket and no clock. Everything here is called by the connection, in
the order in which messages arrive (southbound section 1).
"""

import asyncio
import itertools
import json

MAX_MESSAGE = 64 << 10  # bytes of a WebSocket message
MAX_BATCH = 64  # members of a batch
MAX_DEPTH = 32  # nesting of JSON
MAX_INNER = MAX_DEPTH - 2  # of a result's data and of custom figures, which travel inside two objects
MAX_NUMBER = 32  # characters of a JSON number
MAX_MALFORMED = 20  # malformed messages or unasked replies in a row

PARSE_ERROR, INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = -32700, -32600, -32601, -32602, -32603
LOGIN_FAILED, LOGIN_REQUIRED, OVERLOADED = -32001, -32002, -32005

_REASONS = {
    PARSE_ERROR: "parse_error", INVALID_REQUEST: "invalid_request", METHOD_NOT_FOUND: "method_not_found",
    INVALID_PARAMS: "invalid_params", INTERNAL: "internal", LOGIN_REQUIRED: "login_required", OVERLOADED: "overloaded",
}

_ids = itertools.count(1)  # no id is used twice in a process, on whatever connection


class RpcError(Exception):
    """An error of the contract's section 6, ours or the server's."""

    def __init__(self, code, message, data=None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data if isinstance(data, dict) else {}

    def wire(self):
        data = {"reason": _REASONS.get(self.code, "error"), "retryable": self.code in (INTERNAL, OVERLOADED)}
        return {"code": self.code, "message": self.message, "data": data}


def encode(value):
    """The JSON text of a value. ValueError or TypeError: it has none that can travel."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text.encode()  # a lone surrogate is no text
    return text


def parse(text, depth=MAX_DEPTH):
    """The value of a JSON text, and what the contract forbids in it, if anything. ValueError: it is no JSON."""
    faults = []

    def number(make):
        def convert(digits):
            if len(digits) <= MAX_NUMBER:
                return make(digits)
            faults.append("a number is too long")
            return None
        return convert

    def members(pairs):
        found = dict(pairs)
        if len(found) < len(pairs):
            faults.append("a name occurs twice in an object")
        return found

    def constant(name):
        raise ValueError(name)  # NaN and Infinity are Python's own

    try:
        value = json.loads(text, object_pairs_hook=members, parse_int=number(int), parse_float=number(float),
                           parse_constant=constant)
    except RecursionError:
        return None, "nested too deep"
    if _depth(value) > depth:
        faults.append("nested too deep")
    return value, faults[0] if faults else None


def _depth(value):
    depth, level = 0, [value]
    while True:
        level = [v for v in level if isinstance(v, (dict, list))]
        if not level:
            return depth
        depth += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]


def _legal_id(value):
    if isinstance(value, str):
        return not any("\ud800" <= c <= "\udfff" for c in value)
    return isinstance(value, int) and not isinstance(value, bool)


class Peer:
    """Both halves of the protocol over one connection.

    send takes a text and does not wait. methods maps a name to a function of
    (params, wanted), which returns a result or a Future of one, or raises
    RpcError; wanted is false for a notification.
    """

    def __init__(self, send, methods):
        self._send = send
        self._methods = methods
        self._calls = {}  # what waits for a reply, by id
        self.malformed = 0  # in a row

    def call(self, method, params, on_reply):
        """Send a request. on_reply(result, error) is called when the reply is read, before anything behind it."""
        number = next(_ids)
        self._calls[number] = on_reply
        request = {"jsonrpc": "2.0", "id": number, "method": method}
        if params is not None:
            request["params"] = params
        self._send(encode(request))
        return number

    def forget(self, number):
        """Give a call up: its reply, should it come, is too late."""
        self._calls.pop(number, None)

    def receive(self, text):
        """Handle one message."""
        try:
            value, fault = parse(text)
        except ValueError:
            self._answer(self._refusal(PARSE_ERROR, "parse error"))
            return
        if isinstance(value, list):
            self._batch(value, fault)
        else:
            self._message(value, fault, self._answer)

    def _answer(self, response):
        if response is not None:
            self._send(encode(response))

    def _refusal(self, code, why, number=None):
        self.malformed += 1
        return {"jsonrpc": "2.0", "id": number, "error": RpcError(code, why).wire()}

    def _batch(self, members, fault):
        if fault or not 0 < len(members) <= MAX_BATCH:
            why = fault or ("the batch is too large" if members else "the batch is empty")
            self._answer(self._refusal(INVALID_REQUEST, f"invalid request: {why}"))
            return
        answers, missing = {}, len(members)

        def answer_at(slot):
            def answer(response):
                nonlocal missing
                answers[slot] = response
                missing -= 1
                if missing == 0:
                    told = [answers[i] for i in range(len(members)) if answers[i] is not None]
                    self._answer(told or None)
            return answer

        for slot, member in enumerate(members):
            self._message(member, None, answer_at(slot), alone=False)

    def _message(self, m, fault, answer, alone=True):
        """Judge one object. answer is called once: with the response, or None where none is due."""
        if isinstance(m, dict) and "method" not in m and ("result" in m or "error" in m) and alone and not fault:
            self._reply(m)
            answer(None)
            return
        why = fault or _wrong(m)
        if why is None:
            self.malformed = 0
            self._request(m, answer)
        elif isinstance(m, dict) and "id" not in m and m.get("jsonrpc") == "2.0" and isinstance(m.get("method"), str):
            self.malformed += 1  # a notification is never answered, whatever it holds
            answer(None)
        else:
            number = m.get("id") if isinstance(m, dict) and _legal_id(m.get("id")) else None
            answer(self._refusal(INVALID_REQUEST, f"invalid request: {why}", number))

    def _reply(self, m):
        number = m.get("id")
        on_reply = self._calls.pop(number, None) if type(number) is int else None
        if on_reply is None or m.get("jsonrpc") != "2.0" or ("result" in m) == ("error" in m):
            self.malformed += 1
            return
        self.malformed = 0
        if "result" in m:
            on_reply(m["result"], None)
            return
        fault = m["error"] if isinstance(m["error"], dict) else {}
        code, message = fault.get("code"), fault.get("message")
        on_reply(None, RpcError(code if type(code) is int else INTERNAL, str(message)[:1024], fault.get("data")))

    def _request(self, m, answer):
        def respond(member, value):
            answer({"jsonrpc": "2.0", "id": m["id"], member: value} if "id" in m else None)

        def settled(future):
            if not future.cancelled():
                error = future.exception()
                respond("error", error.wire()) if error else respond("result", future.result())

        method = self._methods.get(m["method"])
        try:
            if method is None:
                raise RpcError(METHOD_NOT_FOUND, "no such method")
            result = method(m.get("params"), "id" in m)
        except RpcError as error:
            respond("error", error.wire())
            return
        if isinstance(result, asyncio.Future):
            result.add_done_callback(settled)
        else:
            respond("result", result)


def _wrong(m):
    """What keeps a value from being a request; None: it is one."""
    if not isinstance(m, dict):
        return "not an object"
    if m.get("jsonrpc") != "2.0":
        return 'jsonrpc must be "2.0"'
    if not isinstance(m.get("method"), str):
        return "method must be a string"
    if "result" in m or "error" in m:
        return "a request has neither result nor error"
    if "id" in m and not _legal_id(m["id"]):
        return "id must be a string or an integer"
    if "params" in m and not isinstance(m["params"], (dict, list)):
        return "params must be an object or an array"
    return None
