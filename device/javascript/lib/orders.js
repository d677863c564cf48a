// Orders: one at a time, each id once, and the restart dialogue (southbound
// section 3). Connections come and go around it: an order goes on when the one
// that brought it is lost.

import { MAX_INNER, MAX_MESSAGE, encode, faultOf, isObject } from './rpc.js';

const RESTART_GRACE = 3000; // milliseconds that restart_confirm is waited for
const STOP_GRACE = 1000; // for a cancelled order to end
const MAX_DATA = MAX_MESSAGE - (8 << 10); // bytes of a result's data: it travels in one message
const MAX_TEXT = 1 << 10; // bytes of a result's message
const MAX_ASKERS = 8; // who wait for one order, the same id given again and again: the oldest make room

export const failed = (message) => ({ status: 'fail', message });

/** The result of an order whose handler threw. */
export function failure(error) {
  const text = String(error?.message || error).toWellFormed();
  return failed(Buffer.from(text).subarray(0, MAX_TEXT).toString().replace(/\uFFFD+$/, ''));
}

/** The result of an order whose handler returned: an object as it is, anything else as {"value": …}. */
export function success(value) {
  const result = { status: 'success', message: 'done' };
  if (value === undefined || value === null) return result;
  let text, fault;
  try {
    text = encode(isObject(value) ? value : { value });
    fault = text ? faultOf(text, MAX_INNER) : 'a function';
  } catch (error) {
    fault = error.message;
  }
  if (fault) result.message = `done; its data has no JSON form: ${fault}`.slice(0, MAX_TEXT);
  else if (Buffer.byteLength(text) > MAX_DATA) result.message = `done; its data is left out: more than ${MAX_DATA} bytes`;
  else result.data = JSON.parse(text);
  return result;
}

/** The promise of work, or a rejection after a time. The timer keeps no process alive. */
export function within(ms, work, message = 'timed out') {
  let timer;
  const late = new Promise((_, reject) => {
    if (ms < 2 ** 31) timer = setTimeout(() => reject(new Error(message)), ms); // longer is for ever
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

export class Orders {
  #journal;
  #find;
  #clock;
  #restart;
  #log;
  #timeout;
  #grace;
  #running; // an accepted restart stays here for good
  #working; // the promise of the last order's end, and its handler's
  #confirm; // ends the wait for a restart's confirmation
  #stop = new AbortController();

  /**
   * find(order) is the handler, a function of (order, {signal}), or undefined.
   * clock is the server's time; restart is called when a restart's time has come.
   */
  constructor({ journal, find, clock, restart, log, timeout, scale }) {
    this.#journal = journal;
    this.#find = find;
    this.#clock = clock;
    this.#restart = restart;
    this.#log = log;
    this.#timeout = timeout;
    this.#grace = RESTART_GRACE * scale;
  }

  /** Takes an order: its result if it is known already, or a promise of it. An id that is known is never begun again. */
  give(order) {
    const known = this.outcome(order.order_id);
    if (known) return known;
    if (this.#running) return this.#record(order, failed('busy'));
    const job = { order, askers: [], settled: false, handler: undefined };
    this.#running = job;
    const asked = this.#ask(order.order_id);
    this.#working = this.#work(job);
    return asked;
  }

  /** How an order ended, or a promise of it while it is carried out; undefined: nothing is known of it. */
  outcome(id) {
    return this.#ask(id) ?? this.#journal.result(id);
  }

  /** restart_confirm: it counts only for the restart order that waits for it. */
  confirm(id) {
    if (this.#confirm && this.#running.order.order_id === id) this.#confirm('is confirmed');
    else this.#log.warn(`restart_confirm of order ${id} ignored`);
  }

  /** Cancels what is carried out. The journal has it as begun: the next start says interrupted. */
  async close() {
    this.#stop.abort();
    await within(STOP_GRACE, this.#working).catch(() => {}); // it ignores its signal
  }

  #ask(id) {
    const job = this.#running;
    if (!job || job.settled || job.order.order_id !== id) return undefined;
    return new Promise((resolve) => {
      if (job.askers.push(resolve) > MAX_ASKERS) job.askers.shift();
    });
  }

  async #work(job) {
    const { order } = job;
    const result = await this.#carryOut(job);
    if (this.#stop.signal.aborted && result.status !== 'success') return;
    await this.#record(order, result);
    job.settled = true;
    const restarts = order.is_inner && order.order_type === 'restart' && result.status === 'success';
    const confirmation = restarts && this.#confirmation();
    for (const answer of job.askers) answer(result);
    if (restarts) {
      this.#log.info(`restart ${order.order_id} ${await confirmation}`);
      if (!this.#stop.signal.aborted) this.#restart();
      return;
    }
    await job.handler?.catch(() => {}); // one that timed out may go on for a while
    this.#running = undefined;
  }

  /** Begins an order, on the disk first, unless there is a reason not to. */
  async #carryOut(job) {
    const { order } = job;
    const handler = this.#find(order);
    if (this.#clock() >= order.deadline_time) return failed('expired');
    if (!handler) return failed('order not in config');
    try {
      await this.#journal.begin(order.order_id);
    } catch (error) {
      this.#log.error(`order ${order.order_id}: ${error.message}`);
      return failed('the journal cannot be written: the order was not begun');
    }
    this.#log.info(`order ${order.order_id} begun: ${order.order_type}`);
    const cancel = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, cancel.signal]);
    try {
      job.handler = (async () => handler(order, { signal }))();
      const value = await within(this.#timeout, job.handler);
      if (order.is_inner && order.order_type === 'restart') return { status: 'success', message: 'wait Server Confirm' };
      return success(value);
    } catch (error) {
      this.#log.warn(`order ${order.order_id}: ${error?.stack ?? error}`);
      return failure(error);
    } finally {
      cancel.abort();
    }
  }

  /** Keeps a result before anyone is told. Where the disk fails it is told all the same. */
  async #record(order, result) {
    try {
      await this.#journal.end(order.order_id, result);
    } catch (error) {
      this.#log.error(`order ${order.order_id}: its result is not on the disk: ${error.message}`);
    }
    this.#log.info(`order ${order.order_id}: ${result.status} ${result.message}`);
    return result;
  }

  #confirmation() {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#confirm?.(': no confirmation came'), this.#grace);
      this.#stop.signal.addEventListener('abort', () => this.#confirm?.(': stopped'), { once: true });
      this.#confirm = (how) => {
        this.#confirm = undefined;
        clearTimeout(timer);
        resolve(how);
      };
    });
  }
}
