import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Peer, RpcError, encode, faultOf } from '../lib/rpc.js';

function newPeer() {
  const sent = [];
  const peer = new Peer((text) => sent.push(text), {
    echo: (params) => params,
    refuse: () => {
      throw new RpcError(-32602, 'name: must be a string');
    },
  });
  return { peer, sent };
}

const brief = (m) => (m.error ? { id: m.id, error: m.error.code } : { id: m.id, result: m.result });

test('messages', () => {
  const error = (code, id = null) => ({ id, error: code });
  const request = (members) => `{"jsonrpc":"2.0",${members}}`;
  const deep = (n) => request(`"id":1,"method":"echo","params":${'['.repeat(n)}${']'.repeat(n)}`);
  const number = (n) => request(`"id":1,"method":"echo","params":[${'1'.repeat(n)}]`);
  const ones = (n) => `[${new Array(n).fill(1)}]`;
  for (const [text, want] of [
    [request('"id":1,"method":"echo","params":[1]'), [{ id: 1, result: [1] }]],
    [request('"id":"1","method":"echo","params":[1]'), [{ id: '1', result: [1] }]],
    [request('"id":-7,"method":"echo","params":{}'), [{ id: -7, result: {} }]],
    [request('"id":9007199254740991,"method":"echo","params":{}'), [{ id: 9007199254740991, result: {} }]],
    [request('"id":9007199254740992,"method":"echo","params":{}'), [error(-32600)]],
    [request('"method":"echo","params":[1]'), []],
    [request('"method":"nothing"'), []],
    [request('"method":"echo","params":1'), []],
    [request('"id":2,"method":"nothing"'), [error(-32601, 2)]],
    [request('"id":2,"method":"toString"'), [error(-32601, 2)]],
    [request('"id":2,"method":"refuse"'), [error(-32602, 2)]],
    [request('"id":null,"method":"echo"'), [error(-32600)]],
    [request('"id":1.5,"method":"echo"'), [error(-32600)]],
    [request('"id":"\\ud800","method":"echo"'), [error(-32600)]],
    [request('"id":3,"method":1'), [error(-32600, 3)]],
    ['{"jsonrpc":"1.0","id":3,"method":"echo"}', [error(-32600, 3)]],
    [request('"id":3,"method":"echo","params":"x"'), [error(-32600, 3)]],
    [request('"id":3,"method":"echo","result":1'), [error(-32600, 3)]],
    [request('"id":3,"method":"echo","method":"echo"'), [error(-32600, 3)]],
    [request('"id":3,"method":"echo","params":{"a":1,"\\u0061" :2}'), [error(-32600, 3)]],
    [request('"id":3,"method":"echo","params":[{"a":1},{"a":"a:"}]'), [{ id: 3, result: [{ a: 1 }, { a: 'a:' }] }]],
    ['{"JSONRPC":"2.0","id":3,"method":"echo"}', [error(-32600, 3)]],
    ['{}', [error(-32600)]], ['1', [error(-32600)]], ['null', [error(-32600)]], ['"x"', [error(-32600)]],
    ['', [error(-32700)]], ['{', [error(-32700)]], ['NaN', [error(-32700)]], ['{"a":1}x', [error(-32700)]], ['[[1]', [error(-32700)]],
    [deep(31), [{ id: 1, result: JSON.parse('['.repeat(31) + ']'.repeat(31)) }]], [deep(32), [error(-32600, 1)]],
    [number(32), [{ id: 1, result: [Number('1'.repeat(32))] }]], [number(33), [error(-32600, 1)]],
    ['[]', [error(-32600)]],
    ['[1,2]', [[error(-32600), error(-32600)]]],
    [`[${request('"id":1,"method":"echo","params":[]')},${request('"method":"echo"')},{"foo":1},${request('"id":2,"method":"nothing"')}]`,
      [[{ id: 1, result: [] }, error(-32600), error(-32601, 2)]]],
    [`[${request('"method":"echo"')}]`, []],
    [`[${request('"id":1,"result":1')}]`, [[error(-32600, 1)]]],
    [ones(64), [new Array(64).fill(error(-32600))]],
    [ones(65), [error(-32600)]],
  ]) {
    const { peer, sent } = newPeer();
    peer.receive(text);
    const got = sent.map((answer) => JSON.parse(answer)).map((m) => (Array.isArray(m) ? m.map(brief) : brief(m)));
    assert.deepEqual(got, want, text.slice(0, 100));
  }
});

test('a reply belongs to one call, once', () => {
  const { peer, sent } = newPeer();
  const got = [];
  const id = peer.call('ping', undefined, (result, error) => got.push(result ?? error.code));
  assert.deepEqual(JSON.parse(sent[0]), { jsonrpc: '2.0', id, method: 'ping' });
  const reply = (as) => peer.receive(`{"jsonrpc":"2.0","id":${as},"result":"pong"}`);
  for (const wrong of [`"${id}"`, id + 1, 'null', '[]']) reply(wrong);
  assert.deepEqual([got, peer.malformed], [[], 4]);
  reply(id);
  assert.deepEqual([got, peer.malformed], [['pong'], 0]);
  reply(id);
  assert.deepEqual([got, peer.malformed], [['pong'], 1]);
  const second = peer.call('ping', undefined, (result, error) => got.push(result ?? error.code));
  assert.ok(second > id);
  peer.receive(`{"jsonrpc":"2.0","id":${second},"error":{"code":-32005,"message":"x"}}`);
  assert.deepEqual(got, ['pong', -32005]);
  peer.forget(peer.call('ping', undefined, () => assert.fail('it was given up')));
  reply(second + 1);
});

test('a promise is answered when it is settled, a batch when all of it is', async () => {
  const sent = [], settle = [];
  const peer = new Peer((text) => sent.push(text), { wait: () => new Promise((resolve) => settle.push(resolve)) });
  peer.receive('[{"jsonrpc":"2.0","id":1,"method":"wait"},{"jsonrpc":"2.0","id":2,"method":"wait"}]');
  settle[1]('b');
  await Promise.resolve();
  assert.deepEqual(sent, []);
  settle[0]('a');
  await new Promise(setImmediate);
  assert.deepEqual(JSON.parse(sent[0]).map(brief), [{ id: 1, result: 'a' }, { id: 2, result: 'b' }]);
});

test('text', () => {
  assert.equal(encode({ a: '\ud800x' }), '{"a":"\ufffdx"}');
  assert.equal(faultOf(`{"s":"${'1'.repeat(99)}${'['.repeat(99)}\\"","n":1}`), undefined);
  assert.equal(faultOf('{"":1,"":2}'), 'a name occurs twice in an object');
});
