// The device: its options, and the loop that keeps it connected.

import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { Connection } from './connection.js';
import { Orders } from './orders.js';
import { DONE, Ending, Retry } from './retry.js';
import { MAX_MESSAGE } from './rpc.js';
import { Journal, TokenFile } from './state.js';
import { Status } from './status.js';
import { uploadLog } from './upload.js';

const DIAL_TIMEOUT = 10_000; // TCP, TLS and the WebSocket handshake
const RESTART_EXIT = 75; // EX_TEMPFAIL: a supervisor starts the program again

const silent = { info() {}, warn() {}, error() {} };

const defaults = {
  deviceId: '', deviceSn: '', deviceModel: '', maxTries: 5, orderTimeout: 600_000, diskPath: '/', timeScale: 1,
  remoteDir: '/var/log/devices_management', client: { name: 'tether-device-javascript' }, logger: silent,
  restart: () => process.exit(RESTART_EXIT),
};

export class Device {
  #o; // options
  #stateDir;
  #token;
  #status;
  #retry;
  #orders;
  #connection;
  #dialing;
  #handlers = new Map();
  #serverTime; // at an instant of the monotonic clock
  #updates = 0; // device_update calls that wait for the program
  #updating = Promise.resolve();
  #running = false;
  #stopped = false;
  #restarting = false;
  #wake = () => {}; // ends the wait for the next try

  /** @param {import('../index.d.ts').DeviceOptions} options */
  constructor(options) {
    const o = { ...defaults, bootId: randomUUID(), ...options };
    check(o);
    this.#o = o;
    this.#stateDir = o.stateDir ?? process.env.STATE_DIRECTORY?.split(':')[0] ?? join(homedir(), '.config', 'tether-device');
    this.#token = new TokenFile(this.#stateDir, { url: o.url, sn: o.deviceSn, model: o.deviceModel });
    this.#status = new Status(o.diskPath, o.custom, o.logger);
  }

  /** Registers the handler of an order: a function of (params, {signal}). See index.d.ts. */
  order(name, handler) {
    if (!/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(name) || name === 'restart' || name === 'upload_log' || this.#handlers.has(name)) {
      throw new TypeError(`order ${name}: no name for an order, or taken`);
    }
    this.#handlers.set(name, handler);
    return this;
  }

  /** Connects and stays connected until there is a reason to stop. See index.d.ts. */
  async run() {
    if (this.#running) throw new Error('run is running already');
    this.#running = true;
    this.#stopped = this.#restarting = false;
    this.#retry = new Retry(this.#o.maxTries, this.#o.timeScale);
    try {
      await mkdir(this.#stateDir, { recursive: true, mode: 0o700 });
      await this.#token.load(this.#o.deviceId);
      const journal = await Journal.open(this.#stateDir, this.#o.logger);
      this.#orders = new Orders({
        journal, find: (order) => this.#find(order), clock: () => this.serverTime(), restart: () => this.#restart(),
        log: this.#o.logger, timeout: this.#o.orderTimeout, scale: this.#o.timeScale,
      });
      try {
        await this.#stayConnected();
      } finally {
        await this.#orders.close();
        await this.#token.settled();
        await journal.close();
      }
    } finally {
      this.#running = false;
    }
    if (this.#restarting) await this.#o.restart();
  }

  /** Ends run in good order: the connection is closed with 1000. */
  stop() {
    this.#stopped = true;
    this.#connection?.leave(DONE, this.#restarting ? 'restart' : 'stopped');
    this.#dialing?.terminate();
    this.#wake();
  }

  /** The server's time in milliseconds, going on from the last login by the monotonic clock. */
  serverTime() {
    if (!this.#serverTime) return Date.now();
    return Math.trunc(this.#serverTime.told + performance.now() - this.#serverTime.at);
  }

  async #stayConnected() {
    const log = this.#o.logger;
    while (!this.#stopped) {
      const end = await this.#connect();
      if (this.#stopped) return;
      const verdict = this.#retry.after(end);
      if (end.credentialRefused) await this.#kept(this.#token.forget());
      if (verdict.stop) {
        log.info(`stopping: ${end}`);
        if (verdict.error) throw verdict.error;
        return;
      }
      log.info(`next try in ${(verdict.wait / 1000).toFixed(1)} s: ${end}`);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, verdict.wait);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Makes one connection and stays with it to its end. */
  async #connect() {
    let ws;
    try {
      ws = await this.#dial();
    } catch (error) {
      return new Ending(`connect: ${error.message || error.code}`);
    } finally {
      this.#dialing = undefined;
    }
    this.#connection = new Connection({
      log: this.#o.logger, scale: this.#o.timeScale, orders: this.#orders, status: this.#status,
      credentials: () => this.#credentials(), loggedIn: (result) => this.#loggedIn(result),
      notify: (state, cause) => this.#notify(state, cause), update: (record, most) => this.#update(record, most),
    }, ws);
    const ended = this.#connection.run();
    if (this.#stopped) this.stop();
    const end = await ended;
    this.#connection = undefined;
    return end;
  }

  #dial() {
    return new Promise((resolve, reject) => {
      // No subprotocol is offered: ws gives up a server that does not select it, and it is never required.
      const ws = new WebSocket(this.#o.url, {
        ...this.#o.tls, rejectUnauthorized: true, handshakeTimeout: DIAL_TIMEOUT, maxPayload: MAX_MESSAGE,
        perMessageDeflate: false, followRedirects: false,
      });
      this.#dialing = ws;
      ws.on('error', reject);
      ws.once('open', () => resolve(ws.off('error', reject)));
    });
  }

  // What a connection asks of its device

  /** The params of login: the token while it is good, or else the password. */
  #credentials() {
    const { deviceId, deviceSn, deviceModel, password, bootId, client } = this.#o;
    const start = { boot_id: bootId, client };
    const { token, expires } = this.#token;
    if (token && this.serverTime() < expires) return { device_id: this.#token.deviceId, token, ...start };
    const names = deviceId ? { device_id: deviceId } : { device_sn: deviceSn, device_model: deviceModel };
    return { ...names, password, ...start };
  }

  #loggedIn(result) {
    this.#serverTime = { told: result.server_time, at: performance.now() };
    this.#kept(this.#token.keep(result.device_id, result.token, result.token_expires_time));
    this.#notify('online', 'login');
  }

  #notify(state, cause) {
    try {
      this.#o.onState?.(state, cause);
    } catch (error) {
      this.#o.logger.error(`onState threw: ${error?.stack ?? error}`);
    }
  }

  /** Tells the program of a device_update, one after the other; undefined: too many wait. */
  #update(record, most) {
    if (this.#updates >= most) return undefined;
    this.#updates++;
    this.#updating = this.#updating.then(() => this.#o.onUpdate?.(record)).catch((error) => {
      this.#o.logger.error(`onUpdate threw: ${error?.stack ?? error}`);
    }).then(() => {
      this.#updates--;
      return {};
    });
    return this.#updating;
  }

  async #kept(writing) {
    try {
      await writing;
    } catch (error) {
      this.#o.logger.error(`token file: ${error.message}`);
    }
  }

  /** Who carries an order out: the library its own, what was registered all others. */
  #find(order) {
    if (!order.is_inner) {
      const handler = this.#handlers.get(order.order_type);
      return handler && ((given, context) => handler(given.params, context));
    }
    if (order.order_type === 'restart') return () => undefined; // what follows is the restart dialogue
    if (order.order_type !== 'upload_log') return undefined;
    const { sftp, logFile, remoteDir, timeScale } = this.#o;
    const device = { target: sftp, logFile, remoteDir, deviceId: this.#token.deviceId, stateDir: this.#stateDir, scale: timeScale };
    return (given, { signal }) => uploadLog(given, { ...device, signal });
  }

  #restart() {
    this.#restarting = true;
    this.stop();
  }
}

/** Says what is wrong, never repeating a secret. */
function check({ url, deviceId, deviceSn, deviceModel, password, tls }) {
  const parts = URL.canParse(url) ? new URL(url) : undefined;
  if (!parts || !/^wss?:$/.test(parts.protocol)) throw new TypeError('url: must be ws://host:port/path or wss://host/path');
  if (parts.username || parts.password) throw new TypeError('url: must not carry a credential');
  if (!deviceId === !(deviceSn || deviceModel) || !deviceSn !== !deviceModel) {
    throw new TypeError('deviceId: required, or deviceSn and deviceModel');
  }
  if (deviceId && !/^[0-9]{1,20}$/.test(deviceId)) throw new TypeError('deviceId: must be decimal digits');
  if (!password || Buffer.byteLength(password) > 72) throw new TypeError('password: required, at most 72 bytes');
  if (tls?.rejectUnauthorized === false || tls?.checkServerIdentity) {
    throw new TypeError('tls: certificates are always verified, and the name in them; put the issuer into ca');
  }
}
