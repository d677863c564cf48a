// When a device speaks and when it gives its connection up (southbound section
// 4). A state machine without clock and I/O: the connection tells it the time,
// in milliseconds of a monotonic clock, and does what it says.

const standard = { ping_interval_ms: 5000, status_interval_ms: 15000, reply_timeout_ms: 3000, max_failures: 3 };

/** What the server leaves out, or sends as nonsense, has the contract's value. */
function interval(heartbeat, name) {
  const ms = heartbeat[name];
  return Math.min(Math.max(typeof ms === 'number' && ms > 0 ? ms : standard[name], 100), 3_600_000);
}

export class Cadence {
  failures = 0; // unanswered in a row

  /** Begins at a login: a report at once, the first ping an interval later. */
  constructor(heartbeat, now) {
    this.pingEvery = interval(heartbeat, 'ping_interval_ms');
    this.reportEvery = interval(heartbeat, 'status_interval_ms');
    this.replyWithin = interval(heartbeat, 'reply_timeout_ms');
    const most = heartbeat.max_failures;
    this.maxFailures = Number.isInteger(most) && most > 0 ? most : standard.max_failures;
    // Of each message: when it is due, and until when the reply to the last one is awaited.
    this.ping = { due: now + this.pingEvery, expiry: undefined };
    this.report = { due: now, expiry: undefined };
  }

  /** The message that was awaited, 'ping' or 'report', is answered. */
  replied(which) {
    this[which].expiry = undefined;
    this.failures = 0;
  }

  /** The report goes out now. Told once more if its figures took their time. */
  reported(now) {
    this.report.due = now + this.reportEvery;
    this.report.expiry = now + this.replyWithin;
    this.ping.due = now + this.pingEvery; // it replaces the ping
  }

  /** What to do now: 'ping', 'report', 'leave', or 'wait', until wake. What it says to send counts as sent. */
  next(now) {
    const { ping, report } = this;
    for (const beat of [ping, report]) {
      if (now >= beat.expiry) {
        beat.expiry = undefined;
        beat.due = now; // missed: it goes out again at once
        this.failures++;
      }
    }
    if (this.failures >= this.maxFailures) return { action: 'leave' };
    if (report.expiry === undefined && now >= report.due) {
      this.reported(now);
      return { action: 'report' };
    }
    if (ping.expiry === undefined && now >= ping.due) {
      ping.due = now + this.pingEvery;
      ping.expiry = now + this.replyWithin;
      return { action: 'ping' };
    }
    return { action: 'wait', wake: Math.min(ping.expiry ?? ping.due, report.expiry ?? report.due) };
  }
}
