/**
 * System calls that node:fs does not have, made by a Python process: one for a test file, a line of JSON for each
 * call. Python is in Debian's base of development machines and has all of them in its standard library or by ctypes.
 */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface, type Interface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

const PROGRAM = `
import ctypes, errno, fcntl, json, os, struct, sys
os.umask(0o022)
libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), 'failed')
    return result

def renameat2(a, b, flags):
    return checked(libc.renameat2(AT_FDCWD, os.fsencode(a), AT_FDCWD, os.fsencode(b), flags))

def fallocate(path, mode, offset, length):
    fd = os.open(path, os.O_RDWR)
    try:
        return checked(libc.fallocate(fd, mode, ctypes.c_longlong(offset), ctypes.c_longlong(length)))
    finally:
        os.close(fd)

def lseek(path, offset, whence):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.lseek(fd, offset, whence)
    finally:
        os.close(fd)

def mknod(path, mode, rdev):
    os.mknod(path, mode, rdev)
    return 0

# Files that stay open between calls, as those of one process: their locks last until they are closed.
held = {}

def opened(path, flags):
    fd = os.open(path, flags)
    held[fd] = fd
    return fd

def closed(fd):
    os.close(held.pop(fd))
    return 0

def flock(fd, operation):
    fcntl.flock(fd, operation)
    return 0

# A lock of this process (fcntl F_SETLK), or of the open file description (F_OFD_SETLK): ours is Python's, by number.
def setlk(fd, description, kind, start, length):
    fcntl.fcntl(fd, 37 if description else fcntl.F_SETLK, struct.pack('hhqqi4x', kind, 0, start, length, 0))
    return 0

# Type, start and length of what is in the way; the type is F_UNLCK if nothing is.
def getlk(fd, description, kind, start, length):
    asked = struct.pack('hhqqi4x', kind, 0, start, length, 0)
    found = struct.unpack('hhqqi4x', fcntl.fcntl(fd, 36 if description else fcntl.F_GETLK, asked))
    return [found[0], found[2], found[3]] if found[0] != fcntl.F_UNLCK else [found[0], 0, 0]

def copy_file_range(source, source_offset, target, target_offset, length, flags, append):
    one = os.open(source, os.O_RDWR)
    other = os.open(target, os.O_RDWR | (os.O_APPEND if append else 0))
    try:
        offsets = [ctypes.c_longlong(int(source_offset)), ctypes.c_longlong(int(target_offset))]
        libc.copy_file_range.restype = ctypes.c_ssize_t
        return checked(libc.copy_file_range(one, ctypes.byref(offsets[0]), other, ctypes.byref(offsets[1]),
                                            ctypes.c_size_t(int(length)), flags))
    finally:
        os.close(one)
        os.close(other)

def tmpfile(directory, flags, mode, name):
    fd = os.open(directory, flags | os.O_TMPFILE, mode)
    try:
        if name is not None:
            # os.link cannot follow: AT_SYMLINK_FOLLOW.
            checked(libc.linkat(AT_FDCWD, b'/proc/self/fd/%d' % fd, AT_FDCWD, os.fsencode(name), 0x400))
        return os.fstat(fd).st_mode
    finally:
        os.close(fd)

def statx(path, flags, mask):
    room = ctypes.create_string_buffer(256)
    checked(libc.statx(AT_FDCWD, os.fsencode(path), flags | 0x100, ctypes.c_uint(mask), room))
    head = struct.unpack_from('<IIQIIIHxxQQQQ', room.raw)
    names = ['mask', 'blksize', 'attributes', 'nlink', 'uid', 'gid', 'mode', 'ino', 'size', 'blocks', 'attributesMask']
    answer = {name: str(value) for name, value in zip(names, head)}
    for at, name in enumerate(['atimeNs', 'btimeNs', 'ctimeNs', 'mtimeNs']):
        seconds, nanoseconds = struct.unpack_from('<qI', room.raw, 64 + 16 * at)
        answer[name] = str(seconds * 10**9 + nanoseconds)
    return answer

def ioctl(path, command, data):
    fd = os.open(path, os.O_RDONLY)
    try:
        argument = bytearray.fromhex(data)
        fcntl.ioctl(fd, command, argument, True)
        return argument.hex()
    finally:
        os.close(fd)

def getxattr(path, name):
    return os.getxattr(path, name, follow_symlinks=False).hex()

def setxattr(path, name, value, flags):
    os.setxattr(path, name, bytes.fromhex(value), flags, follow_symlinks=False)
    return 0

def listxattr(path):
    return os.listxattr(path, follow_symlinks=False)

def removexattr(path, name):
    os.removexattr(path, name, follow_symlinks=False)
    return 0

def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        return os.write(fd, text.encode())
    finally:
        os.close(fd)

def open_file(path, flags, mode):
    os.close(os.open(path, flags, mode))
    return 0

def mkdir(path, mode):
    os.mkdir(path, mode)
    return 0

def truncate(path, size):
    os.truncate(path, size)
    return 0

def chown(path, uid, gid):
    os.chown(path, uid, gid)
    return 0

def run_as(uid, gid, groups, umask, name, args):
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.umask(umask)
        os.write(send, json.dumps(answer_to(name, args)).encode())
        os._exit(0)
    os.close(send)
    with os.fdopen(receive) as pipe:
        answer = json.load(pipe)
    os.waitpid(child, 0)
    if 'error' in answer:
        raise OSError(getattr(errno, answer['error']), 'failed')
    return answer['value']

calls = {'renameat2': renameat2, 'fallocate': fallocate, 'lseek': lseek, 'mknod': mknod, 'getxattr': getxattr,
         'setxattr': setxattr, 'listxattr': listxattr, 'removexattr': removexattr, 'write': write, 'open': open_file,
         'mkdir': mkdir, 'truncate': truncate, 'chown': chown, 'run_as': run_as, 'tmpfile': tmpfile,
         'copy_file_range': copy_file_range, 'statx': statx, 'ioctl': ioctl, 'opened': opened, 'closed': closed,
         'flock': flock, 'setlk': setlk, 'getlk': getlk}

def answer_to(name, args):
    try:
        return {'value': calls[name](*args)}
    except OSError as error:
        return {'error': errno.errorcode[error.errno]}

for line in sys.stdin:
    print(json.dumps(answer_to(*json.loads(line))), flush=True)
`;

/** Who makes a call. */
export interface Identity {
  readonly uid: number;
  readonly gid: number;
  readonly groups?: readonly number[];
  readonly umask?: number;
}

export class PythonOracle {
  readonly #process: ChildProcessByStdio<Writable, Readable, null>;
  readonly #lines: Interface;
  readonly #answers: AsyncIterator<string>;

  constructor() {
    // The system's own, where there is one: a version manager's start costs half a second.
    const python = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';
    this.#process = spawn(python, ['-c', PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#lines = createInterface({ input: this.#process.stdout });
    this.#answers = this.#lines[Symbol.asyncIterator]();
  }

  /** The attribute calls are those that do not follow symlinks (lgetxattr(2) and its kind). */
  async getxattr(file: string, name: string): Promise<Buffer> {
    return Buffer.from(await this.#call<string>('getxattr', file, name), 'hex');
  }

  setxattr(file: string, name: string, value: Uint8Array, flags = 0): Promise<number> {
    return this.#call('setxattr', file, name, Buffer.from(value).toString('hex'), flags);
  }

  listxattr(file: string): Promise<string[]> {
    return this.#call('listxattr', file);
  }

  removexattr(file: string, name: string): Promise<number> {
    return this.#call('removexattr', file, name);
  }

  /** One of the calls below as somebody else, in a process of its own. Needs root. */
  runAs(
    { uid, gid, groups = [], umask = 0o022 }: Identity,
    call:
      | 'write'
      | 'open'
      | 'mkdir'
      | 'truncate'
      | 'chown'
      | 'mknod'
      | 'setxattr'
      | 'listxattr'
      | 'fallocate'
      | 'copy_file_range',
    ...args: (string | number)[]
  ): Promise<unknown> {
    return this.#call('run_as', uid, gid, groups, umask, call, args);
  }

  /** write(2) of a text at the start of a file. */
  write(file: string, text: string): Promise<number> {
    return this.#call('write', file, text);
  }

  renameat2(from: string, to: string, flags: number): Promise<number> {
    return this.#call('renameat2', from, to, flags);
  }

  fallocate(file: string, mode: number, offset: number, length: number): Promise<number> {
    return this.#call('fallocate', file, mode, offset, length);
  }

  lseek(file: string, offset: number, whence: number): Promise<number> {
    return this.#call('lseek', file, offset, whence);
  }

  mknod(file: string, mode: number, rdev: number): Promise<number> {
    return this.#call('mknod', file, mode, rdev);
  }

  /** Both files are opened for reading and writing; numbers beyond 2^53 are bigint. */
  copyFileRange(
    from: { readonly path: string; readonly offset: bigint },
    to: { readonly path: string; readonly offset: bigint; readonly append?: boolean },
    length: bigint,
    flags = 0,
  ): Promise<number> {
    const append = to.append === true;
    return this.#call(
      'copy_file_range',
      from.path,
      `${from.offset}`,
      to.path,
      `${to.offset}`,
      `${length}`,
      flags,
      append,
    );
  }

  /** Makes a file with O_TMPFILE, gives it a name if there is one, and resolves to its mode. */
  tmpfile(directory: string, flags: number, mode: number, name?: string): Promise<number> {
    return this.#call('tmpfile', directory, flags, mode, name ?? null);
  }

  /** The fields of struct statx as decimal numbers. Symlinks are not followed. */
  statx(file: string, mask: number, flags = 0): Promise<Record<string, string>> {
    return this.#call('statx', file, flags, mask);
  }

  /** The argument as the ioctl has left it. */
  async ioctl(file: string, command: number, argument: Uint8Array): Promise<Buffer> {
    const left = await this.#call<string>('ioctl', file, command, Buffer.from(argument).toString('hex'));
    return Buffer.from(left, 'hex');
  }

  /** Opens a file in the oracle's process, where it stays open. */
  open(file: string, flags: number): Promise<number> {
    return this.#call('opened', file, flags);
  }

  closeFile(fd: number): Promise<number> {
    return this.#call('closed', fd);
  }

  flock(fd: number, operation: number): Promise<number> {
    return this.#call('flock', fd, operation);
  }

  /** A lock of the oracle's process or, with `ofd`, of the open file. A length of 0: to the end. */
  setlk(fd: number, ofd: boolean, type: number, start: number, length: number): Promise<number> {
    return this.#call('setlk', fd, ofd, type, start, length);
  }

  /** [type, start, length] of a lock that is in the way. */
  getlk(fd: number, ofd: boolean, type: number, start: number, length: number): Promise<number[]> {
    return this.#call<number[]>('getlk', fd, ofd, type, start, length);
  }

  close(): void {
    this.#process.stdin.end();
    this.#lines.close();
  }

  async #call<Value = number>(name: string, ...args: unknown[]): Promise<Value> {
    this.#process.stdin.write(`${JSON.stringify([name, args])}\n`);
    const line = await this.#answers.next();
    if (line.done === true) throw new Error('the oracle has ended; is python3 installed?');
    const answer = JSON.parse(line.value) as { value: Value } | { error: string };
    if ('error' in answer) throw Object.assign(new Error(answer.error), { code: answer.error });
    return answer.value;
  }
}
