// upload_log: a snapshot of the log, brought to an SFTP server by OpenSSH's sftp
// program. The server's key is always pinned: it is checked before a credential
// is sent. What the order says becomes options and one quoted line, never a
// shell's text.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const LIFETIME = 600_000; // milliseconds; after that the order's credential is void
const TRIES = 3;
const PAUSE = 1000; // doubled after each try
const addressForm = /^\[?([A-Za-z0-9][A-Za-z0-9.:_-]*|::1)\]?:([0-9]{1,5})$/;
const hostKeyForm = /^((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+) ([A-Za-z0-9+/=]+)( .*)?$/;
const userForm = /^[A-Za-z0-9_][A-Za-z0-9_.@-]*$/;
const askpass = '#!/bin/sh\nprintf \'%s\\n\' "$TETHER_SFTP_PASSWORD"\n';

/** Carries an upload_log order out; the data of its result. */
export async function uploadLog(order, { target: own, logFile, remoteDir, deviceId, stateDir, scale, signal }) {
  const target = order.sftp ?? own;
  if (!target) throw new Error('no SFTP target is configured and the order carries none');
  if (!logFile) throw new Error('no log file is configured');
  const remote = `${order.remote_dir || remoteDir}/${deviceId}.log`;
  const folder = await mkdtemp(join(stateDir, 'upload.'));
  try {
    const local = join(folder, 'log');
    const { bytes, sha256 } = await snapshot(logFile, local);
    const command = await prepare(folder, target);
    await put(command, batch(local, remote, !order.sftp), scale, AbortSignal.any([signal, AbortSignal.timeout(LIFETIME)]));
    return { bytes, sha256, remote_path: remote };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What is uploaded is what was counted and hashed, though the log goes on. */
async function snapshot(source, copy) {
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    const count = new Transform({
      transform(chunk, _, done) {
        bytes += chunk.length;
        hash.update(chunk);
        done(null, chunk);
      },
    });
    const { size } = await stat(source);
    if (size === 0) await writeFile(copy, '');
    else await pipeline(createReadStream(source, { end: size - 1 }), count, createWriteStream(copy, { mode: 0o600 }));
    return { bytes, sha256: hash.digest('hex') };
  } catch (error) {
    throw new Error(`snapshot of the log: ${error.code ?? error.message}`);
  }
}

/** The arguments and the environment; the key and the way to ask for the password lie in folder. */
async function prepare(folder, target) {
  const address = addressForm.exec(String(target.address));
  const key = hostKeyForm.exec(String(target.host_key).trim());
  if (!address) throw new Error('sftp: address is not understood');
  if (!key) throw new Error('sftp: host_key is not understood');
  if (!userForm.test(String(target.username))) throw new Error('sftp: username is not understood');
  const [, host, port] = address;
  const known = join(folder, 'known_hosts'), ask = join(folder, 'askpass');
  await writeFile(known, `tether ${key[1]} ${key[2]}\n`);
  await writeFile(ask, askpass, { mode: 0o700 });
  const options = {
    User: target.username, Port: port, HostKeyAlias: 'tether', UserKnownHostsFile: known, GlobalKnownHostsFile: 'none',
    StrictHostKeyChecking: 'yes', UpdateHostKeys: 'no', IdentityAgent: 'none', ConnectTimeout: 10, ServerAliveInterval: 5,
    ServerAliveCountMax: 2, NumberOfPasswordPrompts: 1,
    ...(target.key_file
      ? { IdentityFile: target.key_file, IdentitiesOnly: 'yes', PreferredAuthentications: 'publickey' }
      : { BatchMode: 'no', PubkeyAuthentication: 'no', PreferredAuthentications: 'password' }),
  };
  const flags = Object.entries(options).map(([name, value]) => `-o${name}=${value}`);
  const env = { ...process.env, SSH_ASKPASS: ask, SSH_ASKPASS_REQUIRE: 'force', TETHER_SFTP_PASSWORD: target.password ?? '' };
  return { args: ['-F', 'none', '-oLogLevel=ERROR', ...flags, '-b', '-', host.includes(':') ? `[${host}]` : host], env };
}

/** What sftp does. On a target of the device's own, the file is put into place whole. */
export function batch(local, remote, own) {
  if (/[\x00-\x1f]/.test(local + remote)) throw new Error('remote_dir is not understood');
  if (!own) return `put ${quoted(local)} ${quoted(remote)}\n`;
  const parts = remote.split('/').slice(0, -1);
  const folders = parts.map((_, n) => parts.slice(0, n + 1).join('/')).filter(Boolean);
  const part = quoted(`${remote}.part`);
  return [...folders.map((f) => `-mkdir ${quoted(f)}`), `put ${quoted(local)} ${part}`, `rename ${part} ${quoted(remote)}`, ''].join('\n');
}

const quoted = (path) => `"${path.replace(/["\\*?[\]]/g, '\\$&')}"`;

/** Tries again after what may pass. A host key that differs will not pass, and is not asked twice. */
async function put({ args, env }, commands, scale, signal) {
  let pause = PAUSE * scale;
  for (let left = TRIES - 1; ; left--) {
    const { code, said } = await run(args, env, commands, signal);
    if (code === 0) return;
    if (/Host key verification failed|REMOTE HOST IDENTIFICATION/.test(said)) {
      throw new Error("the SFTP server's host key is not the expected one");
    }
    if (left === 0) throw new Error(`sftp: ${said.trim().slice(-500) || `exit code ${code}`}`);
    await sleep(pause, undefined, { signal });
    pause *= 2;
  }
}

function run(args, env, commands, signal) {
  return new Promise((resolve, reject) => {
    const sftp = spawn('sftp', args, { env, signal, killSignal: 'SIGKILL', detached: true, stdio: ['pipe', 'ignore', 'pipe'] });
    let said = '';
    sftp.stderr.setEncoding('utf8').on('data', (text) => {
      said = (said + text).slice(-4096);
    });
    sftp.on('error', (error) => reject(error.code === 'ENOENT' ? new Error('this device has no sftp program') : error));
    sftp.on('close', (code) => resolve({ code, said }));
    sftp.stdin.on('error', () => {}); // it ended without reading: its exit code tells
    sftp.stdin.end(commands);
  });
}
