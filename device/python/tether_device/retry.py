"""What follows the end of a connection (southbound sections 4 and 5). No clock; it does not wait."""

import random
import re
from dataclasses import dataclass
from typing import Optional

from .rpc import LOGIN_FAILED, OVERLOADED, RpcError

RECONNECT, BACK_OFF = 10.0, 60.0  # seconds
DONE, POLICY, LOGIN_REFUSED, TAKEN_OVER, GONE = 1000, 1008, 4401, 4409, 4410  # close codes
_MIN_WAIT, _MAX_WAIT = 100, 3_600_000  # what a server may ask for, in milliseconds


class DeviceGone(Exception):
    """The server closed with 4410: the device is deleted or disabled."""


class NoLogin(Exception):
    """As many tries in a row as max_tries did not end in a login."""


@dataclass
class Ending:
    """All that is known of a connection that is over, or of one that never came to be."""

    logged_in: bool = False
    code: int = 0  # what the server closed with; 0: it did not
    reason: str = ""  # the close frame's text, or what went wrong
    refused: Optional[RpcError] = None  # the server's answer to login, if an error

    def credential_refused(self):
        return self.code == LOGIN_REFUSED or (self.refused is not None and self.refused.code == LOGIN_FAILED)

    def retry_after(self):
        """The wait in seconds that the server named, or None."""
        ms = re.fullmatch(r"retry_after_ms=([0-9]{1,15})", self.reason) if self.code else None
        if ms:
            ms = int(ms[1])
        elif self.refused is not None and self.refused.code == OVERLOADED:
            ms = self.refused.data.get("retry_after_ms")
        if type(ms) is not int:
            return None
        return min(max(ms, _MIN_WAIT), _MAX_WAIT) / 1000

    def __str__(self):
        if self.refused is not None:
            return f"login refused: {self.refused.message}"
        return f"closed with {self.code} {self.reason}".strip() if self.code else self.reason


@dataclass
class Verdict:
    """Stop (with an error, or without), or wait."""

    stop: bool = False
    error: Optional[Exception] = None
    wait: float = 0.0


class Retry:
    """Counts the tries that did not end in a login."""

    def __init__(self, max_tries, scale=1.0, rand=random.random):
        self._max_tries = max_tries  # None: unlimited
        self._scale = scale
        self._rand = rand
        self.tries = 0

    def after(self, end):
        if end.code == DONE:
            return Verdict(stop=True)
        if end.code == GONE:
            return Verdict(stop=True, error=DeviceGone("deleted or disabled by the server"))
        if end.logged_in:
            self.tries = 0
        told = end.retry_after()
        if told is not None:
            return Verdict(wait=told)
        if not end.logged_in:
            self.tries += 1
            if self._max_tries is not None and self.tries >= self._max_tries:
                return Verdict(stop=True, error=NoLogin(f"no login after {self.tries} tries, the last: {end}"))
        if end.code in (POLICY, TAKEN_OVER):
            return Verdict(wait=BACK_OFF * self._scale)
        # Spread by 20 % to both sides: a fleet does not come back in one instant.
        return Verdict(wait=RECONNECT * self._scale * (0.8 + 0.4 * self._rand()))
