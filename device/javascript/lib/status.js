// What a status report holds: the host's figures from /proc, and the program's
// own under custom.

import { readFile, statfs } from 'node:fs/promises';
import { MAX_INNER, encode, faultOf, isObject } from './rpc.js';
import { within } from './orders.js';

const WITHIN = 1000; // milliseconds that a report waits for its figures
const MAX_CUSTOM = 8 << 10; // bytes
const USER_HZ = 100; // of /proc, on every architecture that Node runs on

const round = (x, unit) => Math.round(x * unit) / unit;

export async function cpuInfo() {
  const line = (await readFile('/proc/stat', 'utf8')).split('\n', 1)[0];
  const [user, nice, system, idle, ioWait] = line.split(/\s+/).slice(1, 6).map((ticks) => Number(ticks) / USER_HZ);
  return {
    user_cpu_time: round(user + nice, 100), system_cpu_time: round(system, 100),
    idle_cpu_time: round(idle, 100), io_wait_cpu_time: round(ioWait, 100),
  };
}

export async function memoryInfo() {
  const text = await readFile('/proc/meminfo', 'utf8');
  const mib = (...names) => Math.floor(names.reduce((sum, name) => sum + Number(new RegExp(`^${name}: +(\\d+)`, 'm').exec(text)[1]), 0) / 1024);
  return { total_memory_mb: mib('MemTotal'), free_memory_mb: mib('MemFree'), buff_cache_mb: mib('Buffers', 'Cached') };
}

export async function diskInfo(path) {
  const disk = await statfs(path);
  const used = disk.blocks - disk.bfree;
  const mib = (blocks) => Math.floor((blocks * disk.bsize) / (1 << 20));
  return {
    root_total_size_mb: mib(disk.blocks), root_used_size_mb: mib(used),
    root_used_percent: round((100 * used) / Math.max(1, used + disk.bavail), 10),
  };
}

/** A function that measures. It never runs twice at once. */
class Probe {
  #measure;
  #running;

  constructor(measure) {
    this.#measure = measure;
  }

  async read() {
    if (this.#running) throw new Error('still running');
    this.#running = (async () => this.#measure())().finally(() => {
      this.#running = undefined;
    });
    this.#running.catch(() => {}); // told to whoever waits
    return within(WITHIN, this.#running);
  }
}

export class Status {
  #host;
  #custom;
  #log;

  constructor(diskPath, custom, log) {
    this.#host = { CPU_info: new Probe(cpuInfo), Memory_info: new Probe(memoryInfo), Disk_info: new Probe(() => diskInfo(diskPath)) };
    this.#custom = custom && new Probe(custom);
    this.#log = log;
  }

  /** A report. What is not there in time, or not on this host, is left out of it. */
  async collect(deviceId) {
    const host = Object.entries(this.#host).map(async ([name, probe]) => [name, await probe.read().catch(() => ({}))]);
    const [custom, ...figures] = await Promise.all([this.#own(), ...host]);
    return { device_id: deviceId, ...Object.fromEntries(figures), dev_state: 'online', custom };
  }

  async #own() {
    if (!this.#custom) return undefined;
    try {
      const value = await this.#custom.read();
      const text = encode(value);
      const bytes = Buffer.byteLength(text ?? '');
      const fault = isObject(value) ? faultOf(text, MAX_INNER) : 'not an object';
      if (fault || bytes > MAX_CUSTOM) throw new Error(fault ?? `${bytes} bytes, ${MAX_CUSTOM} are the limit`);
      return JSON.parse(text);
    } catch (error) {
      this.#log.warn(`custom figures left out: ${error?.message ?? error}`);
      return undefined;
    }
  }
}
