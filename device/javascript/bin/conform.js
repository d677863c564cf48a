#!/usr/bin/env node
// A device for the conformance kit: tether conform --exec "node device/javascript/bin/conform.js".

import { createWriteStream, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Device } from '../index.js';

const env = process.env;
const stateDir = env.TETHER_STATE_DIR ?? '.';
mkdirSync(stateDir, { recursive: true, mode: 0o700 });
const logFile = join(stateDir, 'device.log');
const file = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
const write = (level) => (message) => {
  const line = `${new Date().toISOString()} ${level} ${message}\n`;
  process.stderr.write(line);
  file.write(line);
};

// Without a device_id it is known by its serial number and model.
const who = env.TETHER_DEVICE_ID
  ? { deviceId: env.TETHER_DEVICE_ID }
  : { deviceSn: env.TETHER_DEVICE_SN, deviceModel: env.TETHER_DEVICE_MODEL };
const device = new Device({
  url: env.TETHER_URL, ...who, password: env.TETHER_PASSWORD, stateDir, logFile, timeScale: Number(env.TETHER_TIME_SCALE ?? 1),
  logger: { info: write('INFO'), warn: write('WARN'), error: write('ERROR') },
});
device.order('conform_echo', (params) => params);
device.order('conform_sleep', async ({ ms }, { signal }) => {
  await sleep(ms, undefined, { signal });
});
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => device.stop());
try {
  await device.run();
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
