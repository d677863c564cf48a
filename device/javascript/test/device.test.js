import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Device, DeviceGone, NoLogin } from '../index.js';
import { Bench, DEVICE, HEARTBEAT, PASSWORD, TOKEN, until } from './server.js';

test('login by password, then by the token that it earned', async (t) => {
  const bench = await Bench.open(t);
  const device = bench.device({ client: { name: 't' } });
  bench.run(device);
  let link = await bench.link();
  const { boot_id: boot, ...first } = link.login;
  assert.deepEqual(first, { device_id: DEVICE, password: PASSWORD, client: { name: 't' } });
  link.ws.close(1011);
  link = await bench.link();
  assert.deepEqual(link.login, { device_id: DEVICE, token: TOKEN, boot_id: boot, client: { name: 't' } });
  device.stop();
  await bench.runs[0];
  link = await bench.connected();
  assert.equal(link.login.token, TOKEN);
  assert.notEqual(link.login.boot_id, boot);
  assert.equal(statSync(join(bench.folder, 'token.json')).mode & 0o077, 0);
});

test('login by sn and model', async (t) => {
  const bench = await Bench.open(t);
  const link = await bench.connected({ deviceId: '', deviceSn: 'SN', deviceModel: 'M' });
  assert.deepEqual([link.login.device_sn, link.login.device_model, link.login.device_id], ['SN', 'M', undefined]);
  link.ws.close(1011);
  assert.equal((await bench.link()).login.device_id, DEVICE);
});

test('4401: the password, not the token', async (t) => {
  const bench = await Bench.open(t);
  (await bench.connected()).ws.close(4401);
  const link = await bench.link();
  assert.equal(link.login.password, PASSWORD);
  bench.onLogin = (to, m) => to.refuse(m, -32001, 4401);
  link.ws.close(1011);
  assert.equal((await bench.link()).login.token, TOKEN);
  bench.onLogin = (to, m) => to.welcome(m);
  assert.equal((await bench.link()).login.password, PASSWORD);
});

test('a token that is over is not presented', async (t) => {
  const bench = await Bench.open(t);
  bench.onLogin = (link, m) => link.welcome(m, { token_expires_time: Date.now() - 1 });
  (await bench.connected()).ws.close(1011);
  assert.equal((await bench.link()).login.password, PASSWORD);
});

test('tries', async (t) => {
  const bench = await Bench.open(t);
  bench.onLogin = (link, m) => link.refuse(m, -32600, 4400);
  const device = bench.device({ timeScale: 0.01 });
  for (const links of [5, 10]) { // each run counts for itself
    await assert.rejects(bench.run(device), (error) => error instanceof NoLogin && /after 5 tries/.test(error.message));
    assert.equal(bench.links.size, links);
  }
  bench.run(bench.device({ maxTries: Infinity, timeScale: 0.0001 }));
  await until(() => bench.links.size >= 40);
});

test('nobody listens', async (t) => {
  const bench = await Bench.open(t);
  bench.server.close();
  await assert.rejects(bench.run(bench.device({ timeScale: 0.01 })), /connect: /);
});

test('a login that is not answered, or not understood', async (t) => {
  const bench = await Bench.open(t);
  bench.onLogin = () => {};
  const link = await bench.connected({ timeScale: 0.01 });
  assert.deepEqual(await link.closed, [4408, 'no reply to login']);
  bench.devices[0].stop();
  for (const wrong of [{ device_id: 5 }, { server_time: null }, { token: 1 }]) {
    bench.onLogin = (to, m) => to.welcome(m, wrong);
    const device = bench.device();
    bench.run(device);
    const next = await bench.link();
    assert.equal((await next.closed)[0], 1011);
    device.stop();
  }
});

test('a server that says when is obeyed, and it is no failed try', async (t) => {
  const bench = await Bench.open(t);
  bench.onLogin = (link, m) => link.refuse(m, -32005, 4429, 'retry_after_ms=150', { retry_after_ms: 150 });
  bench.run(bench.device({ maxTries: 2 }));
  const times = [];
  for (let n = 0; n < 3; n++) {
    await bench.link();
    times.push(performance.now());
  }
  for (const wait of [times[1] - times[0], times[2] - times[1]]) assert.ok(wait > 140, `${wait}`);
});

test('no order before the login', async (t) => {
  const bench = await Bench.open(t);
  bench.onLogin = (link, m) => {
    link.send({ jsonrpc: '2.0', id: 'x', method: 'give_order', params: {} });
    link.welcome(m);
  };
  const link = await bench.connected();
  assert.equal((await link.messages.next()).error.code, -32002);
  assert.equal((await link.result()).status, 'success');
});

test('stop', async (t) => {
  const bench = await Bench.open(t);
  const states = [];
  const device = bench.device({ onState: (state) => states.push(state) });
  const run = bench.run(device);
  const link = await bench.link();
  await until(() => states.length > 0);
  await assert.rejects(device.run(), /running already/);
  device.stop();
  await run;
  assert.deepEqual([await link.closed, states], [[1000, 'stopped'], ['online', 'offline']]);
  bench.onLogin = (to, m) => to.refuse(m, -32005, 4429, 'retry_after_ms=3600000');
  const waiting = bench.device();
  const second = bench.run(waiting);
  await (await bench.link()).closed;
  await sleep(50);
  waiting.stop();
  await second;
});

test('1000 and 4410: stop', async (t) => {
  const bench = await Bench.open(t);
  let run = bench.run(bench.device());
  (await bench.link()).ws.close(1000);
  await run;
  run = bench.run(bench.device());
  (await bench.link()).ws.close(4410);
  await assert.rejects(run, DeviceGone);
});

test('options', () => {
  for (const wrong of [
    { url: 'http://x/ws' }, { url: 'ws:' }, { url: 'ws://u:p@x/ws' }, { deviceId: 'x' }, { deviceId: '' }, { deviceSn: 'S' },
    { deviceId: '', deviceSn: 'S' }, { password: '' }, { password: 'p'.repeat(73) }, { tls: { rejectUnauthorized: false } },
    { tls: { checkServerIdentity: () => {} } },
  ]) {
    const options = { url: 'ws://x/ws', deviceId: '1', password: 'p'.repeat(72), ...wrong };
    assert.throws(() => new Device(options), (error) => error instanceof TypeError && !error.message.includes('ppp'), JSON.stringify(wrong));
  }
});

async function restarting(bench, orderId, options) {
  const restarts = [];
  const run = bench.run(bench.device({ restart: () => restarts.push(orderId), ...options }));
  const link = await bench.link();
  const result = await link.result('restart', { order_id: orderId, is_inner: true });
  assert.deepEqual(result, { status: 'success', message: 'wait Server Confirm' });
  return { link, run, restarts };
}

test('restart: on the confirmation of this order, and never twice', async (t) => {
  const bench = await Bench.open(t);
  const { link, run, restarts } = await restarting(bench, '9', { timeScale: 10 });
  link.notify('restart_confirm', { order_id: '8' });
  assert.equal((await link.result('echo', { order_id: '10' })).message, 'busy');
  link.notify('restart_confirm', { order_id: '9' });
  await run;
  assert.deepEqual([await link.closed, restarts], [[1000, 'restart'], ['9']]);
  const again = await restarting(bench, '9', {});
  again.link.notify('restart_confirm', { order_id: '9' });
  assert.equal((await again.link.result('echo', { order_id: '11' })).status, 'success');
  assert.deepEqual(again.restarts, []);
});

test('restart: after 3 s without a confirmation, also if the connection is lost', async (t) => {
  const bench = await Bench.open(t);
  for (const [orderId, lose] of [['9', false], ['10', true]]) {
    const at = performance.now();
    const { link, run, restarts } = await restarting(bench, orderId, { timeScale: 0.1 });
    if (lose) link.ws.close(1011);
    await run;
    assert.deepEqual(restarts, [orderId]);
    assert.ok(performance.now() - at > 300);
  }
});

test('heartbeat', async (t) => {
  const bench = await Bench.open(t, HEARTBEAT);
  const link = await bench.connected({ custom: () => ({ uses: 1 }) });
  await until(() => bench.heard.length >= 10); // when each is due, the tests of the cadence tell
  const sent = link.seen.map(({ method }) => method);
  assert.deepEqual(sent.slice(0, 2), ['login', 'upload_status_info']);
  assert.ok(sent.filter((method) => method === 'ping').length > 3 && sent.filter((method) => method === 'upload_status_info').length > 2);
  const [{ params }] = bench.heard;
  assert.deepEqual([params.device_id, params.dev_state, params.custom], [DEVICE, 'online', { uses: 1 }]);
  assert.ok(params.Memory_info.total_memory_mb > 0 && params.Disk_info.root_total_size_mb > 0 && params.CPU_info.user_cpu_time > 0);
});

test('no replies: the connection is given up, and it begins anew with the next', async (t) => {
  const bench = await Bench.open(t, { ...HEARTBEAT, reply_timeout_ms: 150 });
  const link = await bench.connected();
  await until(() => bench.heard.length >= 2);
  bench.silent = true;
  assert.deepEqual(await link.closed, [4408, 'no replies']);
  bench.silent = false;
  bench.heartbeat = HEARTBEAT;
  const heard = bench.heard.length;
  await bench.link();
  await until(() => bench.heard.length >= heard + 6);
});

test('figures that do not come, or are none, are left out', async (t) => {
  const bench = await Bench.open(t);
  const deep = JSON.parse('['.repeat(30) + ']'.repeat(30));
  const hangs = () => new Promise(() => {});
  const fails = () => {
    throw new Error('no');
  };
  for (const custom of [hangs, fails, () => ({ x: 'y'.repeat(9000) }), () => 5, () => undefined, () => ({ x: deep })]) {
    const device = bench.device({ custom });
    const before = bench.heard.length;
    bench.run(device);
    await bench.link();
    await until(() => bench.heard.length > before);
    const { params } = bench.heard.at(-1);
    assert.ok(!('custom' in params) && params.Memory_info.total_memory_mb > 0);
    device.stop();
    await bench.runs.at(-1);
  }
});

test('malformed messages', async (t) => {
  const bench = await Bench.open(t);
  const link = await bench.connected();
  for (let n = 0; n < 19; n++) {
    link.send(n === 0 ? 'x' : '{}');
    assert.equal((await link.messages.next()).error.code, n === 0 ? -32700 : -32600);
  }
  assert.equal((await link.result()).status, 'success');
  for (let n = 0; n < 20; n++) link.send({ jsonrpc: '2.0', id: 99_999, result: 1 });
  assert.equal((await link.closed)[0], 1008);
});

test('T42: 200 messages at once are served, a flood is 1008', async (t) => {
  const bench = await Bench.open(t);
  const link = await bench.connected();
  for (let id = 0; id < 200; id++) link.send({ jsonrpc: '2.0', id, method: 'x' });
  for (let id = 0; id < 200; id++) assert.equal((await link.messages.next()).id, id);
  for (let n = 0; n < 20_000; n++) link.send({ jsonrpc: '2.0', method: 'x' });
  assert.deepEqual(await link.closed, [1008, 'a flood']);
});

test('64 KiB is read, more is 1009; a binary frame is 1003', async (t) => {
  const bench = await Bench.open(t);
  let link = await bench.connected();
  const sized = (bytes) => {
    const text = '{"jsonrpc":"2.0","id":1,"method":"x","params":{"p":""}}';
    return text.replace('""', `"${'x'.repeat(bytes - text.length)}"`);
  };
  link.send(sized(65_536));
  assert.equal((await link.messages.next()).error.code, -32601);
  link.send(sized(65_537));
  assert.equal((await link.closed)[0], 1009);
  link = await bench.link();
  link.send(Buffer.from('{}'));
  assert.equal((await link.closed)[0], 1003);
  await bench.link();
});

test('device_update: answered when the program was told, one after the other', async (t) => {
  const bench = await Bench.open(t);
  const told = [];
  let goOn;
  const wait = new Promise((resolve) => {
    goOn = resolve;
  });
  const link = await bench.connected({
    onUpdate: async (record) => {
      await wait;
      told.push(record.device_name);
      if (told.length === 1) throw new Error('it makes no difference');
    },
  });
  for (let id = 0; id < 17; id++) link.send({ jsonrpc: '2.0', id, method: 'device_update', params: { device_id: DEVICE, device_name: id } });
  assert.equal((await link.messages.next()).error.code, -32005);
  goOn();
  const all = Array.from({ length: 16 }, (_, n) => n);
  for (const id of all) assert.deepEqual(await link.messages.next(), { jsonrpc: '2.0', id, result: {} });
  assert.deepEqual(told, all);
  assert.equal((await link.ask('device_update', { device_id: '9' })).error.code, -32602);
});
