/** TMPFILE: files without a name, and LINK that gives them one. */
import fs = require('node:fs');
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { FUSE_ROOT_ID, O_TMPFILE } from 'virtio-fs/testing';
import { expectErrno, expectSame, expectSameTrees } from './support/compare.js';
import { conformance } from './support/harness.js';
import { PythonOracle } from './support/python-oracle.js';

const { O_EXCL, O_RDONLY, O_RDWR, O_WRONLY } = fs.constants;

let python: PythonOracle;
beforeAll(() => {
  python = new PythonOracle();
});
afterAll(() => python.close());

/** A file that may only be written and never opened again. */
function isProbeOfOverlayfs(flags: number, mode: number): boolean {
  return flags === O_WRONLY && mode === 0;
}

conformance('tmpfile', (current) => {
  /** Makes one, gives it a name if there is one, and resolves to its mode. */
  async function make(flags: number, mode: number, name?: string): Promise<number> {
    const { fuse } = current().guest;
    const { entry, fh } = await fuse.tmpfile(FUSE_ROOT_ID, flags, mode);
    try {
      if (name !== undefined) {
        const linked = await fuse.link(entry.nodeId, FUSE_ROOT_ID, name);
        expect(linked.nodeId).toBe(entry.nodeId);
        await fuse.forget(entry.nodeId, 1n);
      }
      return (await fuse.getattr(entry.nodeId, fh)).attr.mode;
    } finally {
      await fuse.release(entry.nodeId, fh);
      await fuse.forget(entry.nodeId, 1n);
    }
  }

  test.each([
    ['O_RDWR', O_RDWR],
    ['O_WRONLY', O_WRONLY],
    ['O_RDONLY', O_RDONLY],
    ['O_RDWR|O_EXCL', O_RDWR | O_EXCL],
  ])('with %s: made, and linked', async (_title, flags) => {
    const harness = current();
    for (const mode of [0o666, 0o600, 0o4755, 0]) {
      if (isProbeOfOverlayfs(flags, mode)) continue;
      await expectSame(
        () => make(flags, mode),
        () => python.tmpfile(harness.twin, flags, mode),
      );
      const name = `mode ${mode.toString(8)}`;
      await expectSame(
        () => make(flags, mode, name),
        () => python.tmpfile(harness.twin, flags, mode, harness.host(name)),
      );
    }
    expectSameTrees(harness);
    expect(harness.backend.stats().inodes).toBe(0);
    expect(harness.backend.stats().handles).toBe(0);
  });

  test('overlayfs is told that there are no such files', async () => {
    // Its test of the upper file system; see the device's tmpfile.cc for what it does where they are.
    await expectErrno('ENOTSUP', () => current().guest.fuse.tmpfile(FUSE_ROOT_ID, O_WRONLY, 0));
    const { entry, fh } = await current().guest.fuse.tmpfile(FUSE_ROOT_ID, O_RDWR, 0);
    await current().guest.fuse.release(entry.nodeId, fh);
    await current().guest.fuse.forget(entry.nodeId, 1n);
  });

  test('what is written is there once it has a name, and nothing is left of one that gets none', async () => {
    const { guest, share } = current();
    const { entry, fh } = await guest.fuse.tmpfile(FUSE_ROOT_ID, O_RDWR);
    await guest.fuse.write(entry.nodeId, fh, 0, Buffer.from('text'));
    expect(fs.readdirSync(share)).toEqual([]);
    expect(entry.attr.nlink).toBe(0);
    await guest.fuse.link(entry.nodeId, FUSE_ROOT_ID, 'named');
    await guest.fuse.release(entry.nodeId, fh);
    await guest.fuse.forget(entry.nodeId, 2n);
    expect(fs.readFileSync(`${share}/named`, 'utf8')).toBe('text');
  });

  test('OPEN is no way to it, nor to a descriptor that opens nothing', async () => {
    const { guest, share } = current();
    fs.writeFileSync(`${share}/file`, '');
    const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
    await expectErrno('EINVAL', () => guest.fuse.open(nodeId, O_TMPFILE | O_RDWR));
    await expectErrno('EINVAL', () => guest.fuse.open(nodeId, 0o10000000));
    await guest.fuse.forget(nodeId, 1n);
  });
});
