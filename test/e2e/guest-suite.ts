/**
 * What every kind of real Linux guest must be able to do, on a backend in this process and on the command. One test file
 * per guest calls this, so that jest can run them side by side.
 */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { FsBackend, VhostUserServer } from 'virtio-fs';
import * as guests from '../guests/index.js';
import { Daemon } from './daemon.js';
import { Place } from './place.js';

const TAG = 'work';
const MOUNT = '/mnt';

/** Everything may take long on a loaded machine with an emulated guest: these only end what hangs. */
const BOOT_TIMEOUT_MS = 180_000;
const WORK_TIMEOUT_MS = 600_000;

function textFiles(files: Record<string, string>): Record<string, Uint8Array> {
  return Object.fromEntries(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)]));
}

function backendTests(name: guests.GuestName, archived: number): void {
  const tree = guests.makeTree(archived);
  let place: Place;
  let backend: FsBackend;
  let server: VhostUserServer;
  let guest: guests.Guest;
  const failures: unknown[] = [];

  beforeAll(async () => {
    place = new Place();
    backend = new FsBackend({ tag: TAG, sharedDir: place.share });
    backend.on('queueError', (event) => failures.push(event));
    server = await VhostUserServer.listen({ backend, socketPath: place.socketPath });
    server.on('disconnected', ({ error }) => error !== undefined && failures.push(error));
    const scripts = { 'basic.sh': guests.BASIC_OPERATIONS, 'privileged.sh': guests.PRIVILEGED_OPERATIONS };
    const files = { ...textFiles(scripts), 'archive.tar': guests.tarArchive(tree) };
    guest = await guests.bootGuest(name, { socketPath: place.socketPath, tag: TAG, files });
  }, BOOT_TIMEOUT_MS);

  afterAll(async () => {
    await guest?.kill();
    await server?.close();
    await backend?.close();
    place?.dispose();
  }, BOOT_TIMEOUT_MS);

  test('the kernel is the one that was meant, and mounts the share by its tag', async () => {
    expect(await guest.check('uname -r')).toBe(`${guest.kernel.release}\n`);
    expect(await guest.check('cat /proc/mounts')).toContain(`${TAG} ${MOUNT} virtiofs rw`);
  });

  test(
    'every operation that a shell can reach works',
    async () => {
      const { output } = await guest.run(`sh /files/basic.sh ${MOUNT}/basic`, { timeoutMs: WORK_TIMEOUT_MS });
      expect(guests.failedChecks(output)).toEqual([]);
      expect(guests.passedChecks(output)).toBe(guests.countChecks(guests.BASIC_OPERATIONS));
    },
    WORK_TIMEOUT_MS,
  );

  // A device that is nobody special can neither give files away nor make device nodes.
  const asRoot = process.getuid?.() === 0 ? test : test.skip;
  asRoot(
    'owners and device nodes are the host’s',
    async () => {
      const { output } = await guest.run(`mkdir -p ${MOUNT}/root && sh /files/privileged.sh ${MOUNT}/root`);
      expect(guests.failedChecks(output)).toEqual([]);
      expect(guests.passedChecks(output)).toBe(guests.countChecks(guests.PRIVILEGED_OPERATIONS));
    },
    WORK_TIMEOUT_MS,
  );

  test(
    `an archive of ${archived} files, unpacked in the share, equals the original in the guest and on the host`,
    async () => {
      const script = guests.unpackAndCompare('archive.tar', `${MOUNT}/tree`, TAG);
      const names = tree.filter(({ type }) => type === 'file' || type === 'link').length;
      expect(await guest.check(script, { timeoutMs: WORK_TIMEOUT_MS })).toBe(`${names}\n`);
      const { files, differences } = guests.compareWithHost(path.join(place.share, 'tree'), tree);
      expect(differences).toEqual([]);
      expect(files).toBe(archived);
    },
    WORK_TIMEOUT_MS,
  );

  test('the kernel has nothing to say against the device, nor the device against the kernel', async () => {
    await guest.check(`umount ${MOUNT}`);
    expect(await guest.complaints()).toEqual([]);
    const { chainsDropped, operations } = backend.stats();
    expect(chainsDropped).toBe(0);
    expect(operations.find((operation) => operation.name === 'CREATE')?.count).toBeGreaterThanOrEqual(archived);
    await guest.shutdown();
    expect(failures).toEqual([]);
  });
}

/** Boots a guest and kills it in the middle of its work. */
async function workAndDie(name: guests.GuestName, { share, socketPath }: Place, directory: string): Promise<void> {
  const guest = await guests.bootGuest(name, { socketPath, tag: TAG });
  try {
    guest.start(guests.endlessWork(`${MOUNT}/${directory}`));
    const entries = (): number => {
      try {
        return readdirSync(path.join(share, directory)).length;
      } catch {
        return 0;
      }
    };
    const deadline = performance.now() + WORK_TIMEOUT_MS / 4;
    while (entries() <= 10) {
      if (performance.now() > deadline) throw new Error(`The guest does not work:\n${guest.console.tail}`);
      await delay(50);
    }
  } finally {
    await guest.kill();
  }
}

function commandTests(name: guests.GuestName): void {
  let place: Place;
  let daemon: Daemon;

  beforeAll(async () => {
    place = new Place();
    daemon = await Daemon.start(place.socketPath, TAG, place.share);
  });

  afterAll(async () => {
    await daemon?.kill();
    place?.dispose();
  });

  test(
    'a guest that is killed in the middle of its work leaves nothing behind, and the next one works',
    async () => {
      const idle = await daemon.settledResources();
      expect(idle.deviceThreads).toEqual([]);
      await workAndDie(name, place, 'first');
      expect(await daemon.settledResources()).toEqual(idle);
      await workAndDie(name, place, 'second');
      expect(await daemon.settledResources()).toEqual(idle);

      const guest = await guests.bootGuest(name, { socketPath: place.socketPath, tag: TAG });
      try {
        expect(await guest.check(`ls -1 ${MOUNT}; echo new >${MOUNT}/third; cat ${MOUNT}/third`)).toBe(
          'first\nsecond\nnew\n',
        );
        expect(await guest.complaints()).toEqual([]);
      } finally {
        await guest.shutdown();
      }
      expect(await daemon.settledResources()).toEqual(idle);
    },
    WORK_TIMEOUT_MS,
  );

  test('SIGTERM ends the command cleanly', async () => {
    expect(await daemon.terminate('SIGTERM')).toEqual({ code: 0, signal: null });
    expect(readdirSync(place.root)).toEqual(['share']);
  });
}

/** The suite for one guest. `archived`: files of the archive; many take minutes, so one of the guests unpacks many. */
export function describeGuest(name: guests.GuestName, { archived = 2000 } = {}): void {
  const reason = guests.unavailableReason(name);
  const describeIt = reason === undefined ? describe : describe.skip;
  describeIt(`${name} as a guest${reason === undefined ? '' : ` (${reason})`}`, () => {
    describe('of a backend in this process', () => backendTests(name, archived));
    describe('of the command', () => commandTests(name));
  });
}
