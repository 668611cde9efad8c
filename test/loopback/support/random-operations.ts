/** A guest that does what comes to its mind, the same for the same seed. */
import fs = require('node:fs');
import * as testing from 'virtio-fs/testing';
import { GuestError, type LoopbackGuest } from 'virtio-fs/testing';
import type { Random } from '../../ts/support/random.js';

const { O_CREAT, O_EXCL, O_RDWR, O_TRUNC, S_IFIFO } = fs.constants;
const NAMES = ['a', 'b', 'c', 'long'.repeat(60), Buffer.from([0xff, 0x62]), 'ünï'];

interface Held {
  readonly nodeId: bigint;
  readonly fh: bigint;
}

class RandomGuest {
  readonly #guest: LoopbackGuest;
  readonly #random: Random;
  readonly #nodes: bigint[] = [testing.FUSE_ROOT_ID];
  readonly #directories: bigint[] = [testing.FUSE_ROOT_ID];
  readonly #files: Held[] = [];

  constructor(guest: LoopbackGuest, random: Random) {
    this.#guest = guest;
    this.#random = random;
  }

  /** One request, or a few; what the device refuses is recorded, too. */
  async step(): Promise<void> {
    const work = this.#random.pick([
      ...[() => this.#make(), () => this.#open(), () => this.#move(), () => this.#remove(), () => this.#ask()],
      ...[() => this.#change(), () => this.#transfer(), () => this.#transfer(), () => this.#list()],
    ]);
    try {
      await work();
    } catch (error) {
      if (!(error instanceof GuestError)) throw error;
    }
  }

  async #make(): Promise<void> {
    const { fuse } = this.#guest;
    const [random, parent, name] = [this.#random, this.#directory(), this.#name()];
    const kind = random.below(4);
    if (kind === 0) {
      const { nodeId } = await fuse.mkdir(parent, name, 0o755);
      this.#directories.push(nodeId);
      this.#nodes.push(nodeId);
    } else if (kind === 1) this.#nodes.push((await fuse.symlink(parent, name, this.#name())).nodeId);
    else if (kind === 2) this.#nodes.push((await fuse.mknod(parent, name, S_IFIFO | 0o644)).nodeId);
    else this.#nodes.push((await fuse.link(this.#node(), parent, name)).nodeId);
  }

  async #open(): Promise<void> {
    const { fuse } = this.#guest;
    const random = this.#random;
    if (random.chance(0.2)) {
      const { entry, fh } = await fuse.tmpfile(this.#directory(), O_RDWR);
      this.#files.push({ nodeId: entry.nodeId, fh });
      return;
    }
    const flags = O_RDWR | O_CREAT | random.pick([0, O_EXCL, O_TRUNC]);
    const { entry, fh } = await fuse.create(this.#directory(), this.#name(), flags, random.pick([0o600, 0o666]));
    this.#files.push({ nodeId: entry.nodeId, fh });
    this.#nodes.push(entry.nodeId);
    if (this.#files.length < 10) return;
    const closed = this.#files.splice(random.below(10), 1)[0] as Held;
    await fuse.release(closed.nodeId, closed.fh);
    // Its handle is no longer one.
    await fuse.read(closed.nodeId, closed.fh, 0, 10);
  }

  async #move(): Promise<void> {
    const { fuse } = this.#guest;
    const flags = this.#random.pick([0, testing.RENAME_NOREPLACE, testing.RENAME_EXCHANGE]);
    const [from, name, to, newName] = [this.#directory(), this.#name(), this.#directory(), this.#name()];
    if (flags === 0) await fuse.rename(from, name, to, newName);
    else await fuse.rename2(from, name, to, newName, flags);
  }

  async #remove(): Promise<void> {
    const [parent, name] = [this.#directory(), this.#name()];
    if (this.#random.chance(0.5)) await this.#guest.fuse.unlink(parent, name);
    else await this.#guest.fuse.rmdir(parent, name);
  }

  async #ask(): Promise<void> {
    const { fuse } = this.#guest;
    const kind = this.#random.below(5);
    if (kind === 0) this.#nodes.push((await fuse.lookup(this.#directory(), this.#name())).nodeId);
    else if (kind === 1) await fuse.getattr(this.#node());
    else if (kind === 2) await fuse.readlink(this.#node());
    else if (kind === 3) await fuse.listxattr(this.#node());
    else await fuse.statx(this.#node());
  }

  async #change(): Promise<void> {
    const { fuse } = this.#guest;
    const random = this.#random;
    const node = this.#node();
    const kind = random.below(4);
    if (kind === 0) await fuse.setattr(node, { mode: random.pick([0o700, 0o711, 0o4755]) });
    else if (kind === 1) await fuse.setattr(node, { size: BigInt(random.below(100_000)) });
    else if (kind === 2) await fuse.setattr(node, { mtimeNs: BigInt(random.below(2 ** 31)) * 1_000_000_007n });
    else await fuse.setxattr(node, 'user.random', random.bytes(random.below(50)));
  }

  async #transfer(): Promise<void> {
    const { fuse } = this.#guest;
    const random = this.#random;
    if (this.#files.length === 0) return;
    const [{ nodeId, fh }, other] = [random.pick(this.#files), random.pick(this.#files)];
    const offset = random.below(50_000);
    const kind = random.below(5);
    if (kind === 0) await fuse.read(nodeId, fh, offset, random.below(70_000));
    else if (kind === 1) await fuse.fallocate(nodeId, fh, random.pick([0, 3]), offset, 1 + random.below(9000));
    else if (kind === 2) await fuse.copyFileRange({ nodeId, fh, offset }, { ...other, offset: 0 }, random.below(9000));
    else await fuse.write(nodeId, fh, offset, random.bytes(random.below(5000)));
  }

  /** The whole directory, which is changed meanwhile. */
  async #list(): Promise<void> {
    const { fuse } = this.#guest;
    const nodeId = this.#directory();
    const { fh } = await fuse.opendir(nodeId);
    const plus = this.#random.chance(0.5);
    let cookie = 0n;
    for (;;) {
      const entries = plus
        ? await fuse.readdirplus(nodeId, fh, cookie, 700)
        : await fuse.readdir(nodeId, fh, cookie, 600);
      const last = entries.at(-1);
      if (last === undefined) break;
      cookie = last.cookie;
      if (this.#random.chance(0.3)) await fuse.unlink(nodeId, this.#name()).catch(() => undefined);
      if (this.#random.chance(0.3)) await fuse.mkdir(nodeId, this.#name()).catch(() => undefined);
    }
    await fuse.releasedir(nodeId, fh);
  }

  #node(): bigint {
    return this.#random.pick(this.#nodes);
  }
  #directory(): bigint {
    return this.#random.pick(this.#directories);
  }
  #name(): string | Buffer {
    return this.#random.pick(NAMES);
  }
}

export async function randomOperations(guest: LoopbackGuest, random: Random, steps: number): Promise<void> {
  const one = new RandomGuest(guest, random);
  for (let step = 0; step < steps; step += 1) await one.step();
}
