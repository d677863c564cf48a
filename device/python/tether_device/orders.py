"""Orders: one at a time, each id once, and the restart dialogue (southbound section 3).

Connections come and go around it: an order goes on when the one that brought
it is lost.
"""

import asyncio
import collections
import inspect

from .rpc import MAX_INNER, MAX_MESSAGE, encode, parse
from .state import in_thread

RESTART_GRACE = 3.0  # seconds that restart_confirm is waited for
MAX_DATA = MAX_MESSAGE - (8 << 10)  # bytes of a result's data: it travels in one message
_MAX_TEXT = 1 << 10  # bytes of a result's message
_MAX_ASKERS = 8  # who wait for one order, the same id given again and again: the oldest make room


class OrderFailed(Exception):
    """Raised by a handler: the order has failed, with this text."""


def failed(message):
    return {"status": "fail", "message": message}


def failure(error):
    """The result of an order whose handler raised."""
    text = str(error) or type(error).__name__
    return failed(text.encode("utf-8", "replace")[:_MAX_TEXT].decode("utf-8", "ignore"))


def success(value):
    """The result of an order whose handler returned: an object as it is, anything else as {"value": …}."""
    result = {"status": "success", "message": "done"}
    if value is None:
        return result
    data = value if isinstance(value, dict) else {"value": value}
    try:
        text = encode(data)
        if len(text.encode()) > MAX_DATA:
            result["message"] = f"done; its data is left out: more than {MAX_DATA} bytes"
        else:
            data, fault = parse(text, MAX_INNER)  # as the server will read it
            if fault:
                raise ValueError(fault)
            result["data"] = data
    except (TypeError, ValueError, RecursionError) as error:
        result["message"] = f"done; its data has no JSON form: {error}"[:_MAX_TEXT]
    return result


async def call(function, *args):
    """Call what a program gave us: a coroutine function here, any other on a thread, which may block."""
    if inspect.iscoroutinefunction(function):
        return await function(*args)
    value = await in_thread(function, *args)
    return await value if inspect.isawaitable(value) else value


class _Job:
    def __init__(self, order):
        self.order = order
        self.askers = collections.deque(maxlen=_MAX_ASKERS)  # Futures of those who want to know how it ends
        self.settled = False


class Orders:
    """find(order) is the handler, a function of the order, or None. restart() is called when a restart's time has come."""

    def __init__(self, journal, find, clock, restart, log, timeout, scale):
        self._journal = journal
        self._find = find
        self._clock = clock  # the server's time in milliseconds
        self._restart = restart
        self._log = log
        self._timeout = timeout
        self._grace = RESTART_GRACE * scale
        self._running = None  # an accepted restart stays here for good
        self._confirmed = None  # an Event, while a restart waits for its confirmation
        self._tasks = set()

    def give(self, order):
        """Take an order. The result is known already, or a Future of it. An id that is known is never begun again."""
        order_id = order["order_id"]
        asked = self._ask(order_id)
        if asked:
            return asked
        known = self._journal.result(order_id)
        if known:
            return known
        if self._running:
            return self._task(self._record(order, failed("busy")))
        self._running = _Job(order)
        asked = self._ask(order_id)
        self._task(self._work(self._running))
        return asked

    def outcome(self, order_id):
        """How an order ended, or a Future of it while it is carried out; None: nothing is known of it."""
        return self._ask(order_id) or self._journal.result(order_id)

    def confirm(self, order_id):
        """restart_confirm: it counts only for the restart order that waits for it."""
        if self._confirmed is None or self._running.order["order_id"] != order_id:
            self._log.warning("restart_confirm of order %s ignored", order_id)
            return
        self._confirmed.set()

    async def close(self):
        """Cancel what is carried out. The journal has it as begun: the next start says interrupted."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _task(self, work):
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _ask(self, order_id):
        job = self._running
        if job is None or job.settled or job.order["order_id"] != order_id:
            return None
        future = asyncio.get_running_loop().create_future()
        job.askers.append(future)
        return future

    async def _work(self, job):
        result = await self._carry_out(job.order)
        await asyncio.shield(self._record(job.order, result))  # once there is a result, it is kept
        restarts = job.order["is_inner"] and job.order["order_type"] == "restart" and result["status"] == "success"
        if restarts:
            self._confirmed = asyncio.Event()
        else:
            self._running = None
        job.settled = True
        for asker in job.askers:
            if not asker.done():
                asker.set_result(result)
        if restarts:
            await self._await_confirmation(job.order["order_id"])

    async def _carry_out(self, order):
        """Begin an order, on the disk first, unless there is a reason not to."""
        handler = self._find(order)
        if self._clock() >= order["deadline_time"]:
            return failed("expired")
        if handler is None:
            return failed("order not in config")
        try:
            await self._journal.begin(order["order_id"])
        except (OSError, ValueError) as error:
            self._log.error("order %s: %s", order["order_id"], error)
            return failed("the journal cannot be written: the order was not begun")
        self._log.info("order %s begun: %s", order["order_id"], order["order_type"])
        # A thread cannot be stopped: an order that blocks in one stays the one that is carried out.
        timeout = self._timeout if inspect.iscoroutinefunction(handler) else None
        try:
            value = await asyncio.wait_for(call(handler, order), timeout)
        except asyncio.TimeoutError as error:
            return failure(OrderFailed(str(error) or "timed out"))
        except Exception as error:
            if not isinstance(error, OrderFailed):
                self._log.exception("order %s: its handler raised", order["order_id"])
            return failure(error)
        if order["is_inner"] and order["order_type"] == "restart":
            return {"status": "success", "message": "wait Server Confirm"}
        return success(value)

    async def _record(self, order, result):
        """Keep a result before anyone is told. Where the disk fails it is told all the same."""
        try:
            await self._journal.end(order["order_id"], result)
        except (OSError, ValueError) as error:
            self._log.error("order %s: its result is not on the disk: %s", order["order_id"], error)
        self._log.info("order %s: %s %s", order["order_id"], result["status"], result["message"])
        return result

    async def _await_confirmation(self, order_id):
        try:
            await asyncio.wait_for(self._confirmed.wait(), self._grace)
            self._log.info("restart %s is confirmed", order_id)
        except asyncio.TimeoutError:
            self._log.info("restart %s: no confirmation came", order_id)
        self._restart()
