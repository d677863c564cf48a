// What lies in the state folder: the token of the last login, and the journal of
// orders.

import { randomBytes } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { crc32 } from './crc32.js';

const KEEP = 64; // orders remembered: as many as a server asks for
const MAX_LINES = 4 * KEEP; // lines of the journal before it is written anew

export const interrupted = Object.freeze({ status: 'fail', message: 'interrupted' });

/** Puts data at path whole or not at all, through a power loss as well. Mode 0600. */
export async function replaceFile(path, data) {
  const temporary = join(dirname(path), `${basename(path)}.${randomBytes(6).toString('hex')}.tmp`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(data);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  if (process.platform === 'win32') return; // where a folder cannot be opened
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** Runs functions one after the other. */
class Turns {
  #last = Promise.resolve();

  take(work) {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {}); // it is the caller's
    return turn;
  }
}

/** The credential of the last login, with what it belongs to: no other server or device is shown it. */
export class TokenFile {
  #path;
  #owner; // url, sn and model of the configuration
  #turns = new Turns();
  deviceId = '';
  token = '';
  expires = 0;

  constructor(folder, owner) {
    this.#path = join(folder, 'token.json');
    this.#owner = owner;
  }

  /** A file that is missing, torn or another device's is no credential: the password serves. */
  async load(deviceId) {
    let kept;
    try {
      kept = JSON.parse(await readFile(this.#path, 'utf8'));
    } catch {
      return;
    }
    const mine = Object.entries(this.#owner).every(([name, value]) => kept?.[name] === value);
    if (mine && (deviceId === '' || deviceId === kept.device_id)) this.#set(kept.device_id, kept.token, kept.token_expires_time);
  }

  #set(deviceId, token, expires) {
    Object.assign(this, { deviceId, token, expires });
  }

  keep(deviceId, token, expires) {
    this.#set(deviceId, token, expires);
    const kept = { ...this.#owner, device_id: deviceId, token, token_expires_time: expires };
    return this.#turns.take(() => replaceFile(this.#path, JSON.stringify(kept)));
  }

  forget() {
    this.#set('', '', 0);
    return this.#turns.take(() => rm(this.#path, { force: true }));
  }

  /** Waits for what is being written. */
  settled() {
    return this.#turns.take(() => {});
  }
}

/**
 * Which orders were begun and how they ended: what keeps an order from being
 * carried out twice. The file has a line for each beginning and each result, in
 * the form "crc32 json", synced when it is written. What a crash tore is known by
 * its sum. What a dead process had begun and not ended is settled when the file
 * is opened, once and for all, as interrupted. Where the disk takes nothing, no
 * order is begun until it does.
 */
export class Journal {
  #path;
  #orders = new Map(); // results by id, null while there is none, in order of beginning
  #turns = new Turns();
  #file;
  #lines = 0;
  #broken = true; // the file is not open, or nobody knows what it ends with: write it anew

  static async open(folder, log) {
    const journal = new Journal();
    journal.#path = join(folder, 'journal');
    let text = '';
    try {
      text = await readFile(journal.#path, 'utf8');
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
    for (const { order_id, result } of parseJournal(text)) journal.#apply(order_id, result);
    for (const [id, result] of journal.#orders) journal.#orders.set(id, result ?? interrupted);
    journal.#trim();
    await journal.#rewrite('').catch((error) => log.error(`journal: ${error.message}`));
    return journal;
  }

  /** The remembered result; undefined: the order is unknown, or has none yet. */
  result(id) {
    return this.#orders.get(id) ?? undefined;
  }

  /** An order is about to be carried out. If this rejects, it must not be. */
  async begin(id) {
    await this.#append(id);
    this.#apply(id);
  }

  /** An order has ended. The result is remembered even where the disk fails, which rejects. */
  async end(id, result) {
    this.#apply(id, result);
    this.#trim();
    await this.#append(id, result);
  }

  close() {
    return this.#turns.take(() => this.#file?.close());
  }

  #apply(id, result) {
    this.#orders.set(id, this.#orders.get(id) ?? result ?? null); // the first result stays
  }

  #trim() {
    let excess = this.#orders.size - KEEP;
    for (const [id, result] of this.#orders) {
      if (excess <= 0) return;
      if (result === null) continue;
      this.#orders.delete(id);
      excess--;
    }
  }

  #append(id, result) {
    const line = journalLine(id, result);
    return this.#turns.take(async () => {
      if (this.#broken || this.#lines >= MAX_LINES) {
        await this.#rewrite(line);
        return;
      }
      this.#broken = true;
      await this.#file.writeFile(line);
      await this.#file.sync();
      this.#broken = false;
      this.#lines++;
    });
  }

  async #rewrite(line) {
    const lines = [...this.#orders].map(([id, result]) => journalLine(id, result ?? undefined));
    await replaceFile(this.#path, lines.join('') + line);
    await this.#file?.close();
    this.#file = await open(this.#path, 'a', 0o600);
    this.#lines = lines.length + (line ? 1 : 0);
    this.#broken = false;
  }
}

function journalLine(order_id, result) {
  const body = JSON.stringify({ order_id, result });
  return `${crc32(body)} ${body}\n`;
}

/** The records whose sum is right. */
export function parseJournal(text) {
  const lines = text.split('\n').slice(0, -1); // what has no end of line is torn
  return lines.filter((line) => line.slice(0, 8) === crc32(line.slice(9))).map((line) => JSON.parse(line.slice(9)));
}
