"""What a status report holds: the host's figures from /proc, and the program's own under custom."""

import asyncio
import os

from .orders import call
from .rpc import MAX_INNER, encode, parse

WITHIN = 1.0  # seconds that a report waits for its figures
_MAX_CUSTOM = 8 << 10  # bytes


def cpu_info():
    with open("/proc/stat", encoding="ascii") as file:
        ticks = [int(field) / os.sysconf("SC_CLK_TCK") for field in file.readline().split()[1:6]]
    user, nice, system, idle, io_wait = ticks
    return {"user_cpu_time": round(user + nice, 2), "system_cpu_time": round(system, 2),
            "idle_cpu_time": round(idle, 2), "io_wait_cpu_time": round(io_wait, 2)}


def memory_info():
    with open("/proc/meminfo", encoding="ascii") as file:
        kib = {name: int(value.split()[0]) for name, value in (line.split(":") for line in file)}
    return {"total_memory_mb": kib["MemTotal"] // 1024, "free_memory_mb": kib["MemFree"] // 1024,
            "buff_cache_mb": (kib["Buffers"] + kib["Cached"]) // 1024}


def disk_info(path):
    disk = os.statvfs(path)
    used, free = disk.f_blocks - disk.f_bfree, disk.f_bavail
    return {"root_total_size_mb": disk.f_blocks * disk.f_frsize >> 20, "root_used_size_mb": used * disk.f_frsize >> 20,
            "root_used_percent": round(100 * used / max(1, used + free), 1)}


def host_figures(path):
    """A figure that this host does not have is left out."""
    report = {}
    for name, measure in (("CPU_info", cpu_info), ("Memory_info", memory_info), ("Disk_info", lambda: disk_info(path))):
        try:
            report[name] = measure()
        except (OSError, ValueError, KeyError, AttributeError):
            report[name] = {}
    return report


class _Probe:
    """A function that measures. It never runs twice at once: one that hangs costs one thread, not one for each report."""

    def __init__(self, measure, *args):
        self._measure, self._args = measure, args
        self._task = None

    async def read(self):
        if self._task is not None and not self._task.done():
            raise TimeoutError("still running")
        self._task = asyncio.ensure_future(call(self._measure, *self._args))
        return await asyncio.wait_for(asyncio.shield(self._task), WITHIN)


class Status:
    def __init__(self, disk_path, custom, log):
        self._host = _Probe(host_figures, disk_path)
        self._custom = _Probe(custom) if custom else None
        self._log = log

    async def collect(self, device_id):
        """A report. What is not there in time is left out of it."""
        host, custom = await asyncio.gather(self._host.read(), self._own(), return_exceptions=True)
        report = {"device_id": device_id, "CPU_info": {}, "Memory_info": {}, "Disk_info": {}, "dev_state": "online"}
        if isinstance(host, dict):
            report.update(host)
        else:
            self._log.warning("figures of the host left out: %s", str(host) or type(host).__name__)
        if custom is not None:
            report["custom"] = custom
        return report

    async def _own(self):
        if self._custom is None:
            return None
        try:
            text = encode(dict(await self._custom.read()))
            custom, fault = parse(text, MAX_INNER)
            if len(text.encode()) > _MAX_CUSTOM or fault:
                raise ValueError(fault or f"{len(text.encode())} bytes, {_MAX_CUSTOM} are the limit")
            return custom
        except Exception as error:
            self._log.warning("custom figures left out: %s", str(error) or type(error).__name__)
            return None
