import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32 } from '../lib/crc32.js';
import { Journal, TokenFile, interrupted } from '../lib/state.js';

const done = { status: 'success', message: 'done' };

function newFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'tether-test-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test('crc32', () => {
  assert.equal(crc32('123456789'), 'cbf43926');
  assert.equal(crc32(''), '00000000');
});

test('the journal remembers', async (t) => {
  const folder = newFolder(t);
  let journal = await Journal.open(folder);
  await journal.begin('1');
  assert.equal(journal.result('1'), undefined);
  assert.match(readFileSync(join(folder, 'journal'), 'utf8'), /^[0-9a-f]{8} \{"order_id":"1"\}\n$/, 'on the disk when begin resolves');
  await journal.end('1', done);
  await journal.begin('2');
  await journal.close();
  journal = await Journal.open(folder);
  assert.deepEqual([journal.result('1'), journal.result('2'), journal.result('3')], [done, interrupted, undefined]);
  await journal.end('2', done);
  assert.deepEqual(journal.result('2'), interrupted, 'the first result stays');
  assert.equal(statSync(join(folder, 'journal')).mode & 0o777, 0o600);
  await journal.close();
});

test('a torn line costs that line alone', async (t) => {
  const folder = newFolder(t), path = join(folder, 'journal');
  let journal = await Journal.open(folder);
  await journal.begin('1');
  await journal.end('1', done);
  await journal.begin('2');
  await journal.close();
  const whole = readFileSync(path, 'utf8');
  const last = whole.split('\n').slice(0, 2).join('\n').length + 1;
  for (let cut = last; cut < whole.length; cut++) {
    writeFileSync(path, whole.slice(0, cut));
    journal = await Journal.open(folder);
    assert.deepEqual([journal.result('1'), journal.result('2')], [done, undefined], `cut at ${cut}`);
    await journal.close();
  }
});

test('the journal keeps 64 orders, in a bounded file', async (t) => {
  const folder = newFolder(t);
  let journal = await Journal.open(folder);
  for (let n = 0; n < 300; n++) {
    await journal.begin(String(n));
    await journal.end(String(n), done);
  }
  await journal.close();
  assert.ok(readFileSync(join(folder, 'journal'), 'utf8').split('\n').length < 4 * 64 + 3);
  journal = await Journal.open(folder);
  const kept = Array.from({ length: 300 }, (_, n) => n).filter((n) => journal.result(String(n)));
  assert.deepEqual(kept, Array.from({ length: 64 }, (_, n) => n + 236));
  await journal.close();
});

test('a disk that fails: not begun, and the journal mends itself', async (t) => {
  const folder = newFolder(t);
  let journal = await Journal.open(folder);
  await journal.begin('1');
  await journal.close(); // every write fails from here on
  await assert.rejects(journal.begin('2'));
  assert.equal(journal.result('2'), undefined);
  await journal.end('1', done); // written anew
  assert.deepEqual(journal.result('1'), done);
  await journal.begin('3');
  await journal.close();
  journal = await Journal.open(folder);
  assert.deepEqual([journal.result('1'), journal.result('2'), journal.result('3')], [done, undefined, interrupted]);
  await journal.close();
});

test('a process that starts on a full disk remembers, and begins an order when there is room', async (t) => {
  const folder = newFolder(t);
  let journal = await Journal.open(folder);
  await journal.begin('1');
  await journal.close();
  const probe = await open(join(folder, 'journal'));
  const full = t.mock.method(Object.getPrototypeOf(probe), 'sync', async () => {
    throw new Error('full');
  });
  await probe.close();
  const told = [];
  journal = await Journal.open(folder, { error: (message) => told.push(message) });
  assert.deepEqual([journal.result('1'), told], [interrupted, ['journal: full']]);
  await assert.rejects(journal.begin('2'), /full/);
  full.mock.restore();
  await journal.begin('2');
  await journal.close();
  journal = await Journal.open(folder);
  assert.deepEqual([journal.result('1'), journal.result('2')], [interrupted, interrupted]);
  await journal.close();
});

test('the token', async (t) => {
  const folder = newFolder(t), path = join(folder, 'token.json');
  const owner = { url: 'ws://a/ws', sn: '', model: '' };
  await new TokenFile(folder, owner).keep('7', 'tt_x', 5);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const load = async (who, deviceId) => {
    const file = new TokenFile(folder, who);
    await file.load(deviceId);
    return file.token;
  };
  assert.equal(await load(owner, '7'), 'tt_x');
  assert.equal(await load(owner, ''), 'tt_x');
  assert.equal(await load(owner, '8'), '');
  assert.equal(await load({ ...owner, url: 'ws://b/ws' }, '7'), '');
  for (const torn of ['', '{', '[]', 'null', '{"url":"ws://a/ws"}']) {
    writeFileSync(path, torn);
    assert.equal(await load(owner, '7'), '');
  }
  const file = new TokenFile(folder, owner);
  await Promise.all([file.keep('7', 'tt_x', 5), file.forget(), file.forget()]);
  assert.deepEqual(readdirSync(folder), []);
});
