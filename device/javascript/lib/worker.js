// Handlers that compute for long: in a thread of their own they do not hold up
// the heartbeat.

import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';

/**
 * A handler that runs the default export of a module, a function of the params,
 * in a worker thread, which ends with the order.
 * @param {URL|string} module  as in new URL('./press.js', import.meta.url)
 */
export function inWorker(module) {
  return (params, { signal }) => new Promise((resolve, reject) => {
    const worker = new Worker(new URL(import.meta.url), { workerData: { tetherHandler: String(module), params } });
    signal.addEventListener('abort', () => worker.terminate(), { once: true });
    worker.once('message', resolve);
    worker.once('error', reject);
    worker.once('exit', () => reject(new Error('the worker ended without a result')));
  });
}

if (!isMainThread && workerData?.tetherHandler) {
  const { default: handler } = await import(workerData.tetherHandler);
  parentPort.postMessage(await handler(workerData.params));
}
