/** Handlers: functions of the application that decide about requests, and what becomes of those that they do not decide. */
import fs = require('node:fs');
import path = require('node:path');
import { expect, test } from '@jest/globals';
import { FuseError, handlers, hide, type Handlers, type HandlerRequest } from 'virtio-fs';
import type { HandledOperation, PolicyObject, RequestContext } from 'virtio-fs';
import { FUSE_ROOT_ID, OPCODES, StructWriter, nameBytes } from 'virtio-fs/testing';
import { expectErrno, outcomeOf } from './support/compare.js';
import { conformance, type Harness } from './support/harness.js';
import { policyCodecs } from '../ts/support/internal.js';

const { O_CREAT, O_RDONLY, O_RDWR } = fs.constants;

type Context = RequestContext<HandledOperation>;

conformance(
  'handlers',
  (current) => {
    const rule = (policy: PolicyObject): void => current().backend.setPolicy(policy);
    const on = (given: Handlers, options = {}): void => rule({ on: [handlers(given, options)] });
    const share = (name: string): string => path.join(current().share, name);
    /** What a handler has seen, in order. */
    const seen: string[] = [];
    /** Tells that it was asked, and passes on. */
    const note =
      (name: string) =>
      <R>(_request: unknown, next: () => Promise<R>): Promise<R> => {
        seen.push(name);
        return next();
      };
    const start = (): Harness => {
      seen.length = 0;
      return current();
    };

    test('a handler sees what is asked, by whom, and where', async () => {
      const { guest } = start();
      fs.mkdirSync(share('dir'));
      fs.writeFileSync(share('dir/file'), 'content');
      let request: HandlerRequest<'open'> | undefined;
      on({
        open: (given, next) => {
          request = given;
          return next();
        },
      });
      expect(await guest.fs.readFile('/dir/file', 'utf8')).toBe('content');
      const { path: at, operation, flags, pid, uid, gid, newPath } = request as HandlerRequest<'open'>;
      expect({ at, operation, access: flags & 3, newPath }).toEqual({
        at: '/dir/file',
        operation: 'open',
        access: O_RDONLY,
        newPath: undefined,
      });
      expect({ pid, uid, gid }).toEqual({ pid: process.pid, uid: process.getuid?.(), gid: process.getgid?.() });
    });

    test('paths are those of names, of nodes, and both of what has two', async () => {
      const { guest } = start();
      const watch = <R>({ operation, path: at, newPath = '' }: Context, next: () => Promise<R>): Promise<R> => {
        seen.push(`${operation} ${at} ${newPath}`.trim());
        return next();
      };
      on({ mkdir: watch, create: watch, write: watch, rename: watch, link: watch, unlink: watch, getattr: watch });
      await guest.fs.mkdir('/a');
      await guest.fs.writeFile('/a/one', 'x');
      await guest.fs.link('/a/one', '/two');
      await guest.fs.rename('/a', '/b');
      await guest.fs.unlink('/b/one');
      await guest.fuse.getattr(FUSE_ROOT_ID);
      expect(seen.filter((each) => !each.startsWith('getattr /a') && !each.startsWith('getattr /two'))).toEqual([
        'mkdir /a',
        'create /a/one',
        'write /a/one',
        'link /a/one /two',
        'rename /a /b',
        'unlink /b/one',
        'getattr /',
      ]);
    });

    test('what a handler throws is the errno', async () => {
      const { guest } = start();
      on({
        mkdir: ({ path: at }) => {
          throw at === '/by-code'
            ? Object.assign(new Error('as Node does'), { code: 'EDQUOT' })
            : new FuseError('EACCES');
        },
      });
      await expectErrno('EACCES', () => guest.fs.mkdir('/new'));
      await expectErrno('EDQUOT', () => guest.fs.mkdir('/by-code'));
      expect(fs.readdirSync(current().share)).toEqual([]);
    });

    test('a handler that fails otherwise costs one EIO, and the backend tells', async () => {
      const { guest, backend } = start();
      const errors: unknown[] = [];
      backend.on('handlerError', ({ operation, path: at, error }) =>
        errors.push(`${operation} ${at}: ${String(error)}`),
      );
      on({
        mkdir: ({ name }) => {
          // eslint-disable-next-line @typescript-eslint/only-throw-error -- what a careless handler may do
          if (name === 'string') throw 'no error at all';
          if (name === 'nothing') return undefined;
          if (name === 'number') return 7 as never;
          throw new TypeError('a mistake');
        },
        statfs: async (_request, next) => {
          await next();
          return await next();
        },
      });
      for (const name of ['thrown', 'string', 'nothing', 'number']) {
        await expectErrno('EIO', () => guest.fs.mkdir(`/${name}`));
      }
      await expectErrno('EIO', () => guest.fs.statfs('/'));
      await guest.fs.writeFile('/file', 'the device goes on');
      expect(errors).toEqual([
        'mkdir /thrown: TypeError: a mistake',
        'mkdir /string: no error at all',
        'mkdir /nothing: TypeError: the handler of "mkdir" has neither answered nor called next()',
        'mkdir /number: TypeError: the handler of "mkdir" has answered with a number, which is no object',
        'statfs /: Error: the handler of "statfs" has called next() twice',
      ]);
    });

    test('arguments and data are rewritten on the way down, replies on the way up', async () => {
      const { guest } = start();
      on({
        create: (_request, next) => next({ mode: 0o100600, name: 'renamed' }),
        write: (request, next) => next({ data: Buffer.from(request.data().toString('utf8').toUpperCase() + '!') }),
        read: async (_request, next) => {
          const { data } = await next();
          return { data: Buffer.from(data.map((byte) => (byte === 0x21 ? 0x3f : byte))) };
        },
        getattr: async (_request, next) => {
          const reply = await next();
          return { ...reply, attr: { ...reply.attr, uid: 4711 } };
        },
      });
      const file = await guest.fuse.create(FUSE_ROOT_ID, 'asked-for', O_RDWR | O_CREAT, 0o666);
      // As much as the guest has sent has been done, whatever that was.
      expect(await guest.fuse.write(file.entry.nodeId, file.fh, 0n, Buffer.from('text'))).toBe(4);
      expect(fs.readFileSync(share('renamed'), 'utf8')).toBe('TEXT!');
      expect(fs.statSync(share('renamed')).mode & 0o777).toBe(0o600);
      expect((await guest.fuse.read(file.entry.nodeId, file.fh, 0n, 100)).toString()).toBe('TEXT?');
      expect((await guest.fuse.getattr(file.entry.nodeId)).attr.uid).toBe(4711);
      await guest.fuse.release(file.entry.nodeId, file.fh);
    });

    test('a listing loses what a handler takes out of it, with the lookups that it counted for', async () => {
      const { guest, backend } = start();
      for (const name of ['shown', 'secret']) fs.writeFileSync(share(name), '');
      on({
        readdirplus: async (_request, next) => {
          const { entries } = await next();
          return { entries: entries.filter(({ name }) => name.toString() !== 'secret') };
        },
      });
      const { fh } = await guest.fuse.opendir(FUSE_ROOT_ID);
      const entries = await guest.fuse.readdirplus(FUSE_ROOT_ID, fh, 0n, 4096);
      expect(entries.map(({ name }) => name.toString()).sort()).toEqual(['.', '..', 'shown']);
      await guest.fuse.releasedir(FUSE_ROOT_ID, fh);
      for (const { entry } of entries) if (entry.nodeId !== 0n) await guest.fuse.forget(entry.nodeId, 1n);
      expect(backend.stats().inodes).toBe(0);
    });

    test('an answer without the file system, and none with numbers that it has not given', async () => {
      const { guest, backend } = start();
      fs.writeFileSync(share('file'), 'real');
      backend.on('handlerError', () => undefined);
      on({
        readlink: () => ({ target: '/nowhere' }),
        statfs: () => ({ blocks: 1n, bfree: 2n, bavail: 3n, files: 4n, ffree: 5n, bsize: 6, namelen: 7, frsize: 8 }),
        unlink: () => ({}),
        open: () => ({ fh: 99n, openFlags: 0 }),
      });
      await guest.fs.unlink('/file');
      expect(fs.existsSync(share('file'))).toBe(true);
      expect(await guest.fuse.readlink((await guest.fuse.lookup(FUSE_ROOT_ID, 'file')).nodeId)).toEqual(
        Buffer.from('/nowhere'),
      );
      expect((await guest.fuse.statfs()).frsize).toBe(8);
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
      await expectErrno('EIO', () => guest.fuse.open(nodeId, O_RDONLY));
    });

    test('what the guest is denied after it has been done is not kept open', async () => {
      const { guest, backend } = start();
      fs.writeFileSync(share('file'), 'x');
      on({
        open: async (_request, next) => {
          await next();
          throw new FuseError('EPERM');
        },
        create: async (_request, next) => {
          await next();
          throw new FuseError('EPERM');
        },
        opendir: async (_request, next) => {
          await next();
          throw new FuseError('EPERM');
        },
        mkdir: async (_request, next) => {
          await next();
          throw new FuseError('EPERM');
        },
      });
      await expectErrno('EPERM', () => guest.fs.readFile('/file'));
      await expectErrno('EPERM', () => guest.fs.writeFile('/new', 'x'));
      await expectErrno('EPERM', () => guest.fs.readdir('/'));
      await expectErrno('EPERM', () => guest.fs.mkdir('/dir'));
      await guest.fs.settled();
      const { inodes, handles } = backend.stats();
      expect({ inodes, handles }).toEqual({ inodes: 0, handles: 0 });
      // What has been done has been done.
      expect(fs.readdirSync(current().share).sort()).toEqual(['dir', 'file', 'new']);
    });

    test('the first set is asked first, and what is inside comes before the rules', async () => {
      const { guest } = start();
      fs.writeFileSync(share('file'), 'x');
      fs.writeFileSync(share('secret'), 'x');
      const note =
        (name: string) =>
        async <R>(request: Context, next: () => Promise<R>): Promise<R> => {
          seen.push(`${name} in ${request.path}`);
          try {
            return await next();
          } catch (error) {
            seen.push(`${name} failed: ${(error as FuseError).code}`);
            throw error;
          } finally {
            seen.push(`${name} out`);
          }
        };
      rule({
        rules: [hide('secret')],
        on: [handlers({ lookup: note('outer') }), handlers({ lookup: note('inner') }, { paths: 'secret' })],
      });
      await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
      expect(seen.splice(0)).toEqual(['outer in /file', 'outer out']);
      await expectErrno('ENOENT', () => guest.fuse.lookup(FUSE_ROOT_ID, 'secret'));
      expect(seen).toEqual([
        'outer in /secret',
        'inner in /secret',
        'inner failed: ENOENT',
        'inner out',
        'outer failed: ENOENT',
        'outer out',
      ]);
    });

    test('only the paths and operations that are named are asked about', async () => {
      const { guest } = start();
      fs.mkdirSync(share('guarded/deep'), { recursive: true });
      for (const name of ['free.txt', 'guarded/one.txt', 'guarded/deep/two.pem', 'three.pem']) {
        fs.writeFileSync(share(name), '');
      }
      on(
        {
          open: (request, next) => {
            seen.push(request.path);
            return next();
          },
        },
        { paths: ['/guarded/', '*.pem', '!three.pem'] },
      );
      for (const name of ['free.txt', 'guarded/one.txt', 'guarded/deep/two.pem', 'three.pem']) {
        await guest.fs.readFile(`/${name}`);
      }
      expect(seen).toEqual(['/guarded/one.txt', '/guarded/deep/two.pem']);
    });

    test('names that are no UTF-8 come through, both ways', async () => {
      const { guest } = start();
      const name = Buffer.from([0x61, 0xff, 0xc3, 0x28, 0xe2, 0x82, 0xac]);
      on({
        create: (request, next) => {
          seen.push(request.name);
          return next({ name: request.name, mode: 0o100640 });
        },
      });
      const { fh, entry } = await guest.fuse.create(FUSE_ROOT_ID, name, O_RDWR | O_CREAT);
      await guest.fuse.release(entry.nodeId, fh);
      expect(fs.readdirSync(current().share, { encoding: 'buffer' })).toEqual([name]);
      expect(seen).toEqual(['a\udcff\udcc3(\u20ac']);
    });

    test('a handler that takes its time holds up nobody else', async () => {
      const { guest } = start();
      fs.writeFileSync(share('slow'), 'slow');
      fs.writeFileSync(share('quick'), 'quick');
      let finish = (): void => undefined;
      const finished = new Promise<void>((resolve) => (finish = resolve));
      on(
        {
          open: async (_request, next) => {
            await finished;
            return next();
          },
        },
        { paths: 'slow' },
      );
      const slow = guest.fs.readFile('/slow', 'utf8');
      expect(await guest.fs.readFile('/quick', 'utf8')).toBe('quick');
      finish();
      expect(await slow).toBe('slow');
    });

    test.each([
      ['an errno', 'EACCES', { error: 'EACCES' }],
      ['as if there were no handlers', 'proceed', { value: 'content' }],
    ] as const)('after the deadline the guest gets its verdict: %s', async (_title, onDeadline, outcome) => {
      const { guest } = start();
      fs.writeFileSync(share('file'), 'content');
      let late: (() => Promise<unknown>) | undefined;
      let abort = (_reason: unknown): void => undefined;
      const aborted = new Promise((resolve) => (abort = resolve));
      on(
        {
          open: ({ signal }, next) =>
            new Promise(() => {
              late = next;
              signal.addEventListener('abort', () => abort(signal.reason));
            }),
        },
        { deadlineMs: 30, onDeadline },
      );
      expect(await outcomeOf(() => guest.fs.readFile('/file', 'utf8'))).toEqual(outcome);
      // What it says now changes nothing.
      expect(await outcomeOf(async () => void (await late?.()))).toEqual({ error: 'ETIMEDOUT' });
      expect(((await aborted) as FuseError).code).toBe('ETIMEDOUT');
    });

    test('other handlers decide about what comes after them, and those before about theirs', async () => {
      const { guest } = start();
      let finish = (): void => undefined;
      const finished = new Promise<void>((resolve) => (finish = resolve));
      on({
        mkdir: async () => {
          await finished;
          throw new FuseError('EXDEV');
        },
      });
      const first = outcomeOf(() => guest.fs.mkdir('/first'));
      await guest.fs.writeFile('/here', '');
      on({
        mkdir: () => {
          throw new FuseError('ENOSPC');
        },
      });
      await expectErrno('ENOSPC', () => guest.fs.mkdir('/second'));
      finish();
      expect(await first).toEqual({ error: 'EXDEV' });
      rule({});
      await guest.fs.mkdir('/third');
    });

    test('INTERRUPT ends what a handler has', async () => {
      const { guest } = start();
      let abort = (_reason: unknown): void => undefined;
      const aborted = new Promise((resolve) => (abort = resolve));
      let ask = (): void => undefined;
      const asked = new Promise<void>((resolve) => (ask = resolve));
      on({
        mkdir: ({ signal }) =>
          new Promise((_resolve, reject) => {
            ask();
            signal.addEventListener('abort', () => {
              abort(signal.reason);
              reject(signal.reason as Error);
            });
          }),
      });
      const unique = guest.engine.takeUnique();
      const body = [Buffer.alloc(8), Buffer.from('dir\0')];
      const waiting = guest.request(OPCODES.MKDIR, { unique, body });
      await asked;
      await guest.fuse.interrupt(unique);
      expect((await waiting).error).toBe(-4);
      expect(((await aborted) as FuseError).code).toBe('EINTR');
    });

    test('a queue stops although a handler never answers, and so does the backend', async () => {
      const { guest } = start();
      let abort = (_code: string): void => undefined;
      const aborted = new Promise<string>((resolve) => (abort = resolve));
      on({
        mkdir: ({ signal }) =>
          new Promise(() => signal.addEventListener('abort', () => abort((signal.reason as FuseError).code))),
      });
      const waiting = outcomeOf(() => guest.fs.mkdir('/dir'));
      await guest.fs.stat('/');
      await guest.pause();
      await guest.resume();
      expect(await waiting).toEqual({ error: 'ETIMEDOUT' });
      expect(['EAGAIN', 'ETIMEDOUT']).toContain(await aborted);
      const another = outcomeOf(() => guest.fs.mkdir('/other'));
      await guest.fs.stat('/');
      await guest.powerOff();
      expect(Object.keys(await another)).toEqual(['error']);
    });

    test('every operation by its name and with its parameters', async () => {
      const { guest } = start();
      const all: Record<string, unknown> = {};
      const note = <R>(request: Context, next: () => Promise<R>): Promise<R> => {
        all[request.operation] = Object.keys(policyCodecs.ownParameters(request)).sort();
        return next();
      };
      const names = ['setattr', 'symlink', 'mknod', 'rmdir', 'setxattr', 'getxattr', 'listxattr', 'removexattr'];
      const more = ['flush', 'fsync', 'access', 'lseek', 'fallocate', 'tmpfile', 'statx', 'readlink'];
      on(Object.fromEntries([...names, ...more].map((name) => [name, note])));
      const files = guest.fs;
      await files.mkdir('/d');
      await files.rmdir('/d');
      await files.symlink('target', '/link');
      await files.readlink('/link');
      await files.mknod('/fifo', 0o10644);
      const file = await files.open('/f', 'w+');
      await file.datasync();
      await file.close();
      await files.chmod('/f', 0o600);
      await files.access('/f', fs.constants.R_OK);
      await files.setxattr('/f', 'user.x', 'value');
      await files.getxattr('/f', 'user.x');
      await files.listxattr('/f');
      await files.removexattr('/f', 'user.x');
      expect(all).toMatchObject({
        setattr: ['changes'],
        symlink: ['name', 'target'],
        mknod: ['mode', 'name', 'rdev', 'umask'],
        rmdir: ['name'],
        readlink: [],
        fsync: ['fh', 'fsyncFlags'],
        flush: ['fh', 'lockOwner'],
        access: ['mask'],
        setxattr: ['flags', 'name', 'setxattrFlags', 'size', 'value'],
        getxattr: ['name', 'size'],
        listxattr: ['size'],
        removexattr: ['name'],
      });
    });

    test('what asks for more than there is room for is refused before a handler is told', async () => {
      const { guest } = start();
      fs.writeFileSync(share('file'), 'x'.repeat(8192));
      const { nodeId } = await guest.fuse.lookup(FUSE_ROOT_ID, 'file');
      const { fh } = await guest.fuse.open(nodeId, O_RDONLY);
      on({ read: note('read'), getxattr: note('getxattr'), listxattr: note('listxattr') });
      const read = new StructWriter(40).u64(fh).u64(0n).u32(8192).u32(0).u64(0n).u64(0n).done();
      const sized = new StructWriter(8).u32(4096).u32(0).done();
      const attempts: [number, Buffer[]][] = [
        [OPCODES.READ, [read]],
        [OPCODES.GETXATTR, [sized, nameBytes('user.x')]],
        [OPCODES.LISTXATTR, [sized]],
      ];
      for (const [opcode, body] of attempts) {
        const { error } = await guest.request(opcode, { nodeId, body, replyBytes: 100 });
        expect([opcode, error]).toEqual([opcode, -22]);
      }
      expect(seen).toEqual([]);
      await guest.fuse.release(nodeId, fh);
    });

    test('a node with a number that a mount could have given, and none has, does not exist', async () => {
      const { guest } = start();
      on({ getattr: note('getattr') });
      for (const nodeId of [1n << 62n, (1n << 64n) - 1n]) {
        await expectErrno('EBADF', () => guest.fuse.getattr(nodeId));
      }
      expect(seen).toEqual([]);
    });
  },
  {},
  {},
  [],
);

conformance(
  'handlers of a read-only share',
  (current) => {
    test('CREATE of what is there, to write, is EROFS', async () => {
      fs.writeFileSync(path.join(current().share, 'file'), 'x');
      await expectErrno('EROFS', () => current().guest.fuse.create(FUSE_ROOT_ID, 'file', O_CREAT | O_RDWR));
    });
  },
  {},
  { readOnly: true },
  { on: { create: (_request, next) => next() } },
);
