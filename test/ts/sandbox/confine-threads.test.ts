/** `confineThreads`: what the threads of a backend give up in a process that is not theirs. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { FsBackend, type ConfineThreadsOptions, type FsBackendOptions } from 'virtio-fs';
import { LoopbackGuest } from 'virtio-fs/testing';
import { loader, sandboxCapabilities, sandboxConfinement } from '../support/internal.js';
import { codeOf, messageOf } from '../support/with-fake.js';
import { threadsOf, type ThreadRights } from './support.js';

/** chown, dac_override, fowner, fsetid, setgid, setuid, mknod, setfcap */
const KEPT = 0x8800_00dbn;

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'vfs-confine-'));
  writeFileSync(path.join(directory, 'file'), 'inside');
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** The threads of this process while a guest uses a backend: those that serve it, and the others. */
async function during(
  options: Partial<FsBackendOptions>,
  look: (serving: ThreadRights[], others: ThreadRights[], backend: FsBackend) => void,
): Promise<void> {
  const backend = new FsBackend({ tag: 'confined', sharedDir: directory, ...options });
  const guest = await LoopbackGuest.boot(backend);
  try {
    expect(await guest.fs.readFile('/file', 'utf8')).toBe('inside');
    await guest.fs.writeFile('/new', 'written');
    expect(readFileSync(path.join(directory, 'new'), 'utf8')).toBe('written');
    const threads = threadsOf(process.pid);
    const serves = ({ name }: ThreadRights): boolean => name.startsWith('v_fs:conf');
    look(
      threads.filter(serves),
      threads.filter((thread) => !serves(thread)),
      backend,
    );
  } finally {
    await guest.close();
    await backend.close();
  }
}

describe('confineThreads', () => {
  test('the threads that serve give up what they do not need, and no other does', async () => {
    const before = threadsOf(process.pid).find(({ name }) => name !== '') as ThreadRights;
    await during({ confineThreads: true }, (serving, others, backend) => {
      expect(serving.length).toBeGreaterThanOrEqual(2);
      for (const { filters, noNewPrivileges, effective, bounding } of serving) {
        expect([filters, noNewPrivileges]).toEqual([1, true]);
        expect(effective & ~KEPT).toBe(0n);
        if (before.effective !== 0n) expect(bounding).toBe(KEPT);
      }
      for (const { filters, noNewPrivileges } of others) expect([filters, noNewPrivileges]).toEqual([0, false]);
      expect(backend.confinement).toMatchObject({ seccomp: 'errno' });
      expect(backend.confinement?.capabilities).toContain('dac_override');
    });
  });

  test('without the option nothing is given up', async () => {
    await during({}, (serving, _others, backend) => {
      for (const { filters, noNewPrivileges } of serving) expect([filters, noNewPrivileges]).toEqual([0, false]);
      expect(backend.confinement).toBeUndefined();
    });
  });

  test('each part can be left out', async () => {
    const confineThreads = { seccomp: 'none', landlock: false, capabilities: '-mknod' } as const;
    await during({ confineThreads }, (serving, _others, backend) => {
      for (const { filters, effective } of serving) {
        expect(filters).toBe(0);
        expect(effective & (1n << 27n)).toBe(0n);
      }
      expect(backend.confinement).toMatchObject({ seccomp: 'none', landlock: 0 });
      expect(backend.confinement?.capabilities).not.toContain('mknod');
    });
  });

  test('Landlock is in force where the kernel has it, and not with file handles', () => {
    const landlock = (config: NonNullable<FsBackendOptions['config']>): number => {
      const backend = new FsBackend({ tag: 'c', sharedDir: directory, config, confineThreads: true });
      const { confinement } = backend;
      void backend.close();
      return confinement?.landlock ?? -1;
    };
    const [, kernel] = /^(\d+)\./.exec(release()) ?? [];
    // Kernels can be built, and started, without it; those of Linux 6 and newer that tests run on mostly are not.
    const version = landlock({ securityCtx: false });
    expect(version === 0 || (version >= 2 && Number(kernel) >= 5)).toBe(true);
    expect(landlock({ securityCtx: false, inodeFileHandles: 'prefer' })).toBe(0);
  });

  test.each([
    ['yes', 'ERR_VIRTIOFS_OPTION_INVALID'],
    [[], 'ERR_VIRTIOFS_OPTION_INVALID'],
    [{ seccomp: 'maybe' }, 'ERR_VIRTIOFS_OPTION_INVALID'],
    [{ landlock: 1 }, 'ERR_VIRTIOFS_OPTION_INVALID'],
    [{ capabilities: 7 }, 'ERR_VIRTIOFS_OPTION_INVALID'],
    [{ capabilities: 'mknod' }, 'ERR_VIRTIOFS_OPTION_INVALID'],
    [{ capabilities: '+sysadmin' }, 'ERR_VIRTIOFS_OPTION_INVALID'],
    [{ secomp: 'kill' }, 'ERR_VIRTIOFS_OPTION_UNKNOWN'],
  ])('%j is refused', async (given, code) => {
    const confineThreads = given as ConfineThreadsOptions;
    expect(await codeOf(() => new FsBackend({ tag: 't', sharedDir: directory, confineThreads }))).toBe(code);
  });
});

describe('capabilities', () => {
  const { keptCapabilities, capabilityNames } = sandboxCapabilities;

  test('the list is changed as told', () => {
    const names = (changes?: string): string[] => capabilityNames(keptCapabilities(changes));
    expect(names()).toEqual(['chown', 'dac_override', 'fowner', 'fsetid', 'setgid', 'setuid', 'mknod', 'setfcap']);
    expect(names('+CAP_SYS_ADMIN:-mknod')).toEqual([...names().slice(0, 6), 'sys_admin', 'setfcap']);
    expect(names('+checkpoint_restore').at(-1)).toBe('checkpoint_restore');
    expect(messageOf(() => keptCapabilities('+sys_admn'))).toContain('did you mean "sys_admin"');
  });
});

describe('the lists of system calls', () => {
  test('are data: every row has a name and a verdict', () => {
    const binding = loader.loadBinding();
    const refused = (list: 'worker' | 'process'): string[] =>
      binding.sandboxSyscalls(list).flatMap(({ name, verdict }) => (verdict === 'refuse' ? [name] : []));
    const allowed = binding
      .sandboxSyscalls('worker')
      .flatMap(({ name, verdict }) => (verdict === 'allow' ? [name] : []));
    expect(refused('worker')).toEqual([]);
    expect(allowed).toEqual(expect.arrayContaining(['openat', 'preadv2', 'renameat2']));
    for (const name of ['execve', 'ptrace', 'mount', 'bpf', 'init_module', 'socket']) {
      expect(refused('process')).toContain(name);
      expect(allowed).not.toContain(name);
    }
  });

  test('the option is off unless it is said', () => {
    const config = { inodeFileHandles: 'never', securityCtx: false } as never;
    expect(sandboxConfinement.parseConfinement(undefined, config)).toEqual({
      seccomp: 'none',
      landlock: false,
      capabilities: undefined,
    });
  });
});
