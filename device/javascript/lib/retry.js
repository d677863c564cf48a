// What follows the end of a connection (southbound sections 4 and 5). No clock;
// it does not wait.

import { LOGIN_FAILED, OVERLOADED } from './rpc.js';

const RECONNECT = 10_000, BACK_OFF = 60_000; // milliseconds
export const DONE = 1000, POLICY = 1008, LIVENESS = 4408;
const LOGIN_REFUSED = 4401, TAKEN_OVER = 4409, GONE = 4410;

/** The server closed with 4410: the device is deleted or disabled. */
export class DeviceGone extends Error {
  name = 'DeviceGone';
}

/** As many tries in a row as maxTries did not end in a login. */
export class NoLogin extends Error {
  name = 'NoLogin';
}

/** All that is known of a connection that is over, or of one that never came to be. */
export class Ending {
  loggedIn = false;
  code = 0; // what the server closed with; 0: it did not
  reason = ''; // the close frame's text, or what went wrong
  refused = undefined; // the server's answer to login, if an error

  constructor(reason = '') {
    this.reason = reason;
  }

  get credentialRefused() {
    return this.code === LOGIN_REFUSED || this.refused?.code === LOGIN_FAILED;
  }

  /** The wait in milliseconds that the server named, or undefined. */
  get retryAfter() {
    const told = this.code ? /^retry_after_ms=(\d{1,15})$/.exec(this.reason) : null;
    const ms = told ? Number(told[1]) : this.refused?.code === OVERLOADED ? this.refused.data.retry_after_ms : undefined;
    return Number.isInteger(ms) ? Math.min(Math.max(ms, 100), 3_600_000) : undefined;
  }

  toString() {
    if (this.refused) return `login refused: ${this.refused.message}`;
    return this.code ? `closed with ${this.code} ${this.reason}`.trim() : this.reason;
  }
}

/** Counts the tries that did not end in a login. */
export class Retry {
  #maxTries;
  #scale;
  #random;
  tries = 0;

  constructor(maxTries, scale = 1, random = Math.random) {
    this.#maxTries = maxTries; // Infinity: unlimited
    this.#scale = scale;
    this.#random = random;
  }

  /** What to do: {stop, error} or {wait}, in milliseconds. */
  after(end) {
    if (end.code === DONE) return { stop: true };
    if (end.code === GONE) return { stop: true, error: new DeviceGone('deleted or disabled by the server') };
    if (end.loggedIn) this.tries = 0;
    if (end.retryAfter !== undefined) return { wait: end.retryAfter };
    if (!end.loggedIn && ++this.tries >= this.#maxTries) {
      return { stop: true, error: new NoLogin(`no login after ${this.tries} tries, the last: ${end}`) };
    }
    if (end.code === POLICY || end.code === TAKEN_OVER) return { wait: BACK_OFF * this.#scale };
    // Spread by 20 % to both sides: a fleet does not come back in one instant.
    return { wait: RECONNECT * this.#scale * (0.8 + 0.4 * this.#random()) };
  }
}
