// What decides has no clock: the cadence of section 4, and what follows an ending.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cadence } from '../lib/cadence.js';
import { DeviceGone, Ending, NoLogin, Retry } from '../lib/retry.js';
import { RpcError } from '../lib/rpc.js';

/** What is sent and when, in seconds, with replies at once where answer says so. */
function play(cadence, until, answer = () => true) {
  const sent = [];
  for (let now = 0; now <= until * 1000;) {
    const { action, wake } = cadence.next(now);
    if (action === 'wait') {
      now = wake;
      continue;
    }
    sent.push(`${now / 1000} ${action}`);
    if (action === 'leave') break;
    if (answer(now / 1000)) cadence.replied(action);
  }
  return sent.join(', ');
}

test('cadence', () => {
  const standard = () => new Cadence({}, 0);
  assert.equal(play(standard(), 35), '0 report, 5 ping, 10 ping, 15 report, 20 ping, 25 ping, 30 report, 35 ping');
  assert.equal(play(standard(), 60, () => false), '0 report, 3 report, 6 report, 9 leave');
  assert.equal(play(standard(), 60, (now) => now < 5), '0 report, 5 ping, 8 ping, 11 ping, 14 leave');
  assert.equal(play(standard(), 20, (now) => now !== 5 && now !== 8), '0 report, 5 ping, 8 ping, 11 ping, 15 report, 20 ping');
  const told = new Cadence({ ping_interval_ms: 1000, status_interval_ms: 4000, reply_timeout_ms: 500, max_failures: 1 }, 0);
  assert.equal(play(told, 6, (now) => now < 5), '0 report, 1 ping, 2 ping, 3 ping, 4 report, 5 ping, 5.5 leave');
});

test('cadence: a report counts from when it went out, not from when its figures were asked for', () => {
  const cadence = new Cadence({}, 0);
  assert.equal(cadence.next(0).action, 'report');
  cadence.reported(900);
  assert.equal(cadence.next(1000).wake, 3900);
  cadence.replied('report');
  assert.equal(cadence.next(1000).wake, 5900);
});

test('cadence: nonsense has the standard value, and all have bounds', () => {
  const nonsense = new Cadence({ ping_interval_ms: -1, status_interval_ms: 'x', reply_timeout_ms: null, max_failures: 0.5 }, 0);
  assert.deepEqual([nonsense.pingEvery, nonsense.reportEvery, nonsense.replyWithin, nonsense.maxFailures], [5000, 15000, 3000, 3]);
  const bounded = new Cadence({ ping_interval_ms: 1, status_interval_ms: 1e12 }, 0);
  assert.deepEqual([bounded.pingEvery, bounded.reportEvery], [100, 3_600_000]);
});

const ending = (members) => Object.assign(new Ending(), members);

test('close codes', () => {
  const retry = new Retry(5, 1, () => 0.5);
  const wait = (members) => retry.after(ending({ loggedIn: true, ...members })).wait;
  for (const code of [0, 1002, 1003, 1007, 1009, 1011, 4400, 4401, 4408]) assert.equal(wait({ code }), 10_000, `${code}`);
  for (const code of [1008, 4409]) assert.equal(wait({ code }), 60_000, `${code}`);
  assert.equal(wait({ code: 1012, reason: 'retry_after_ms=1234' }), 1234);
  assert.equal(wait({ code: 4429, reason: 'retry_after_ms=1' }), 100);
  assert.equal(wait({ code: 4429, reason: 'retry_after_ms=99999999999' }), 3_600_000);
  assert.equal(wait({ code: 1012, reason: 'soon' }), 10_000);
  assert.equal(wait({ refused: new RpcError(-32005, 'x', { retry_after_ms: 700 }) }), 700);
  assert.equal(wait({ refused: new RpcError(-32001, 'x', { retry_after_ms: 700 }) }), 10_000);
  assert.deepEqual(retry.after(ending({ code: 1000 })), { stop: true });
  assert.ok(retry.after(ending({ code: 4410 })).error instanceof DeviceGone);
});

test('tries', () => {
  const retry = new Retry(5);
  const stop = (members) => retry.after(ending(members)).stop ?? false;
  for (let n = 0; n < 4; n++) assert.equal(stop({ code: 4400 }), false);
  assert.equal(stop({ code: 4429, reason: 'retry_after_ms=200' }), false, 'it is no try');
  assert.equal(stop({ loggedIn: true }), false);
  for (let n = 0; n < 4; n++) assert.equal(stop({ reason: 'connect: refused' }), false);
  assert.ok(retry.after(ending({ reason: 'connect: refused' })).error instanceof NoLogin);
  const unlimited = new Retry(Infinity);
  for (let n = 0; n < 1000; n++) assert.ok(unlimited.after(new Ending()).wait > 0);
});

test('jitter', () => {
  const waits = Array.from({ length: 1000 }, () => new Retry(5).after(ending({ loggedIn: true })).wait);
  assert.ok(Math.min(...waits) >= 8000 && Math.max(...waits) <= 12_000);
  assert.ok(Math.min(...waits) < 8500 && Math.max(...waits) > 11_500);
});
