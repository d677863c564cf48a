"""A device for the conformance kit: tether conform --exec "python3 -m tether_device.conform"."""

import asyncio
import logging
import os
import signal
import sys

from . import Device, DeviceGone, NoLogin


def conforming_device():
    """What the kit sets in the environment, as a device with the kit's two orders."""
    env = os.environ.get
    log_file = os.path.join(env("TETHER_STATE_DIR", "."), "device.log")
    os.makedirs(os.path.dirname(log_file), mode=0o700, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s",
                        handlers=[logging.StreamHandler(), logging.FileHandler(log_file)])
    # Without a device_id it is known by its serial number and model.
    who = {"device_id": env("TETHER_DEVICE_ID")} if env("TETHER_DEVICE_ID") else {
        "device_sn": env("TETHER_DEVICE_SN"), "device_model": env("TETHER_DEVICE_MODEL")}
    device = Device(env("TETHER_URL"), **who, password=env("TETHER_PASSWORD"), state_dir=env("TETHER_STATE_DIR"),
                    time_scale=float(env("TETHER_TIME_SCALE", "1")), log_file=log_file)

    @device.order("conform_echo")
    async def echo(params):
        return params

    @device.order("conform_sleep")
    async def sleep(params):
        await asyncio.sleep(params["ms"] / 1000)

    return device


async def main(device):
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, device.stop)
    try:
        await device.run()
    except (DeviceGone, NoLogin) as end:
        sys.exit(str(end))


if __name__ == "__main__":
    asyncio.run(main(conforming_device()))
