// One JSON-RPC 2.0 peer: what a message is, who is answered, which call a reply
// belongs to. It has no socket and no clock; the connection calls it, in the
// order in which messages arrive (southbound section 1).

export const MAX_MESSAGE = 64 << 10; // bytes of a WebSocket message
export const MAX_MALFORMED = 20; // malformed messages or unasked replies in a row
const MAX_BATCH = 64; // members of a batch
const MAX_DEPTH = 32; // nesting of JSON
export const MAX_INNER = MAX_DEPTH - 2; // of a result's data and of custom figures, which travel inside two objects
const MAX_NUMBER = 32; // characters of a JSON number

export const PARSE_ERROR = -32700, INVALID_REQUEST = -32600, METHOD_NOT_FOUND = -32601, INVALID_PARAMS = -32602, INTERNAL = -32603;
export const LOGIN_FAILED = -32001, LOGIN_REQUIRED = -32002, OVERLOADED = -32005;

const reasons = new Map([
  [PARSE_ERROR, 'parse_error'], [INVALID_REQUEST, 'invalid_request'], [METHOD_NOT_FOUND, 'method_not_found'],
  [INVALID_PARAMS, 'invalid_params'], [INTERNAL, 'internal'], [LOGIN_REQUIRED, 'login_required'], [OVERLOADED, 'overloaded'],
]);

/** An error of the contract's section 6, ours or the server's. */
export class RpcError extends Error {
  constructor(code, message, data = {}) {
    super(message);
    this.name = 'RpcError';
    this.code = code;
    this.data = isObject(data) ? data : {};
  }

  wire() {
    const data = { reason: reasons.get(this.code) ?? 'error', retryable: this.code === INTERNAL || this.code === OVERLOADED };
    return { code: this.code, message: this.message, data };
  }
}

export function isObject(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * The JSON text of a value; undefined: it has none. What is not text becomes
 * text: a lone surrogate would not travel.
 */
export function encode(value) {
  return JSON.stringify(value, (_, v) => (typeof v === 'string' ? v.toWellFormed() : v));
}

const tokens = /("[^"\\]*(?:\\.[^"\\]*)*")(\s*:)?|[[\]{}]|[-+.0-9eE]+/g;

/** What the contract forbids in a text that is JSON, and that JSON.parse does not tell; undefined: nothing. */
export function faultOf(text, depth = MAX_DEPTH) {
  const open = []; // the names so far of each object, and of each array, which has none
  for (const [token, string, colon] of text.matchAll(tokens)) {
    if (colon) {
      const name = JSON.parse(string);
      if (open.at(-1).has(name)) return 'a name occurs twice in an object';
      open.at(-1).add(name);
    } else if (token === '{' || token === '[') {
      if (open.push(new Set()) > depth) return 'nested too deep';
    } else if (token === '}' || token === ']') {
      open.pop();
    } else if (!string && token.length > MAX_NUMBER) {
      return 'a number is too long';
    }
  }
  return undefined;
}

// An integer that a double does not hold could not be answered with itself.
function legalId(id) {
  return typeof id === 'string' ? id.isWellFormed() : Number.isSafeInteger(id);
}

/** What keeps a value from being a request; undefined: it is one. */
function wrong(m) {
  if (!isObject(m)) return 'not an object';
  if (m.jsonrpc !== '2.0') return 'jsonrpc must be "2.0"';
  if (typeof m.method !== 'string') return 'method must be a string';
  if ('result' in m || 'error' in m) return 'a request has neither result nor error';
  if ('id' in m && !legalId(m.id)) return 'id must be a string or an integer';
  if ('params' in m && (typeof m.params !== 'object' || m.params === null)) return 'params must be an object or an array';
  return undefined;
}

let lastId = 0; // no id is used twice in a process, on whatever connection

/**
 * Both halves of the protocol over one connection. send takes a text and does
 * not wait. methods maps a name to a function of (params, wanted), which returns
 * a result or a promise of one, or throws an RpcError; wanted is false for a
 * notification.
 */
export class Peer {
  #send;
  #methods;
  #calls = new Map(); // what waits for a reply, by id
  malformed = 0; // in a row

  constructor(send, methods) {
    this.#send = send;
    this.#methods = new Map(Object.entries(methods));
  }

  /** Sends a request. onReply(result, error) is called when the reply is read, before anything behind it. */
  call(method, params, onReply) {
    const id = this.nextId();
    this.#calls.set(id, onReply);
    this.#send(encode({ jsonrpc: '2.0', id, method, params }));
    return id;
  }

  nextId() {
    return ++lastId;
  }

  /** Gives a call up: its reply, should it come, is too late. */
  forget(id) {
    this.#calls.delete(id);
  }

  /** Handles one message. */
  receive(text) {
    let value;
    try {
      value = JSON.parse(text);
    } catch {
      this.#answer(this.#refusal(PARSE_ERROR, 'parse error'));
      return;
    }
    const fault = faultOf(text);
    if (Array.isArray(value)) this.#batch(value, fault);
    else this.#message(value, fault, (response) => this.#answer(response));
  }

  #answer(response) {
    if (response) this.#send(encode(response));
  }

  #refusal(code, why, id = null) {
    this.malformed++;
    return { jsonrpc: '2.0', id, error: new RpcError(code, why).wire() };
  }

  #batch(members, fault) {
    if (members.length === 0) fault ??= 'the batch is empty';
    if (members.length > MAX_BATCH) fault ??= 'the batch is too large';
    if (fault) {
      this.#answer(this.#refusal(INVALID_REQUEST, `invalid request: ${fault}`));
      return;
    }
    const answers = new Array(members.length);
    let missing = members.length;
    members.forEach((member, slot) => {
      this.#message(member, undefined, (response) => {
        answers[slot] = response;
        if (--missing > 0) return;
        const told = answers.filter(Boolean);
        if (told.length > 0) this.#answer(told);
      }, false);
    });
  }

  /** Judges one value. answer is called once: with the response, or without where none is due. */
  #message(m, fault, answer, alone = true) {
    if (isObject(m) && !('method' in m) && ('result' in m || 'error' in m) && alone && !fault) {
      this.#reply(m);
      answer();
      return;
    }
    const why = fault ?? wrong(m);
    if (!why) {
      this.malformed = 0;
      this.#request(m, answer);
    } else if (isObject(m) && !('id' in m) && m.jsonrpc === '2.0' && typeof m.method === 'string') {
      this.malformed++; // a notification is never answered, whatever it holds
      answer();
    } else {
      answer(this.#refusal(INVALID_REQUEST, `invalid request: ${why}`, isObject(m) && legalId(m.id) ? m.id : null));
    }
  }

  #reply(m) {
    const onReply = this.#calls.get(m.id);
    this.#calls.delete(m.id);
    if (!onReply || m.jsonrpc !== '2.0' || 'result' in m === 'error' in m) {
      this.malformed++;
      return;
    }
    this.malformed = 0;
    if ('result' in m) {
      onReply(m.result);
      return;
    }
    const { code, message, data } = isObject(m.error) ? m.error : {};
    onReply(undefined, new RpcError(Number.isInteger(code) ? code : INTERNAL, String(message).slice(0, 1024), data));
  }

  #request(m, answer) {
    const respond = (member, value) => answer('id' in m ? { jsonrpc: '2.0', id: m.id, [member]: value } : undefined);
    try {
      const method = this.#methods.get(m.method);
      if (!method) throw new RpcError(METHOD_NOT_FOUND, 'no such method');
      const result = method(m.params, 'id' in m);
      if (result instanceof Promise) result.then((value) => respond('result', value));
      else respond('result', result ?? {});
    } catch (error) {
      if (!(error instanceof RpcError)) throw error;
      respond('error', error.wire());
    }
  }
}
