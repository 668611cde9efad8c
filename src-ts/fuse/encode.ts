/**
 * Encoding of FUSE replies, 7.46, little endian: the other direction of structs.ts. For those who answer a guest in
 * TypeScript.
 */
import { StructWriter, splitTime } from './structs.js';
import type { Attr, AttrReply, CreateReply, DirectoryEntry, DirectoryPlusEntry, Entry, FileLock } from './structs.js';
import type { IoctlReply, OpenReply, StatfsReply, StatxReply } from './structs.js';
import { IOCTL_OUT_BYTES } from './structs.js';

function attr(writer: StructWriter, value: Attr): StructWriter {
  const [atime, atimeNs] = splitTime(value.atimeNs);
  const [mtime, mtimeNs] = splitTime(value.mtimeNs);
  const [ctime, ctimeNs] = splitTime(value.ctimeNs);
  return writer
    .u64(value.ino)
    .u64(value.size)
    .u64(value.blocks)
    .u64(atime)
    .u64(mtime)
    .u64(ctime)
    .u32(atimeNs)
    .u32(mtimeNs)
    .u32(ctimeNs)
    .u32(value.mode)
    .u32(value.nlink)
    .u32(value.uid)
    .u32(value.gid)
    .u32(value.rdev)
    .u32(value.blksize)
    .u32(value.flags);
}

function entry(writer: StructWriter, value: Entry): StructWriter {
  const [entryValid, entryValidNs] = splitTime(value.entryValidNs);
  const [attrValid, attrValidNs] = splitTime(value.attrValidNs);
  writer.u64(value.nodeId).u64(value.generation).u64(entryValid).u64(attrValid).u32(entryValidNs).u32(attrValidNs);
  return attr(writer, value.attr);
}

const open = (writer: StructWriter, value: OpenReply): StructWriter =>
  writer.u64(value.fh).u32(value.openFlags).skip(4);

export function encodeEntry(value: Entry): Buffer {
  return entry(new StructWriter(128), value).done();
}

export function encodeAttrReply(value: AttrReply): Buffer {
  const [valid, validNs] = splitTime(value.attrValidNs);
  return attr(new StructWriter(104).u64(valid).u32(validNs).u32(0), value.attr).done();
}

export function encodeOpen(value: OpenReply): Buffer {
  return open(new StructWriter(16), value).done();
}

export function encodeCreate(value: CreateReply): Buffer {
  return open(entry(new StructWriter(144), value.entry), value).done();
}

export function encodeStatfs(value: StatfsReply): Buffer {
  return new StructWriter(80)
    .u64(value.blocks)
    .u64(value.bfree)
    .u64(value.bavail)
    .u64(value.files)
    .u64(value.ffree)
    .u32(value.bsize)
    .u32(value.namelen)
    .u32(value.frsize)
    .skip(28)
    .done();
}

export function encodeLockReply(value: Required<FileLock>): Buffer {
  return new StructWriter(24).u64(value.start).u64(value.end).u32(value.type).u32(value.pid).done();
}

export function encodeIoctlReply(value: IoctlReply): Buffer {
  const head = new StructWriter(IOCTL_OUT_BYTES).u32(value.result).skip(12).done();
  return Buffer.concat([head, value.data]);
}

/** Where STATX goes on with what `StatxReply` has no names for: numbers of devices, the id of the mount, limits. */
export const STATX_REST_AT = 160;

export function encodeStatx(value: StatxReply, rest: Uint8Array = Buffer.alloc(128)): Buffer {
  const [valid, validNs] = splitTime(value.attrValidNs);
  const writer = new StructWriter(288)
    .u64(valid)
    .u32(validNs)
    .skip(20)
    .u32(value.mask)
    .u32(value.blksize)
    .u64(value.attributes)
    .u32(value.nlink)
    .u32(value.uid)
    .u32(value.gid)
    .u16(value.mode)
    .skip(2)
    .u64(value.ino)
    .u64(value.size)
    .u64(value.blocks)
    .u64(value.attributesMask);
  for (const time of [value.atimeNs, value.btimeNs, value.ctimeNs, value.mtimeNs]) {
    const [seconds, nanoseconds] = splitTime(time);
    writer.u64(seconds).u32(nanoseconds).skip(4);
  }
  return writer.bytes(rest).done();
}

const paddedTo8 = (length: number): number => (length + 7) & ~7;

function dirent(writer: StructWriter, value: DirectoryEntry): StructWriter {
  return writer.u64(value.ino).u64(value.cookie).u32(value.name.length).u32(value.type).bytes(value.name);
}

export function encodeDirents(entries: readonly DirectoryEntry[]): Buffer {
  return Buffer.concat(
    entries.map((each) => {
      const bytes = 24 + each.name.length;
      return dirent(new StructWriter(paddedTo8(bytes)), each)
        .skip(paddedTo8(bytes) - bytes)
        .done();
    }),
  );
}

export function encodeDirentsPlus(entries: readonly DirectoryPlusEntry[]): Buffer {
  return Buffer.concat(
    entries.map((each) => {
      const bytes = 152 + each.name.length;
      return dirent(entry(new StructWriter(paddedTo8(bytes)), each.entry), each)
        .skip(paddedTo8(bytes) - bytes)
        .done();
    }),
  );
}
