"""A device's side of the tether southbound contract.

    device = Device("wss://devices.example.com/ws", device_id="1860…", password=os.environ["PASSWORD"])

    @device.order("blink")
    async def blink(params):
        return {"blinked": params.get("times", 1)}

    asyncio.run(device.run())

The library connects and stays connected, logs in, keeps the heartbeat, reports
the host's figures, carries out each order once, and hands in results whose
answer was lost. See README.md.
"""

from .device import Device
from .orders import OrderFailed
from .retry import DeviceGone, NoLogin
from .rpc import RpcError

__all__ = ["Device", "DeviceGone", "NoLogin", "OrderFailed", "RpcError"]
__version__ = "0.1.0"
