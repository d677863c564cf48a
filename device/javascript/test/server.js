// A small server for the tests: real sockets, scripted by the test.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocketServer } from 'ws';
import { Device } from '../index.js';

// Replies are awaited long: a machine that is busy with other tests must not fail this one.
export const HEARTBEAT = { ping_interval_ms: 200, status_interval_ms: 600, reply_timeout_ms: 5000, max_failures: 3 };
const NEVER = { ping_interval_ms: 3_600_000, status_interval_ms: 3_600_000, reply_timeout_ms: 3_600_000, max_failures: 3 };
export const DEVICE = '1860117402213097472', PASSWORD = 'tp_secret', TOKEN = 'tt_token';

/** What arrives, one after the other, for whoever waits. */
class Queue {
  #items = [];
  #waiting = [];

  get size() {
    return this.#items.length;
  }

  put(item) {
    const waiter = this.#waiting.shift();
    if (waiter) waiter(item);
    else this.#items.push(item);
  }

  async next() {
    if (this.#items.length > 0) return this.#items.shift();
    const cancel = new AbortController();
    const late = sleep(30_000, undefined, { signal: cancel.signal, ref: false }).then(() => {
      throw new Error('nothing came');
    });
    late.catch(() => {});
    try {
      return await Promise.race([new Promise((resolve) => this.#waiting.push(resolve)), late]);
    } finally {
      cancel.abort();
    }
  }
}

/** The server's end of one connection. It answers what devices ask by themselves, and keeps the rest. */
class Link {
  seen = []; // {at, method} of each request
  messages = new Queue(); // replies, and requests that are not answered here
  login; // the params

  constructor(ws, bench) {
    this.ws = ws;
    this.bench = bench;
    this.closed = new Promise((resolve) => ws.on('close', (code, reason) => resolve([code, reason.toString()])));
    ws.on('error', () => {});
    ws.on('message', (data) => this.#receive(JSON.parse(data.toString())));
  }

  #receive(m) {
    const { bench } = this;
    this.seen.push({ at: performance.now(), method: m.method });
    if (m.method === 'login') {
      this.login = m.params;
      bench.onLogin(this, m);
      bench.links.put(this);
    } else if (bench.silent && m.method) {
      // no answer
    } else if (m.method === 'ping' || m.method === 'upload_status_info') {
      this.reply(m, m.method === 'ping' ? 'pong' : {});
      bench.heard.push(m);
    } else {
      this.messages.put(m);
    }
  }

  send(message) {
    this.ws.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  reply(m, result) {
    this.send({ jsonrpc: '2.0', id: m.id, result });
  }

  ask(method, params, id = 1) {
    this.send({ jsonrpc: '2.0', id, method, params });
    return this.messages.next();
  }

  notify(method, params) {
    this.send({ jsonrpc: '2.0', method, params });
  }

  order(orderType = 'echo', more = {}, id = 1) {
    return this.ask('give_order', {
      order_id: '1861', order_type: orderType, is_inner: false, device_id: DEVICE, params: {}, deadline_time: Date.now() + 10_000, ...more,
    }, id);
  }

  /** The result of an order. */
  async result(orderType, more) {
    return (await this.order(orderType, more)).result;
  }

  welcome(m, more) {
    this.reply(m, {
      device_id: DEVICE, token: TOKEN, token_expires_time: Date.now() + 1e9, server_time: Date.now(), unsettled_orders: [],
      heartbeat: this.bench.heartbeat, ...more,
    });
  }

  refuse(m, code, close, reason = '', data = {}) {
    this.send({ jsonrpc: '2.0', id: m.id, error: { code, message: 'no', data } });
    this.ws.close(close, reason);
  }
}

/** A server, a state folder, and devices that end with the test. */
export class Bench {
  heartbeat = NEVER;
  silent = false;
  heard = []; // pings and reports
  links = new Queue();
  runs = [];
  devices = [];
  onLogin = (link, m) => link.welcome(m);

  static async open(t, heartbeat = NEVER) {
    const bench = new Bench();
    bench.heartbeat = heartbeat;
    bench.folder = mkdtempSync(join(tmpdir(), 'tether-test-'));
    bench.server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
    await once(bench.server, 'listening');
    bench.server.on('connection', (ws) => new Link(ws, bench));
    bench.url = `ws://127.0.0.1:${bench.server.address().port}/ws`;
    t.after(async () => {
      for (const device of bench.devices) device.stop();
      await Promise.allSettled(bench.runs);
      for (const ws of bench.server.clients) ws.terminate();
      bench.server.close();
      rmSync(bench.folder, { recursive: true });
    });
    return bench;
  }

  device(options) {
    const device = new Device({
      url: this.url, deviceId: DEVICE, password: PASSWORD, stateDir: this.folder, timeScale: 0.1, restart: () => {}, ...options,
    });
    this.devices.push(device);
    device.order('echo', (params) => params);
    return device;
  }

  run(device) {
    const run = device.run();
    run.catch(() => {}); // the test looks at it
    this.runs.push(run);
    return run;
  }

  /** The next connection, which has sent its login. */
  link() {
    return this.links.next();
  }

  /** A device that runs, and its connection. */
  async connected(options) {
    this.run(this.device(options));
    return this.link();
  }
}

/** Waits until something is so. */
export async function until(so) {
  for (const end = performance.now() + 30_000; !so(); await sleep(10)) {
    if (performance.now() > end) throw new Error('in vain');
  }
}
