/** What a request says, from its first bytes: src-native/fuse/abi.h has the structures. */
import type { NativeTapped } from '../native/binding.js';

/** Bytes of a name or a path: any but NUL, and not always UTF-8. */
export interface Places {
  readonly path: Buffer | undefined;
  readonly newPath: Buffer | undefined;
}

const NAMED = new Set(['LOOKUP', 'SYMLINK', 'MKNOD', 'MKDIR', 'UNLINK', 'RMDIR', 'CREATE', 'OPEN_ATOMIC']);

/** Where in the share a request does something. Undefined: the way to the node is not known. */
export function placesOf(operation: string, record: NativeTapped): Places {
  const { path, secondPath } = record;
  const names = namesOf(record);
  if (NAMED.has(operation)) return { path: below(path, names[0]), newPath: undefined };
  switch (operation) {
    case 'RENAME':
    case 'RENAME2':
      return { path: below(path, names[0]), newPath: below(secondPath, names[1]) };
    case 'LINK':
      return { path: known(secondPath), newPath: below(path, names[0]) };
    default:
      return { path: known(path), newPath: known(secondPath) };
  }
}

/** The names behind the structure, as far as they were kept. */
export function namesOf({ parameters, namesAt }: NativeTapped): Buffer[] {
  const names: Buffer[] = [];
  let from = namesAt;
  for (let end = parameters.indexOf(0, from); end !== -1; end = parameters.indexOf(0, from)) {
    names.push(parameters.subarray(from, end));
    from = end + 1;
    if (names.length === 2) break;
  }
  return names;
}

const known = (path: Buffer): Buffer | undefined => (path.length === 0 ? undefined : path);

function below(directory: Buffer, name: Buffer | undefined): Buffer | undefined {
  if (directory.length === 0 || name === undefined) return undefined;
  return Buffer.concat(directory.length === 1 ? [directory, name] : [directory, Buffer.from('/'), name]);
}

/** What the operation is to do, beside where: the keys of a line of the audit log. */
export function detailsOf(operation: string, record: NativeTapped): Record<string, unknown> {
  const u32 = (at: number): number => (record.parameters.length < at + 4 ? 0 : record.parameters.readUInt32LE(at));
  const u64 = (at: number): number =>
    record.parameters.length < at + 8 ? 0 : Number(record.parameters.readBigUInt64LE(at));
  switch (operation) {
    case 'OPEN':
      return { flags: openFlags(u32(0)) };
    case 'CREATE':
    case 'OPEN_ATOMIC':
    case 'TMPFILE':
      return { flags: openFlags(u32(0)), mode: octal(u32(4)) };
    case 'MKNOD':
    case 'MKDIR':
    case 'CHROMEOS_TMPFILE':
      return { mode: octal(u32(0)) };
    case 'RENAME2':
      return { flags: bitNames(u32(8), RENAME_FLAGS) };
    case 'SETATTR':
      return { changes: changes(u32, u64) };
    case 'FALLOCATE':
      return { mode: u32(24), offset: u64(8), size: u64(16) };
    case 'COPY_FILE_RANGE':
    case 'COPY_FILE_RANGE_64':
      return { size: u64(40) };
    case 'IOCTL':
      return { command: `0x${u32(12).toString(16)}` };
    case 'RELEASE':
      return { bytesWritten: record.writtenBytes };
    default:
      return {};
  }
}

/** Whether an ioctl hands something to the kernel, by its number's direction (_IOC_WRITE). */
export function ioctlWrites({ parameters }: NativeTapped): boolean {
  return parameters.length >= 16 && ((parameters.readUInt32LE(12) >>> 30) & 1) === 1;
}

const octal = (mode: number): string => `0${(mode & 0o7777).toString(8)}`;

const RENAME_FLAGS = { RENAME_NOREPLACE: 1, RENAME_EXCHANGE: 2, RENAME_WHITEOUT: 4 };

/** The numbers of Linux on the architectures that there are guests for. */
const OPEN_FLAGS = { O_CREAT: 0o100, O_EXCL: 0o200, O_TRUNC: 0o1000, O_APPEND: 0o2000 };
const ACCESS_MODES = ['O_RDONLY', 'O_WRONLY', 'O_RDWR', 'O_ACCMODE'];

function openFlags(flags: number): string {
  const others = bitNames(flags, OPEN_FLAGS);
  const access = ACCESS_MODES[flags & 3] as string;
  return others === undefined ? access : `${access}|${others}`;
}

function bitNames(bits: number, names: Readonly<Record<string, number>>): string | undefined {
  const set = Object.entries(names).filter(([, bit]) => (bits & bit) !== 0);
  return set.length === 0 ? undefined : set.map(([name]) => name).join('|');
}

/** FATTR_…: which attributes SETATTR is to change, and to what. */
function changes(u32: (at: number) => number, u64: (at: number) => number): Record<string, unknown> {
  const valid = u32(0);
  return {
    ...((valid & 1) === 0 ? {} : { mode: octal(u32(68)) }),
    ...((valid & 2) === 0 ? {} : { uid: u32(76) }),
    ...((valid & 4) === 0 ? {} : { gid: u32(80) }),
    ...((valid & 8) === 0 ? {} : { size: u64(16) }),
    ...((valid & 0x5b0) === 0 ? {} : { times: true }),
  };
}
