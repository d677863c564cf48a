import logging

logging.getLogger("tether_device").addHandler(logging.NullHandler())
logging.getLogger("tether_device").propagate = False
logging.getLogger("asyncio").setLevel(logging.ERROR)
