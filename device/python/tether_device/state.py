"""What lies in the state folder: the token of the last login, and the journal of orders.

Writing is done aside from the event loop, on threads of its own: a slow disk
does not cost the connection its heartbeat.
"""

import asyncio
import json
import logging
import os
import tempfile
import threading
import zlib

KEEP = 64  # orders remembered: as many as a server asks for
_MAX_LINES = 4 * KEEP  # lines of the journal before it is written anew

INTERRUPTED = {"status": "fail", "message": "interrupted"}


async def in_thread(function, *args):
    """asyncio.to_thread on a daemon thread: one that hangs keeps neither the process nor other work from ending."""
    loop = asyncio.get_running_loop()
    done = loop.create_future()

    def settle(outcome):
        if not done.cancelled():
            done.set_result(outcome)

    def work():
        try:
            outcome = function(*args), None
        except Exception as error:
            outcome = None, error
        except BaseException as error:  # sys.exit in a handler ends the order, not the device
            outcome = None, RuntimeError(repr(error))
        try:
            loop.call_soon_threadsafe(settle, outcome)
        except RuntimeError:
            pass  # the loop is closed: nobody waits

    threading.Thread(target=work, daemon=True).start()
    value, error = await done
    if error is not None:
        raise error
    return value


def replace_file(path, data):
    """Put data at path whole or not at all, through a power loss as well. Mode 0600."""
    folder = os.path.dirname(path)
    handle, temporary = tempfile.mkstemp(prefix=os.path.basename(path) + ".", suffix=".tmp", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class TokenFile:
    """The credential of the last login, with what it belongs to: no other server or device is shown it."""

    def __init__(self, folder, owner):
        self._path = os.path.join(folder, "token.json")
        self._owner = owner  # url, sn and model of the configuration
        self._lock = asyncio.Lock()
        self.device_id = self.token = ""
        self.expires = 0

    def load(self, device_id):
        """A file that is missing, torn or another device's is no credential: the password serves."""
        try:
            with open(self._path, encoding="utf-8") as file:
                kept = json.load(file)
            mine = all(kept[name] == value for name, value in self._owner.items())
            if mine and device_id in ("", kept["device_id"]):
                self._set(str(kept["device_id"]), str(kept["token"]), int(kept["token_expires_time"]))
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def _set(self, device_id, token, expires):
        self.device_id, self.token, self.expires = device_id, token, expires

    async def keep(self, device_id, token, expires):
        self._set(device_id, token, expires)
        kept = {**self._owner, "device_id": device_id, "token": token, "token_expires_time": expires}
        async with self._lock:
            await in_thread(replace_file, self._path, json.dumps(kept).encode())

    async def forget(self):
        self._set("", "", 0)
        async with self._lock:
            await in_thread(self._remove)

    def _remove(self):
        if os.path.exists(self._path):
            os.unlink(self._path)


class Journal:
    """Which orders were begun and how they ended: what keeps an order from being carried out twice.

    The file has a line for each beginning and each result, in the form
    "crc32 json", synced when it is written. What a crash tore is known by its
    sum. What a dead process had begun and not ended is settled when the file
    is opened, once and for all, as interrupted. Where the disk takes nothing,
    no order is begun until it does.
    """

    def __init__(self, folder, log=logging.getLogger("tether_device")):
        self._path = os.path.join(folder, "journal")
        self._orders = {}  # results by id, None while there is none, in order of beginning
        self._lock = asyncio.Lock()  # one writer at a time
        for order_id, result in self._read():
            self._apply(order_id, result)
        for order_id, result in self._orders.items():
            self._orders[order_id] = result or INTERRUPTED
        self._trim()
        self._file = self._lines = None
        try:
            self._rewrite(self._encode())
            self._lines = len(self._orders)
        except OSError as error:
            log.error("journal: %s", error)

    def result(self, order_id):
        """The remembered result; None: the order is unknown, or has none yet."""
        return self._orders.get(order_id)

    async def begin(self, order_id):
        """An order is about to be carried out. If this raises, it must not be."""
        await self._append(order_id, None)
        self._apply(order_id, None)

    async def end(self, order_id, result):
        """An order has ended. The result is remembered even where the disk fails, which raises."""
        self._apply(order_id, result)
        self._trim()
        await self._append(order_id, result)

    async def close(self):
        async with self._lock:
            if self._file is not None:
                self._file.close()

    def _apply(self, order_id, result):
        self._orders[order_id] = self._orders.get(order_id) or result  # the first result stays

    def _trim(self):
        ended = [order_id for order_id, result in self._orders.items() if result is not None]
        for order_id in ended[:max(0, len(self._orders) - KEEP)]:
            del self._orders[order_id]

    async def _append(self, order_id, result):
        async with self._lock:
            line = _line(order_id, result)
            # After a write that failed, nobody knows what the file ends with.
            whole = self._encode() if self._lines is None or self._lines >= _MAX_LINES else None
            lines = (len(self._orders) if whole is not None else self._lines) + 1
            self._lines = None
            if whole is None:
                await in_thread(self._write, line)
            else:
                await in_thread(self._rewrite, whole + line)
            self._lines = lines

    def _write(self, line):
        if self._file.write(line) != len(line):
            raise OSError("the journal's disk is full")
        os.fsync(self._file.fileno())

    def _rewrite(self, content):
        replace_file(self._path, content)
        if self._file is not None:
            self._file.close()
        self._file = open(self._path, "ab", buffering=0)

    def _encode(self):
        return b"".join(_line(order_id, result) for order_id, result in self._orders.items())

    def _read(self):
        try:
            with open(self._path, "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines[:-1]:  # what has no end of line is torn
            checksum, _, body = line.partition(b" ")
            if checksum == b"%08x" % zlib.crc32(body):
                record = json.loads(body)
                yield record["order_id"], record.get("result")


def _line(order_id, result):
    record = {"order_id": order_id} if result is None else {"order_id": order_id, "result": result}
    body = json.dumps(record).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)
