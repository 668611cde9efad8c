/**
 * The application: a key-value store that promises that what `set` has resolved for is there after a crash.
 *
 * It is an append-only log, a record per line: a checksum and the JSON of key and value. `fs` is anything in the shape of
 * node:fs/promises: Node's own, or that of a guest.
 */
const { createHash } = require('node:crypto');
const { posix } = require('node:path');

const CHECKSUM_LENGTH = 8;
const checksumOf = (text) => createHash('sha256').update(text).digest('hex').slice(0, CHECKSUM_LENGTH);

function encode(key, value) {
  const text = JSON.stringify([key, value]);
  return `${checksumOf(text)} ${text}\n`;
}

/** Undefined: it is no record, or not all of one. */
function decode(line) {
  const text = line.slice(CHECKSUM_LENGTH + 1);
  return line.slice(0, CHECKSUM_LENGTH) === checksumOf(text) ? JSON.parse(text) : undefined;
}

class Store {
  #values = new Map();
  #broken = false;

  constructor(fs, directory) {
    this.fs = fs;
    this.directory = directory;
    this.log = posix.join(directory, 'log');
  }

  static async open(fs, directory) {
    const store = new this(fs, directory);
    await store.recover();
    return store;
  }

  get(key) {
    return this.#values.get(key);
  }

  keys() {
    return [...this.#values.keys()];
  }

  async set(key, value) {
    await this.#attempt(async () => {
      await this.file.appendFile(encode(key, value));
      await this.sync(this.file);
    });
    this.#values.set(key, value);
  }

  /** Writes the log anew, without what has been overwritten. */
  async compact() {
    await this.#attempt(async () => {
      const fresh = await this.fs.open(`${this.log}.new`, 'w');
      for (const [key, value] of this.#values) await fresh.appendFile(encode(key, value));
      await this.finish(fresh);
      await this.file.close();
      this.file = await this.fs.open(this.log, 'a');
    });
  }

  /** The new log is complete before it takes the place of the old one. */
  async finish(fresh) {
    await this.sync(fresh);
    await fresh.close();
    await this.fs.rename(`${this.log}.new`, this.log);
    await this.#syncDirectory();
  }

  async close() {
    await this.file.close();
  }

  async sync(file) {
    await file.sync();
  }

  async recover() {
    await this.fs.rm(`${this.log}.new`, { force: true });
    this.file = await this.fs.open(this.log, 'a+');
    await this.#syncDirectory();
    const content = await this.file.readFile();
    let end = 0;
    for (let next = content.indexOf('\n'); next !== -1; next = content.indexOf('\n', end)) {
      const record = decode(content.toString('utf8', end, next));
      if (record === undefined) break;
      this.#values.set(...record);
      end = next + 1;
    }
    if (end < content.length) await this.repair(end);
  }

  /** What is behind the last good record was never acknowledged, and must not become the beginning of the next one. */
  async repair(end) {
    await this.file.truncate(end);
    await this.sync(this.file);
  }

  async #syncDirectory() {
    const directory = await this.fs.open(this.directory);
    await directory.sync();
    await directory.close();
  }

  /** After a failure nobody knows what is in the file: the next `open` finds out. */
  async #attempt(work) {
    if (this.#broken) throw new Error('the store has failed; open it again');
    try {
      await work();
    } catch (error) {
      this.#broken = true;
      throw error;
    }
  }
}

module.exports = { Store };
