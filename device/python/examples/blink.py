"""A whole device: one order of its own, reports, restart and upload_log.

    TETHER_URL=ws://127.0.0.1:9090/ws TETHER_DEVICE_ID=1860… TETHER_PASSWORD=tp_… python3 examples/blink.py
"""

import asyncio
import logging
import logging.handlers
import os
import signal

from tether_device import Device

LOG_FILE = os.environ.get("TETHER_LOG_FILE", "blink.log")
logging.basicConfig(
    level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s",
    handlers=[logging.StreamHandler(), logging.handlers.RotatingFileHandler(LOG_FILE, maxBytes=1 << 20, backupCount=3)])

device = Device(
    os.environ["TETHER_URL"], device_id=os.environ["TETHER_DEVICE_ID"], password=os.environ["TETHER_PASSWORD"],
    state_dir=os.environ.get("TETHER_STATE_DIR"), max_tries=None, log_file=LOG_FILE,
    client={"name": "blink", "version": "1.0"}, custom=lambda: {"blinked": total})
total = 0


@device.order("blink")
async def blink(params):
    global total
    times = params.get("times", 1)
    for _ in range(times):
        total += 1
        await asyncio.sleep(0.1)  # the lamp
    return {"blinked": times}


async def main():
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, device.stop)
    await device.run()


asyncio.run(main())
