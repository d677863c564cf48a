// A device's side of the tether southbound contract. See README.md and index.d.ts.

export { Device } from './lib/device.js';
export { DeviceGone, NoLogin } from './lib/retry.js';
export { inWorker } from './lib/worker.js';
