// A whole device: one order of its own, reports, restart and upload_log.
//
//   TETHER_URL=ws://127.0.0.1:9090/ws TETHER_DEVICE_ID=1860… TETHER_PASSWORD=tp_… node examples/blink.js

import { createWriteStream } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Device } from '../index.js';

const logFile = process.env.TETHER_LOG_FILE ?? 'blink.log';
const file = createWriteStream(logFile, { flags: 'a', mode: 0o600 });
const log = (message) => {
  const line = `${new Date().toISOString()} ${message}\n`;
  process.stderr.write(line);
  file.write(line);
};

let total = 0;
const device = new Device({
  url: process.env.TETHER_URL,
  deviceId: process.env.TETHER_DEVICE_ID,
  password: process.env.TETHER_PASSWORD,
  stateDir: process.env.TETHER_STATE_DIR,
  maxTries: Infinity,
  logFile,
  client: { name: 'blink', version: '1.0' },
  custom: () => ({ blinked: total }),
  logger: { info: log, warn: log, error: log },
});

device.order('blink', async ({ times = 1 }, { signal }) => {
  for (let n = 0; n < times; n++) {
    total++;
    await sleep(100, undefined, { signal }); // the lamp
  }
  return { blinked: times };
});

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => device.stop());
await device.run();
