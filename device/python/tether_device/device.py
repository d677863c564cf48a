"""The device: its options, and the loop that keeps it connected."""

import asyncio
import inspect
import logging
import os
import re
import secrets
import ssl
import sys
import time
from urllib.parse import urlsplit

import websockets
from websockets.exceptions import WebSocketException

from .connection import CLOSE_TIMEOUT, Connection
from .orders import Orders, call
from .retry import DONE, Ending, Retry
from .rpc import MAX_MESSAGE
from .state import Journal, TokenFile
from .status import Status
from .upload import upload_log

_DIAL_TIMEOUT = 10.0  # TCP, TLS and the WebSocket handshake


def execute_anew():
    """The default restart: this process executes itself anew, with the same arguments and environment."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


class Device:
    """One device. Who it is: device_id, or device_sn with device_model; and its password.

    state_dir      the folder of the token and of the journal of orders; one process at a time may use it.
                   Default: $STATE_DIRECTORY, as systemd sets it, or ~/.config/tether-device
    max_tries      connections in a row that may fail to log in before run gives up; None: unlimited
    client         what the program says of itself at login: {"name": …, "version": …}
    tls            an ssl.SSLContext for wss, for roots of one's own. Certificates are always verified
    log_file       what upload_log uploads; default: such an order fails
    sftp           where to, if the order does not say: {"address", "host_key", "username", and "password" or "key_file"}
    remote_dir     the folder there
    order_timeout  seconds after which an order in a coroutine is cancelled; None: never
    custom         a function, plain or async, that returns the program's own figures for a report, within a second
    on_update      a function, plain or async, that is told the device's record when business changed it
    on_state       a function that is told "online" or "offline", and why. It must not block
    restart        what a restart order does, when the connection is closed; default: execute_anew
    disk_path      the file system that is reported
    logger         default: logging.getLogger("tether_device")
    boot_id        tells one start of the process from the next; default: random
    time_scale     a factor for the library's own waits, for tests
    """

    def __init__(self, url, *, device_id="", device_sn="", device_model="", password, state_dir=None, max_tries=5,
                 client=None, tls=None, log_file=None, sftp=None, remote_dir="/var/log/devices_management",
                 order_timeout=600.0, custom=None, on_update=None, on_state=None, restart=execute_anew, disk_path="/",
                 logger=None, boot_id=None, time_scale=1.0):
        _check(url, device_id, device_sn, device_model, password, tls)
        self.url, self.device_id = url, device_id
        self.sftp, self.log_file, self.remote_dir = sftp, log_file, remote_dir
        self.time_scale = time_scale
        self.log = logger or logging.getLogger("tether_device")
        self.state_dir = state_dir or os.environ.get("STATE_DIRECTORY", "").split(":")[0] or \
            os.path.expanduser("~/.config/tether-device")
        os.makedirs(self.state_dir, mode=0o700, exist_ok=True)
        self.status = Status(disk_path, custom, self.log)
        self.orders = None
        self._password = password
        self._names = {"device_id": device_id} if device_id else {"device_sn": device_sn, "device_model": device_model}
        self._token = TokenFile(self.state_dir, {"url": url, "sn": device_sn, "model": device_model})
        self._boot = {"boot_id": boot_id or secrets.token_hex(16), "client": client or {"name": "tether-device-python"}}
        self._tls, self._order_timeout = tls, order_timeout
        self._on_update, self._on_state, self._restart = on_update, on_state, restart
        self._handlers = {}
        self._max_tries = max_tries
        self._retry = None  # of a run
        self._server_time = None  # milliseconds at an instant of the monotonic clock
        self._connection = None
        self._stopped = None  # an Event while run runs
        self._restarting = False
        self._saved = None  # the writing of the token
        self._updates = []  # device_update calls that the program is told, or that wait for that

    def order(self, name):
        """Register the handler of an order, as a decorator. It is given the params, a dict.

        A coroutine function runs in the event loop and must not block it; a plain function runs on a thread, where
        it may. What it returns becomes the order's data: a dict as it is, anything else as {"value": …}. An
        exception fails the order with its text.
        """
        def register(handler):
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,63}", name) or name in ("restart", "upload_log") or name in self._handlers:
                raise ValueError(f"order {name!r}: no name for an order, or taken")
            self._handlers[name] = handler
            return handler
        return register

    async def run(self):
        """Connect, log in, report, carry out orders, connect again, until there is a reason to stop.

        Returns after stop and when the server closes with 1000; raises DeviceGone when the device is deleted or
        disabled, NoLogin after max_tries tries. After a restart order it calls restart, and returns if that does.
        """
        if self._stopped is not None:
            raise RuntimeError("run is running already")
        journal = Journal(self.state_dir, self.log)
        self._stopped, self._restarting = asyncio.Event(), False
        self._retry = Retry(self._max_tries, self.time_scale)
        self._saved = asyncio.ensure_future(asyncio.sleep(0))
        self._token.load(self._names.get("device_id", ""))
        self.orders = Orders(journal, self._find, self.server_time, self._restart_now, self.log, self._order_timeout,
                             self.time_scale)
        try:
            await self._stay_connected()
        finally:
            await self.orders.close()
            for update in self._updates:
                update.cancel()
            await self._saved
            await journal.close()
            self._stopped = None
        if self._restarting:
            done = self._restart()
            if inspect.isawaitable(done):
                await done

    def stop(self):
        """End run in good order: the connection is closed with 1000. To be called in the event loop."""
        if self._stopped is not None:
            self._stopped.set()
        if self._connection is not None:
            self._connection.leave(DONE, "restart" if self._restarting else "stopped")

    def server_time(self):
        """The server's time in milliseconds, going on from the last login by the monotonic clock."""
        if self._server_time is None:
            return int(time.time() * 1000)
        told, at = self._server_time
        return told + int((time.monotonic() - at) * 1000)

    async def _stay_connected(self):
        while not self._stopped.is_set():
            end = await self._connect()
            if self._stopped.is_set():
                return
            verdict = self._retry.after(end)
            await self._saved
            if end.credential_refused():
                await self._kept(self._token.forget())
            if verdict.stop:
                self.log.info("stopping: %s", end)
                if verdict.error is not None:
                    raise verdict.error
                return
            self.log.info("next try in %.1f s: %s", verdict.wait, end)
            try:
                await asyncio.wait_for(self._stopped.wait(), verdict.wait)
            except asyncio.TimeoutError:
                pass

    async def _connect(self):
        """Make one connection and stay with it to its end."""
        dialing = asyncio.ensure_future(self._dial())
        stopped = asyncio.ensure_future(self._stopped.wait())
        try:
            await asyncio.wait({dialing, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            if not dialing.done():
                dialing.cancel()
        try:
            ws = await dialing
        except asyncio.CancelledError:
            if not self._stopped.is_set():
                raise
            return Ending(reason="stopped")
        except (OSError, EOFError, asyncio.TimeoutError, WebSocketException) as error:
            return Ending(reason=f"connect: {str(error) or type(error).__name__}")
        self._connection = Connection(self, ws)
        if self._stopped.is_set():
            self.stop()  # it was told before there was a connection
        try:
            return await self._connection.run()
        finally:
            self._connection = None

    async def _dial(self):
        secure = {"ssl": self._tls or ssl.create_default_context()} if self.url.startswith("wss:") else {}
        return await websockets.connect(
            self.url, subprotocols=["tether.v1"], compression=None, max_size=MAX_MESSAGE, max_queue=16,
            open_timeout=_DIAL_TIMEOUT, close_timeout=CLOSE_TIMEOUT, ping_interval=None, **secure)

    # What a connection asks of its device

    def credentials(self):
        """The params of login: the token while it is good, or else the password."""
        token = self._token
        if token.token and self.server_time() < token.expires:
            return {"device_id": token.device_id, "token": token.token, **self._boot}
        return {**self._names, "password": self._password, **self._boot}

    def logged_in(self, device_id, token, expires, server_time):
        self.device_id = device_id
        self._server_time = server_time, time.monotonic()
        self._saved = asyncio.ensure_future(self._kept(self._token.keep(device_id, token, expires)))
        self.notify("online", "login")

    def notify(self, state, cause):
        if self._on_state is not None:
            try:
                self._on_state(state, cause)
            except Exception:
                self.log.exception("on_state raised")

    def update(self, record, most):
        """Tell the program of a device_update, one after the other; a Future of the answer, None: too many wait."""
        if len(self._updates) >= most:
            return None
        update = asyncio.ensure_future(self._tell(record, self._updates[-1:]))
        self._updates.append(update)
        update.add_done_callback(self._updates.remove)
        return update

    async def _tell(self, record, before):
        if before:
            await asyncio.wait(before)
        try:
            if self._on_update is not None:
                await call(self._on_update, record)
        except Exception:
            self.log.exception("on_update raised")
        return {}

    async def _kept(self, writing):
        try:
            await writing
        except OSError as error:
            self.log.error("token file: %s", error)

    def _find(self, order):
        """Who carries an order out: the library its own, what was registered all others."""
        if not order["is_inner"]:
            handler = self._handlers.get(order["order_type"])
            return handler and _with_params(handler)
        if order["order_type"] == "upload_log":
            async def upload(order):
                return await upload_log(order, self)
            return upload
        if order["order_type"] == "restart":
            async def accept(_):
                return None  # what follows is the restart dialogue
            return accept
        return None

    def _restart_now(self):
        self._restarting = True
        self.stop()


def _with_params(handler):
    if inspect.iscoroutinefunction(handler):
        async def carry_out(order):
            return await handler(order["params"])
    else:
        def carry_out(order):
            return handler(order["params"])
    return carry_out


def _check(url, device_id, device_sn, device_model, password, tls):
    """Say what is wrong, never repeating a secret."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        raise ValueError("url: must be ws://host:port/path or wss://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url: must not carry a credential")
    if bool(device_id) == bool(device_sn or device_model) or bool(device_sn) != bool(device_model):
        raise ValueError("device_id: required, or device_sn and device_model")
    if device_id and not re.fullmatch(r"[0-9]{1,20}", device_id):
        raise ValueError("device_id: must be decimal digits")
    if not password or len(password.encode()) > 72:
        raise ValueError("password: required, at most 72 bytes")
    if tls is not None and (tls.verify_mode != ssl.CERT_REQUIRED or not tls.check_hostname):
        raise ValueError("tls: certificates are always verified, and the name in them; load the server's issuer into the context")
