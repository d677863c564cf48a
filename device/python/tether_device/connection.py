"""One connection, from its handshake to its end: login, heartbeat, the server's requests."""

import asyncio
import time

from websockets.exceptions import ConnectionClosed

from .cadence import LEAVE, PING, REPORT, Cadence
from .retry import DONE, POLICY, Ending
from .rpc import INVALID_PARAMS, LOGIN_REQUIRED, MAX_MALFORMED, OVERLOADED, Peer, RpcError
from .state import KEEP

LOGIN_TIMEOUT = 10.0  # seconds from the login request to its reply
CLOSE_TIMEOUT = 1.0  # for the server's close frame
_OUTBOX = 256  # messages that wait for a server that does not read
_RATE, _BURST = 50, 250  # messages a second of a server, and at once (reliability T42)
_UPDATES = 16  # device_update calls that wait for the program
_BINARY, _INTERNAL, _LIVENESS = 1003, 1011, 4408  # close codes


class Connection:
    """device is the Device; ws the open WebSocket. run returns the Ending, and leaves nothing behind."""

    def __init__(self, device, ws):
        self._device = device
        self._ws = ws
        self._log = device.log
        self._peer = Peer(self._put, {
            "give_order": self._give_order, "restart_confirm": self._restart_confirm, "device_update": self._device_update,
        })
        self._outbox = asyncio.Queue(_OUTBOX)
        self._wake = asyncio.Event()  # the heartbeat has something new to look at
        self._cadence = None  # before the login
        self._awaited = {}  # ids of the ping and of the report that wait for their replies
        self._reports = 0
        self._allowance, self._heard = _BURST, time.monotonic()
        self._closing = None
        self._tasks = set()
        self._device_id = ""
        self._end = Ending()

    async def run(self):
        self._task(self._write())
        self._task(self._beat())
        try:
            self._login()
            while True:
                self._receive(await self._ws.recv())
        except ConnectionClosed as closed:
            if closed.rcvd is not None and closed.rcvd_then_sent:  # its word, not the echo of ours
                self._end.code, self._end.reason = closed.rcvd.code, closed.rcvd.reason
            else:
                self._end.reason = self._end.reason or "connection lost"
        finally:
            closing = self._closing or asyncio.ensure_future(self._close(DONE, "stopped"))
            self._closing = closing
            others = self._tasks - {closing}
            for task in others:
                task.cancel()
            await asyncio.gather(closing, *others, return_exceptions=True)
        if self._end.logged_in:
            self._log.info("connection lost: %s", self._end)
            self._device.notify("offline", str(self._end))
        return self._end

    def leave(self, code, cause):
        """Give the connection up. The first cause counts."""
        if self._closing is None:
            self._end.reason = cause
            self._closing = self._task(self._close(code, cause))

    async def _close(self, code, cause):
        closing = asyncio.ensure_future(self._ws.close(code, cause))
        await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT)
        self._ws.transport.abort()  # if the server's close frame has not come, it will not
        await closing

    def _task(self, work):
        """Work that ends with the connection; an error in it ends the connection."""
        def done(task):
            self._tasks.discard(task)
            if not task.cancelled() and task.exception() is not None:
                self._broken(task.exception())
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(done)
        return task

    def _broken(self, error):
        self._log.error("error inside the device", exc_info=error)
        self.leave(_INTERNAL, "error inside the device")

    def _put(self, text):
        try:
            self._outbox.put_nowait(text)
        except asyncio.QueueFull:
            self.leave(_LIVENESS, "the server does not read")

    async def _write(self):
        try:
            while True:
                await self._ws.send(await self._outbox.get())
        except ConnectionClosed:
            pass  # run learns of it too

    def _receive(self, message):
        if self._closing is not None:
            return  # what still arrives is discarded
        now = time.monotonic()
        self._allowance = min(_BURST, self._allowance + (now - self._heard) * _RATE) - 1
        self._heard = now
        if self._allowance < 0:
            self.leave(POLICY, "a flood")
            return
        if isinstance(message, bytes):
            self.leave(_BINARY, "binary frame")
            return
        try:
            self._peer.receive(message)
        except Exception as error:
            self._broken(error)
        if self._peer.malformed >= MAX_MALFORMED:
            self.leave(POLICY, "malformed messages")

    # Login

    def _login(self):
        params = self._device.credentials()
        form = "token" if "token" in params else "password"
        self._peer.call("login", params, lambda result, error: self._logged_in(result, error, form))

    def _logged_in(self, result, error, form):
        if error is not None:
            self._end.refused = error  # the server's close follows, and says the rest
            self._log.warning("login refused: %s", error.message)
            return
        try:
            self._device_id = _digits(result["device_id"], "device_id")
            token, expires, server_time = str(result["token"]), int(result["token_expires_time"]), int(result["server_time"])
            unsettled = [str(order_id) for order_id in result.get("unsettled_orders") or []][:KEEP]
            heartbeat = dict(result.get("heartbeat") or {})
        except (KeyError, TypeError, ValueError, RpcError):
            self.leave(_INTERNAL, "login reply not understood")
            return
        self._end.logged_in = True
        self._cadence = Cadence(heartbeat, time.monotonic())
        self._wake.set()
        self._log.info("logged in as %s by %s", self._device_id, form)
        self._device.logged_in(self._device_id, token, expires, server_time)
        self._hand_in(unsettled)

    def _hand_in(self, order_ids):
        """Tell, one after the other, what the journal says of orders whose outcome the server does not know."""
        for n, order_id in enumerate(order_ids):
            outcome = self._device.orders.outcome(order_id)
            if isinstance(outcome, asyncio.Future):
                outcome.add_done_callback(lambda future, at=order_id: self._later(at, future))
            elif outcome is not None:
                self._upload(order_id, outcome, order_ids[n + 1:])
                return

    def _later(self, order_id, future):
        if not future.cancelled() and self._closing is None:
            self._upload(order_id, future.result(), [])

    def _upload(self, order_id, result, rest):
        def answered(_, error):
            if error is None:
                self._log.info("order %s: result handed in", order_id)
            else:
                self._log.warning("order %s: result refused: %s", order_id, error.message)
            self._hand_in(rest)
        self._peer.call("upload_instruction_result", {"order_id": order_id, **result}, answered)

    # Heartbeat

    async def _beat(self):
        try:
            await asyncio.wait_for(self._wake.wait(), LOGIN_TIMEOUT * self._device.time_scale)
        except asyncio.TimeoutError:
            self.leave(_LIVENESS, "no reply to login")
            return
        while self._closing is None:
            action, wake = self._cadence.next(time.monotonic())
            if action == LEAVE:
                self.leave(_LIVENESS, "no replies")
            elif action == PING:
                self._send(PING, "ping", None)
            elif action == REPORT:
                self._reports += 1
                self._peer.forget(self._awaited.get(REPORT))
                self._task(self._report(self._reports))
            else:
                self._wake.clear()
                try:
                    await asyncio.wait_for(self._wake.wait(), max(0, wake - time.monotonic()))
                except asyncio.TimeoutError:
                    pass

    def _send(self, which, method, params):
        """One is awaited: the one before it is given up, answered or not."""
        def replied(_, error):
            if error is not None:
                self._log.warning("%s: %s", method, error.message)
            self._cadence.replied(which)
            self._wake.set()
        self._peer.forget(self._awaited.get(which))
        self._awaited[which] = self._peer.call(method, params, replied)

    async def _report(self, number):
        report = await self._device.status.collect(self._device_id)
        if number == self._reports and self._closing is None:
            self._cadence.reported(time.monotonic())
            self._send(REPORT, "upload_status_info", report)

    # The server's requests

    def _members(self, params, /, **types):
        """The members that are required, checked."""
        if not self._device_id:
            raise RpcError(LOGIN_REQUIRED, "login required")
        if not isinstance(params, dict):
            raise RpcError(INVALID_PARAMS, "params: must be an object")
        for name, kind in types.items():
            value = params.get(name)
            if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
                raise RpcError(INVALID_PARAMS, f"{name}: must be {_KINDS[kind]}")
        if params.get("device_id") not in (None, "", self._device_id):
            raise RpcError(INVALID_PARAMS, "device_id: is another device's")
        return params

    def _give_order(self, params, wanted):
        if not wanted:
            return None  # nobody would learn how it ended
        order = self._members(params, order_id=str, order_type=str, is_inner=bool, params=dict, deadline_time=int)
        _digits(order["order_id"], "order_id")
        if not isinstance(order.get("sftp"), (dict, type(None))):
            raise RpcError(INVALID_PARAMS, "sftp: must be an object")
        return self._device.orders.give(order)

    def _restart_confirm(self, params, _):
        self._device.orders.confirm(self._members(params, order_id=str)["order_id"])
        return {}

    def _device_update(self, params, _):
        record = self._members(params, device_id=str)
        self._log.info("device_update: %s", record.get("device_name"))
        told = self._device.update(record, _UPDATES)
        if told is None:
            raise RpcError(OVERLOADED, "too many updates wait")
        return told


_KINDS = {str: "a string", bool: "true or false", dict: "an object", int: "an integer"}


def _digits(value, name):
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 20:
        raise RpcError(INVALID_PARAMS, f"{name}: must be decimal digits")
    return value
