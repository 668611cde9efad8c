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

calls = {'opened': opened, 'closed': closed, 'flock': flock, 'setlk': setlk, 'getlk': getlk, 'renameat2': renameat2, 'fallocate': fallocate, 'lseek': lseek, 'mknod': mknod}
for line in sys.stdin:
    name, args = json.loads(line)
    try:
        answer = {'value': calls[name](*args)}
    except OSError as error:
        answer = {'error': errno.errorcode[error.errno]}
    print(json.dumps(answer), flush=True)
`;

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

  async #call<Value = number>(name: string, ...args: (string | number | boolean)[]): Promise<Value> {
    this.#process.stdin.write(`${JSON.stringify([name, args])}\n`);
    const line = await this.#answers.next();
    if (line.done === true) throw new Error('the oracle has ended; is python3 installed?');
    const answer = JSON.parse(line.value) as { value: Value; error?: string };
    if (answer.error !== undefined) throw Object.assign(new Error(answer.error), { code: answer.error });
    return answer.value;
  }
}
