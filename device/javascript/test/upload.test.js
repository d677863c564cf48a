import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { batch } from '../lib/upload.js';
import { Bench } from './server.js';

const target = { address: '127.0.0.1:1', host_key: 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFYx', username: 'u1', password: 'secret' };

test('what sftp is told', () => {
  assert.equal(batch('/s/log', '/a "b"/*.log', false), 'put "/s/log" "/a \\"b\\"/\\*.log"\n');
  assert.equal(batch('/s/log', '/a/b/1.log', true),
    '-mkdir "/a"\n-mkdir "/a/b"\nput "/s/log" "/a/b/1.log.part"\nrename "/a/b/1.log.part" "/a/b/1.log"\n');
  assert.throws(() => batch('/s/log', '/a\n!reboot', false), /remote_dir/);
});

test('an upload that cannot be done fails, says why, and leaves nothing behind', async (t) => {
  const bench = await Bench.open(t);
  const logFile = join(bench.folder, 'device.log');
  writeFileSync(logFile, 'abc');
  let n = 0;
  for (const [options, sftp, why] of [
    [{ logFile }, undefined, 'no SFTP target is configured and the order carries none'],
    [{}, target, 'no log file is configured'],
    [{ logFile: `${logFile}.not` }, target, 'snapshot of the log: ENOENT'],
    [{ logFile }, { ...target, address: '-oProxyCommand=x:22' }, 'sftp: address'],
    [{ logFile }, { ...target, address: '127.0.0.1' }, 'sftp: address'],
    [{ logFile }, { ...target, host_key: `* ${target.host_key}` }, 'sftp: host_key'],
    [{ logFile }, { ...target, username: '-x' }, 'sftp: username'],
    [{ logFile }, target, 'sftp: ssh: connect to host'],
  ]) {
    const device = bench.device(options);
    bench.run(device);
    const link = await bench.link();
    const result = await link.result('upload_log', { order_id: String(++n), is_inner: true, remote_dir: '/logs', sftp });
    assert.equal(result.status, 'fail');
    assert.ok(result.message.includes(why), result.message);
    device.stop();
    await bench.runs.at(-1);
    assert.deepEqual(readdirSync(bench.folder).filter((name) => name.startsWith('upload')), []);
  }
});
