// One connection, from its handshake to its end: login, heartbeat, the server's
// requests.

import { Cadence } from './cadence.js';
import { Ending, LIVENESS, POLICY } from './retry.js';
import { INVALID_PARAMS, LOGIN_REQUIRED, MAX_MALFORMED, OVERLOADED, Peer, RpcError, isObject } from './rpc.js';

const LOGIN_TIMEOUT = 10_000; // milliseconds from the login request to its reply
const CLOSE_TIMEOUT = 1000; // for the server's close frame
const RATE = 50, BURST = 250; // messages a second of a server, and at once (reliability T42)
const MAX_UNSENT = 1 << 20; // bytes that wait for a server that does not read
const MAX_UNSETTLED = 64; // orders that a server asks for
const MAX_UPDATES = 16; // device_update calls that wait for the program
const BINARY = 1003, INTERNAL = 1011; // close codes

const kinds = {
  string: ['a string', (v) => typeof v === 'string'],
  boolean: ['true or false', (v) => typeof v === 'boolean'],
  integer: ['an integer', Number.isSafeInteger],
  object: ['an object', isObject],
  digits: ['decimal digits', (v) => typeof v === 'string' && /^[0-9]{1,20}$/.test(v)],
};

export class Connection {
  #host; // what a connection asks of its device
  #ws;
  #log;
  #peer;
  #cadence; // before the login: undefined
  #timer;
  #closing; // a timer, once the connection is given up
  #awaited = {}; // ids of the ping and of the report that wait for their replies
  #reports = 0;
  #allowance = BURST;
  #heard = performance.now();
  #deviceId = '';
  #end = new Ending();
  #ended;

  constructor(host, ws) {
    this.#host = host;
    this.#ws = ws;
    this.#log = host.log;
    this.#peer = new Peer((text) => this.#put(text), {
      give_order: (params, wanted) => this.#giveOrder(params, wanted),
      restart_confirm: (params) => this.#restartConfirm(params),
      device_update: (params) => this.#deviceUpdate(params),
    });
  }

  /** Serves the connection; the promise of its Ending. */
  run() {
    return new Promise((resolve) => {
      this.#ended = resolve;
      this.#ws.on('message', (data, isBinary) => this.#receive(data, isBinary));
      this.#ws.on('error', (error) => {
        this.#end.reason ||= error.message;
      });
      this.#ws.on('close', (code, reason) => this.#over(code, reason.toString()));
      this.#timer = setTimeout(() => this.leave(LIVENESS, 'no reply to login'), LOGIN_TIMEOUT * this.#host.scale);
      this.#guarded(() => this.#login());
    });
  }

  /** Gives the connection up. The first cause counts. */
  leave(code, cause) {
    if (this.#closing) return;
    clearTimeout(this.#timer);
    this.#end.reason ||= cause;
    this.#closing = setTimeout(() => this.#ws.terminate(), CLOSE_TIMEOUT);
    this.#ws.close(code, cause);
  }

  #over(code, reason) {
    clearTimeout(this.#timer);
    clearTimeout(this.#closing);
    // Its word, not the echo of ours; 1005 and 1006 are no close frames.
    if (!this.#closing && code !== 1005 && code !== 1006 && !this.#end.reason) Object.assign(this.#end, { code, reason });
    this.#closing ??= true;
    this.#end.reason ||= 'connection lost';
    if (this.#end.loggedIn) {
      this.#log.info(`connection lost: ${this.#end}`);
      this.#host.notify('offline', String(this.#end));
    }
    this.#ended(this.#end);
  }

  /** Does something whose error is a fault in this library: it costs the connection, not the process. */
  #guarded(work) {
    try {
      work();
    } catch (error) {
      this.#log.error(`error inside the device: ${error.stack}`);
      this.leave(INTERNAL, 'error inside the device');
    }
  }

  #put(text) {
    if (this.#closing) return;
    if (this.#ws.bufferedAmount > MAX_UNSENT) this.leave(LIVENESS, 'the server does not read');
    else this.#ws.send(text, () => {}); // an error is the connection's end
  }

  #receive(data, isBinary) {
    if (this.#closing) return; // what still arrives is discarded
    const now = performance.now();
    this.#allowance = Math.min(BURST, this.#allowance + ((now - this.#heard) * RATE) / 1000) - 1;
    this.#heard = now;
    if (this.#allowance < 0) {
      this.leave(POLICY, 'a flood');
      return;
    }
    if (isBinary) {
      this.leave(BINARY, 'binary frame');
      return;
    }
    this.#guarded(() => this.#peer.receive(data.toString()));
    if (this.#peer.malformed >= MAX_MALFORMED) this.leave(POLICY, 'malformed messages');
  }

  // Login

  #login() {
    const params = this.#host.credentials();
    this.#peer.call('login', params, (result, error) => {
      if (error) {
        this.#end.refused = error; // the server's close follows, and says the rest
        this.#log.warn(`login refused: ${error.message}`);
      } else if (!isObject(result) || !kinds.digits[1](result.device_id) || !kinds.string[1](result.token) ||
          !kinds.integer[1](result.token_expires_time) || !kinds.integer[1](result.server_time)) {
        this.leave(INTERNAL, 'login reply not understood');
      } else {
        this.#loggedIn(result, params.token ? 'token' : 'password');
      }
    });
  }

  #loggedIn(result, form) {
    this.#end.loggedIn = true;
    this.#deviceId = result.device_id;
    this.#cadence = new Cadence(isObject(result.heartbeat) ? result.heartbeat : {}, performance.now());
    this.#log.info(`logged in as ${this.#deviceId} by ${form}`);
    this.#host.loggedIn(result);
    this.#beat();
    const unsettled = Array.isArray(result.unsettled_orders) ? result.unsettled_orders : [];
    this.#handIn(unsettled.slice(0, MAX_UNSETTLED));
  }

  /** Tells, one after the other, what the journal says of orders whose outcome the server does not know. */
  #handIn(ids) {
    for (const [n, id] of ids.entries()) {
      const outcome = this.#host.orders.outcome(id);
      if (outcome instanceof Promise) outcome.then((result) => this.#closing ?? this.#upload(id, result, []));
      else if (outcome) {
        this.#upload(id, outcome, ids.slice(n + 1));
        return;
      }
    }
  }

  #upload(id, result, rest) {
    this.#peer.call('upload_instruction_result', { order_id: id, ...result }, (_, error) => {
      if (error) this.#log.warn(`order ${id}: result refused: ${error.message}`);
      else this.#log.info(`order ${id}: result handed in`);
      this.#handIn(rest);
    });
  }

  // Heartbeat

  /** Does what the cadence says, now and when it says. */
  #beat() {
    clearTimeout(this.#timer);
    while (!this.#closing) {
      const { action, wake } = this.#cadence.next(performance.now());
      if (action === 'leave') this.leave(LIVENESS, 'no replies');
      else if (action === 'ping') this.#call('ping', 'ping');
      else if (action === 'report') this.#report(++this.#reports);
      else {
        this.#timer = setTimeout(() => this.#guarded(() => this.#beat()), Math.max(1, Math.ceil(wake - performance.now())));
        return;
      }
    }
  }

  /** One is awaited: the one before it is given up, answered or not. */
  #call(which, method, params) {
    this.#peer.forget(this.#awaited[which]);
    this.#awaited[which] = this.#peer.call(method, params, (_, error) => {
      if (error) this.#log.warn(`${method}: ${error.message}`);
      this.#cadence.replied(which);
      this.#beat();
    });
  }

  async #report(number) {
    this.#peer.forget(this.#awaited.report);
    const report = await this.#host.status.collect(this.#deviceId);
    if (number !== this.#reports || this.#closing) return;
    this.#cadence.reported(performance.now());
    this.#guarded(() => this.#call('report', 'upload_status_info', report));
  }

  // The server's requests

  /** The members that are required, checked. */
  #members(params, required) {
    if (!this.#deviceId) throw new RpcError(LOGIN_REQUIRED, 'login required');
    if (!isObject(params)) throw new RpcError(INVALID_PARAMS, 'params: must be an object');
    for (const [name, kind] of Object.entries(required)) {
      const [what, is] = kinds[kind];
      if (!is(params[name])) throw new RpcError(INVALID_PARAMS, `${name}: must be ${what}`);
    }
    if (params.device_id && params.device_id !== this.#deviceId) throw new RpcError(INVALID_PARAMS, "device_id: is another device's");
    return params;
  }

  #giveOrder(params, wanted) {
    if (!wanted) return undefined; // nobody would learn how it ended
    const order = this.#members(params, {
      order_id: 'digits', order_type: 'string', is_inner: 'boolean', params: 'object', deadline_time: 'integer',
    });
    if (order.sftp !== undefined && !isObject(order.sftp)) throw new RpcError(INVALID_PARAMS, 'sftp: must be an object');
    return this.#host.orders.give(order);
  }

  #restartConfirm(params) {
    this.#host.orders.confirm(this.#members(params, { order_id: 'string' }).order_id);
    return {};
  }

  #deviceUpdate(params) {
    const record = this.#members(params, { device_id: 'string' });
    this.#log.info(`device_update: ${record.device_name}`);
    const told = this.#host.update(record, MAX_UPDATES);
    if (!told) throw new RpcError(OVERLOADED, 'too many updates wait');
    return told;
  }
}

