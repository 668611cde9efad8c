/** setuid, setgid and security.capability, and who takes them away when. The oracle is a process of the same user. */
import fs = require('node:fs');
import { afterAll, describe, expect, test } from '@jest/globals';
import { FUSE_ROOT_ID, INIT_FLAGS, OPEN_KILL_SUIDGID, WRITE_KILL_SUIDGID } from 'virtio-fs/testing';
import { expectSameTrees } from './support/compare.js';
import { conformance, type Harness } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const oracle = new PythonOracle();
afterAll(() => oracle.close());
const isRoot = process.getuid?.() === 0;
const onlyRoot = isRoot ? describe : describe.skip;

const { O_CREAT, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants;
const MODES = [0o4777, 0o2777, 0o6777, 0o2767, 0o6766, 0o777];
const ROOT = { uid: 0, gid: 0 };
const USER = { uid: 1234, gid: 1234 };

/** A group that neither the device nor any of the callers is in. */
const FOREIGN_GROUP = 77;

/** Files with these modes that everybody may write, in both directories. */
function fixture(harness: Harness, modes = MODES, group = FOREIGN_GROUP): string[] {
  fs.chmodSync(harness.root, 0o755);
  harness.prepare((directory) => {
    fs.chmodSync(directory, 0o777);
    for (const mode of modes) {
      const file = `${directory}/${mode.toString(8)}`;
      fs.writeFileSync(file, 'content');
      fs.chownSync(file, 0, group);
      fs.chmodSync(file, mode);
    }
  });
  return modes.map((mode) => mode.toString(8));
}

onlyRoot('privileges', () => {
  conformance('privileges', (current) => {
    /** Runs `work` on the node of each file, as a guest's kernel does for that user. */
    const onEach = async (
      who: typeof USER,
      guest: (nodeId: bigint, kill: boolean, name: string) => Promise<void>,
      host: (file: string) => Promise<unknown>,
      group = FOREIGN_GROUP,
    ): Promise<void> => {
      const harness = current();
      for (const name of fixture(harness, MODES, group)) {
        const { nodeId } = await harness.guest.fuse.lookup(FUSE_ROOT_ID, name);
        await guest(nodeId, who !== ROOT, name);
        await harness.guest.fuse.forget(nodeId, 1n);
        await host(harness.host(name));
      }
      expectSameTrees(harness);
    };

    test('the session has HANDLE_KILLPRIV_V2, and not its predecessor', () => {
      const flags = current().guest.fuse.negotiated?.flags ?? 0n;
      expect(flags & INIT_FLAGS.HANDLE_KILLPRIV_V2).not.toBe(0n);
      expect(flags & INIT_FLAGS.HANDLE_KILLPRIV).toBe(0n);
    });

    test.each([
      ['root', ROOT],
      ['a user', USER],
    ])('a write by %s', async (_title, who) => {
      const { guest } = current();
      await onEach(
        who,
        async (nodeId, kill) => {
          const { fh } = await guest.fuse.open(nodeId, O_WRONLY, who);
          const writeFlags = kill ? WRITE_KILL_SUIDGID : 0;
          await guest.fuse.write(nodeId, fh, 0, Buffer.from('more'), { ...who, writeFlags });
          await guest.fuse.release(nodeId, fh);
        },
        (file) => oracle.runAs(who, 'write', file, 'more'),
      );
    });

    test.each([
      ['the group of the device', 0],
      ["the writer's own group", USER.gid],
    ])('a write by a user to files of %s', async (_title, group) => {
      const { guest } = current();
      await onEach(
        USER,
        async (nodeId) => {
          const { fh } = await guest.fuse.open(nodeId, O_WRONLY, USER);
          await guest.fuse.write(nodeId, fh, 0, Buffer.from('more'), { ...USER, writeFlags: WRITE_KILL_SUIDGID });
          await guest.fuse.release(nodeId, fh);
        },
        (file) => oracle.runAs(USER, 'write', file, 'more'),
        group,
      );
    });

    test.each([
      ['root', ROOT],
      ['a user', USER],
    ])('fallocate by %s', async (_title, who) => {
      const { guest } = current();
      await onEach(
        who,
        async (nodeId) => {
          const { fh } = await guest.fuse.open(nodeId, O_RDWR, who);
          await guest.fuse.fallocate(nodeId, fh, 0, 0, 100, who);
          await guest.fuse.release(nodeId, fh);
        },
        (file) => oracle.runAs(who, 'fallocate', file, 0, 0, 100),
      );
    });

    test.each([
      ['root', ROOT],
      ['a user', USER],
    ])('copy_file_range by %s', async (_title, who) => {
      const harness = current();
      const { guest } = harness;
      harness.prepare((directory) => {
        fs.writeFileSync(`${directory}/source`, 'copied');
        fs.chmodSync(`${directory}/source`, 0o666);
      });
      const source = await guest.fuse.lookup(FUSE_ROOT_ID, 'source');
      const from = { nodeId: source.nodeId, fh: (await guest.fuse.open(source.nodeId, O_RDWR)).fh, offset: 0 };
      await onEach(
        who,
        async (nodeId) => {
          const { fh } = await guest.fuse.open(nodeId, O_RDWR, who);
          expect(await guest.fuse.copyFileRange(from, { nodeId, fh, offset: 0 }, 6, who)).toBe(6n);
          await guest.fuse.release(nodeId, fh);
        },
        (file) => oracle.runAs(who, 'copy_file_range', harness.host('source'), '0', file, '0', '6', 0, 0),
      );
      await guest.fuse.release(from.nodeId, from.fh);
      await guest.fuse.forget(from.nodeId, 1n);
    });

    test('a SETATTR that sets nothing is a chown(2) without ids', async () => {
      const { guest } = current();
      await onEach(
        ROOT,
        async (nodeId) => {
          await guest.fuse.setattr(nodeId, {}, ROOT);
        },
        (file) => oracle.runAs(ROOT, 'chown', file, -1, -1),
      );
    });

    test.each([
      ['root', ROOT],
      ['a user', USER],
    ])('an open with O_TRUNC by %s', async (_title, who) => {
      const { guest } = current();
      await onEach(
        who,
        async (nodeId, kill) => {
          const openFlags = kill ? OPEN_KILL_SUIDGID : 0;
          const { fh } = await guest.fuse.open(nodeId, O_WRONLY | O_TRUNC, { ...who, openFlags });
          await guest.fuse.release(nodeId, fh);
        },
        (file) => oracle.runAs(who, 'open', file, O_WRONLY | O_TRUNC, 0),
      );
    });

    test.each([
      ['root', ROOT],
      ['a user', USER],
    ])('a CREATE with O_TRUNC that meets a file, by %s', async (_title, who) => {
      const { guest } = current();
      await onEach(
        who,
        async (_nodeId, kill, name) => {
          const openFlags = kill ? OPEN_KILL_SUIDGID : 0;
          const flags = O_RDWR | O_CREAT | O_TRUNC;
          const made = await guest.fuse.create(FUSE_ROOT_ID, name, flags, 0o644, { ...who, openFlags });
          await guest.fuse.release(made.entry.nodeId, made.fh);
          await guest.fuse.forget(made.entry.nodeId, 1n);
        },
        (file) => oracle.runAs(who, 'open', file, O_RDWR | O_CREAT | O_TRUNC, 0o644),
      );
    });

    test.each([
      ['root, by name', ROOT, false],
      ['a user, by name', USER, false],
      ['root, of an open file', ROOT, true],
      ['a user, of an open file', USER, true],
    ])('truncating by %s', async (_title, who, byHandle) => {
      const { guest } = current();
      await onEach(
        who,
        async (nodeId, kill) => {
          const fh = byHandle ? (await guest.fuse.open(nodeId, O_RDWR)).fh : undefined;
          const handle = fh === undefined ? {} : { fh };
          await guest.fuse.setattr(nodeId, { size: 3, killSuidgid: kill, ...handle }, who);
          if (fh !== undefined) await guest.fuse.release(nodeId, fh);
        },
        (file) => oracle.runAs(who, 'truncate', file, 3),
      );
    });

    test('a new owner, always with the flag', async () => {
      const { guest } = current();
      await onEach(
        ROOT,
        async (nodeId) => {
          await guest.fuse.setattr(nodeId, { uid: 55, gid: 66, killSuidgid: true });
        },
        (file) => oracle.runAs(ROOT, 'chown', file, 55, 66),
      );
    });

    test('a new owner of a directory costs nothing', async () => {
      const harness = current();
      harness.prepare((directory) => {
        fs.mkdirSync(`${directory}/dir`);
        fs.chmodSync(`${directory}/dir`, 0o6775);
      });
      await harness.guest.fs.chown('/dir', 55, 66);
      fs.chownSync(harness.host('dir'), 55, 66);
      expectSameTrees(harness);
      expect(fs.statSync(`${harness.share}/dir`).mode & 0o7777).toBe(0o6775);
    });

    test('a capability goes with any write, truncation and new owner, whoever asks', async () => {
      const harness = current();
      const { guest, share } = harness;
      // VFS_CAP_REVISION_2, cap_net_raw+ep.
      const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
      const work: Record<string, (nodeId: bigint) => Promise<unknown>> = {
        write: async (nodeId) => {
          const { fh } = await guest.fuse.open(nodeId, O_WRONLY);
          await guest.fuse.write(nodeId, fh, 0, Buffer.from('x'));
          await guest.fuse.release(nodeId, fh);
        },
        truncate: (nodeId) => guest.fuse.setattr(nodeId, { size: 1 }),
        chown: (nodeId) => guest.fuse.setattr(nodeId, { uid: 55, killSuidgid: true }),
      };
      for (const [name, change] of Object.entries(work)) {
        fs.writeFileSync(`${share}/${name}`, 'content');
        const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, name);
        await guest.fuse.setxattr(nodeId, 'security.capability', capability);
        expect(await oracle.listxattr(`${share}/${name}`)).toEqual(['security.capability']);
        await change(nodeId);
        expect([name, await oracle.listxattr(`${share}/${name}`)]).toEqual([name, []]);
        await guest.fuse.forget(nodeId, 1n);
      }
    });

    test('after a write that took bits, the next one has its privilege back', async () => {
      const harness = current();
      const { guest, share } = harness;
      for (const name of fixture(harness, [0o6777])) {
        const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, name);
        const { fh } = await guest.fuse.open(nodeId, O_WRONLY);
        for (let round = 0; round < 20; round++) {
          fs.chmodSync(`${share}/${name}`, 0o6777);
          const kills = round % 2 === 0;
          const writeFlags = kills ? WRITE_KILL_SUIDGID : 0;
          await guest.fuse.write(nodeId, fh, 0, Buffer.from('x'), { writeFlags });
          expect(fs.statSync(`${share}/${name}`).mode & 0o7777).toBe(kills ? 0o777 : 0o6777);
        }
        await guest.fuse.release(nodeId, fh);
        await guest.fuse.forget(nodeId, 1n);
      }
    });
  });
});

onlyRoot('privileges that the guest handles', () => {
  conformance(
    'without HANDLE_KILLPRIV_V2',
    (current) => {
      test('the flag of a guest that did not agree on it means nothing', async () => {
        const harness = current();
        const { guest, share } = harness;
        for (const name of fixture(harness, [0o6777])) {
          const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, name);
          const { fh } = await guest.fuse.open(nodeId, O_WRONLY);
          await guest.fuse.write(nodeId, fh, 0, Buffer.from('x'), { writeFlags: WRITE_KILL_SUIDGID });
          expect(fs.statSync(`${share}/${name}`).mode & 0o7777).toBe(0o6777);
          await guest.fuse.release(nodeId, fh);
          await guest.fuse.forget(nodeId, 1n);
        }
      });
    },
    { flags: INIT_FLAGS.ATOMIC_O_TRUNC | INIT_FLAGS.MAX_PAGES | INIT_FLAGS.BIG_WRITES },
  );
});
