"""When a device speaks and when it gives its connection up (southbound section 4).

A state machine without clock and I/O: the connection tells it the time and
does what it says. Times are seconds of a monotonic clock.
"""

PING, REPORT, LEAVE, WAIT = "ping", "report", "leave", "wait"

_STANDARD = {"ping_interval_ms": 5000, "status_interval_ms": 15000, "reply_timeout_ms": 3000, "max_failures": 3}


class _Beat:
    """One of the two messages: when it is due, and until when the reply to the last one is awaited."""

    def __init__(self, due):
        self.due = due
        self.expiry = None

    def ready(self, now):
        return self.expiry is None and now >= self.due

    def wake(self):
        return self.due if self.expiry is None else self.expiry


class Cadence:
    """Begins at a login: a report at once, the first ping an interval later."""

    def __init__(self, heartbeat, now):
        self.ping_every = _seconds(heartbeat, "ping_interval_ms")
        self.report_every = _seconds(heartbeat, "status_interval_ms")
        self.reply_within = _seconds(heartbeat, "reply_timeout_ms")
        failures = heartbeat.get("max_failures")
        self.max_failures = failures if type(failures) is int and failures > 0 else _STANDARD["max_failures"]
        self.failures = 0  # unanswered in a row
        self._beats = {PING: _Beat(now + self.ping_every), REPORT: _Beat(now)}

    def replied(self, which):
        """The message that was awaited is answered."""
        self._beats[which].expiry = None
        self.failures = 0

    def reported(self, now):
        """The report goes out now. Told once more if its figures took their time."""
        ping, report = self._beats[PING], self._beats[REPORT]
        report.due, report.expiry = now + self.report_every, now + self.reply_within
        ping.due = now + self.ping_every  # it replaces the ping

    def next(self, now):
        """What to do now, and for WAIT when to ask again. Whatever it says to send counts as sent."""
        ping, report = self._beats[PING], self._beats[REPORT]
        for beat in (ping, report):
            if beat.expiry is not None and now >= beat.expiry:
                beat.expiry = None
                beat.due = now  # missed: it goes out again at once
                self.failures += 1
        if self.failures >= self.max_failures:
            return LEAVE, now
        if report.ready(now):
            self.reported(now)
            return REPORT, now
        if ping.ready(now):
            ping.due, ping.expiry = now + self.ping_every, now + self.reply_within
            return PING, now
        return WAIT, min(ping.wake(), report.wake())


def _seconds(heartbeat, name):
    """What the server leaves out, or sends as nonsense, has the contract's value."""
    ms = heartbeat.get(name)
    if type(ms) not in (int, float) or not ms > 0:
        ms = _STANDARD[name]
    return min(max(ms, 100), 3_600_000) / 1000
