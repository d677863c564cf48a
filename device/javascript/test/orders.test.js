import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { inWorker } from '../index.js';
import { failure, success } from '../lib/orders.js';
import { Bench, HEARTBEAT, until } from './server.js';

test('results', async (t) => {
  const bench = await Bench.open(t);
  const device = bench.device();
  device.order('later', async ({ x }) => [x]).order('nothing', () => {}).order('fails', () => {
    throw new Error('the lamp is broken');
  }).order('throws', () => {
    throw 'a text';
  });
  bench.run(device);
  const link = await bench.link();
  let n = 0;
  for (const [order, params, want] of [
    ['echo', { a: '灯' }, { status: 'success', message: 'done', data: { a: '灯' } }],
    ['later', { x: 1 }, { status: 'success', message: 'done', data: { value: [1] } }],
    ['nothing', {}, { status: 'success', message: 'done' }],
    ['fails', {}, { status: 'fail', message: 'the lamp is broken' }],
    ['throws', {}, { status: 'fail', message: 'a text' }],
    ['unknown', {}, { status: 'fail', message: 'order not in config' }],
    ['toString', {}, { status: 'fail', message: 'order not in config' }],
  ]) {
    const reply = await link.order(order, { order_id: String(++n), params }, `id-${n}`);
    assert.deepEqual([reply.id, reply.result], [`id-${n}`, want]);
  }
});

test('wrong params', async (t) => {
  const bench = await Bench.open(t);
  const link = await bench.connected();
  for (const [wrong, member] of [
    [{ order_id: 5 }, 'order_id'], [{ order_id: 'x' }, 'order_id'], [{ params: null }, 'params'], [{ params: [] }, 'params'],
    [{ deadline_time: '1' }, 'deadline_time'], [{ is_inner: 1 }, 'is_inner'], [{ order_type: null }, 'order_type'],
    [{ device_id: '9' }, 'device_id'], [{ sftp: [] }, 'sftp'],
  ]) {
    const { error } = await link.order('echo', wrong);
    assert.deepEqual([error.code, error.message.split(':')[0], error.data.retryable], [-32602, member, false]);
  }
  assert.equal((await link.ask('give_order', [1])).error.code, -32602);
  link.notify('give_order', {});
  assert.equal((await link.result()).status, 'success');
});

test('T6: an id that is known is never carried out again', async (t) => {
  const bench = await Bench.open(t);
  let count = 0;
  const device = bench.device().order('count', () => ++count);
  bench.run(device);
  let link = await bench.link();
  const first = await link.result('count', { order_id: '7' });
  assert.deepEqual(await link.result('count', { order_id: '7' }), first);
  assert.deepEqual(await link.result('echo', { order_id: '7', deadline_time: 0 }), first);
  device.stop();
  await bench.runs[0];
  link = await bench.connected();
  assert.deepEqual([await link.result('count', { order_id: '7' }), count], [first, 1]);
});

test("the deadline is by the server's clock", async (t) => {
  const bench = await Bench.open(t);
  const ahead = 3_600_000;
  bench.onLogin = (link, m) => link.welcome(m, { server_time: Date.now() + ahead });
  const link = await bench.connected();
  assert.deepEqual(await link.result(), { status: 'fail', message: 'expired' });
  const later = await link.result('echo', { order_id: '2', deadline_time: Date.now() + ahead + 5000 });
  assert.equal(later.status, 'success');
});

const endless = (id) => ({ order_id: id, order_type: 'wait', is_inner: false, params: {}, deadline_time: 2 ** 50 });

test('one at a time', async (t) => {
  const bench = await Bench.open(t);
  let goOn;
  const device = bench.device().order('wait', () => new Promise((resolve) => {
    goOn = () => resolve('waited');
  }));
  bench.run(device);
  const link = await bench.link();
  for (const id of [1, 2]) link.send({ jsonrpc: '2.0', id, method: 'give_order', params: endless('5') });
  assert.equal((await link.result('echo', { order_id: '6' })).message, 'busy');
  await until(() => goOn);
  goOn();
  const replies = [await link.messages.next(), await link.messages.next()];
  assert.deepEqual(replies.map((r) => [r.id, r.result.data.value]), [[1, 'waited'], [2, 'waited']]);
  assert.equal((await link.result('echo', { order_id: '6' })).message, 'busy', 'it is settled');
});

test('interrupted: what a stop cut off is handed in as such', async (t) => {
  const bench = await Bench.open(t);
  let begun = false;
  const device = bench.device().order('wait', (_, { signal }) => {
    begun = true;
    return sleep(60_000, undefined, { signal });
  });
  bench.run(device);
  let link = await bench.link();
  link.send({ jsonrpc: '2.0', id: 1, method: 'give_order', params: endless('5') });
  await until(() => begun);
  device.stop();
  await bench.runs[0];
  assert.match(readFileSync(join(bench.folder, 'journal'), 'utf8'), /^[0-9a-f]{8} \{"order_id":"5"\}\n$/);
  bench.onLogin = (to, m) => to.welcome(m, { unsettled_orders: ['4', '5', '6'] });
  link = await bench.connected();
  const handed = await link.messages.next();
  assert.deepEqual([handed.method, handed.params], ['upload_instruction_result', { order_id: '5', status: 'fail', message: 'interrupted' }]);
  link.reply(handed, {});
  assert.equal((await link.result('wait', { order_id: '5' })).message, 'interrupted');
});

test('an order goes on while its connection is lost', async (t) => {
  const bench = await Bench.open(t);
  let goOn;
  const device = bench.device().order('wait', () => new Promise((resolve) => {
    goOn = () => resolve({ x: 1 });
  }));
  bench.run(device);
  let link = await bench.link();
  link.send({ jsonrpc: '2.0', id: 1, method: 'give_order', params: endless('5') });
  await until(() => goOn);
  bench.onLogin = (to, m) => to.welcome(m, { unsettled_orders: ['5'] });
  link.ws.close(1011);
  link = await bench.link();
  await until(() => link.seen.length > 1); // its report: the login is done
  goOn();
  const handed = await link.messages.next();
  assert.deepEqual(handed.params, { order_id: '5', status: 'success', message: 'done', data: { x: 1 } });
});

test('orderTimeout', async (t) => {
  const bench = await Bench.open(t);
  let aborted = false, end;
  const device = bench.device({ orderTimeout: 50 }).order('wait', (_, { signal }) => new Promise((_resolve, reject) => {
    end = () => reject(new Error('too late to be told'));
    signal.addEventListener('abort', () => {
      aborted = true;
    });
  }));
  bench.run(device);
  const link = await bench.link();
  assert.deepEqual(await link.result('wait'), { status: 'fail', message: 'timed out' });
  assert.ok(aborted);
  assert.equal((await link.result('echo', { order_id: '2' })).message, 'busy', 'its handler goes on');
  assert.deepEqual(await link.result('wait'), { status: 'fail', message: 'timed out' }, 'it is settled');
  end();
  assert.equal((await link.result('echo', { order_id: '3' })).status, 'success');
});

test('however often an order is given while it runs, the newest who ask are told', async (t) => {
  const bench = await Bench.open(t);
  let end;
  const device = bench.device().order('wait', () => new Promise((resolve) => {
    end = resolve;
  }));
  bench.run(device);
  const link = await bench.link();
  for (let id = 0; id < 12; id++) link.send({ jsonrpc: '2.0', id, method: 'give_order', params: endless('5') });
  await until(() => end);
  assert.equal((await link.result('echo', { order_id: '6' })).message, 'busy');
  end();
  for (let id = 4; id < 12; id++) assert.equal((await link.messages.next()).id, id);
});

test('a handler that computes costs no ping in a worker', async (t) => {
  const bench = await Bench.open(t, HEARTBEAT);
  const device = bench.device().order('block', inWorker(new URL('./block.js', import.meta.url)));
  bench.run(device);
  const link = await bench.link();
  assert.deepEqual((await link.result('block', { params: { ms: 1500 } })).data, { waited: 1500 });
  const beats = link.seen.filter(({ method }) => method === 'ping' || method === 'upload_status_info').map(({ at }) => at);
  assert.ok(beats.length >= 6, `${beats.length} beats`);
  assert.equal(bench.links.size, 0, 'the connection was lost');
  assert.match((await link.result('block', { order_id: '2' })).message, /ms is missing/);
});

test('names', async (t) => {
  const device = (await Bench.open(t)).device();
  for (const name of ['restart', 'upload_log', 'echo', '', '1a', 'a b', 'a'.repeat(65)]) assert.throws(() => device.order(name, () => {}), TypeError, name);
  device.order('a'.repeat(64), () => {});
});

test('data', () => {
  const data = (value) => success(value).data ?? success(value).message.split(':')[0];
  const circle = {};
  circle.self = circle;
  assert.deepEqual([data({ a: 1 }), data(0), data('\ud800')], [{ a: 1 }, { value: 0 }, { value: '\ufffd' }]);
  const nested = (depth) => JSON.parse('['.repeat(depth) + ']'.repeat(depth));
  for (const wrong of [circle, 1n, nested(30)]) assert.equal(data(wrong), 'done; its data has no JSON form');
  assert.deepEqual(data(nested(29)), { value: nested(29) }, '32 with the message around it');
  const most = 'x'.repeat(56 * 1024 - 12);
  assert.deepEqual([data(most), data(`${most}x`)], [{ value: most }, 'done; its data is left out']);
  assert.equal(Buffer.byteLength(failure(new Error('灯'.repeat(1000))).message), 1023);
});
