/** The wire formats of operations for handlers: one row for each, from which their names and opcodes come, too. */
import { LK_FLOCK, OPCODES } from '../../fuse/abi.js';
import * as encode from '../../fuse/encode.js';
import * as structs from '../../fuse/structs.js';
import { StructWriter } from '../../fuse/structs.js';
import { decodeText, encodeText } from '../../fuse/text.js';
import type {
  HandledOperation,
  Handlers,
  OperationParameters,
  OperationReplies,
  RequestContext,
} from './operations.js';

/** What is sent: fields of a structure, then texts with a NUL behind each, then perhaps bytes. */
export interface ParametersCodec<P> {
  /** Of the structure: fewer are malformed. */
  readonly bytes: number;
  /** Throws a RangeError: they are malformed. */
  readonly decode: (data: Buffer) => P;
  readonly encode: (values: P) => Buffer;
}

/** What is answered. */
export interface ReplyCodec<R> {
  readonly decode: (data: Buffer) => R;
  readonly encode: (reply: R) => Buffer;
  /** The numbers in it that only the device can give: of a node, a handle. Absent: there are none. */
  readonly numbers?: (reply: R) => readonly bigint[];
}

export interface OperationRow<O extends HandledOperation> {
  /** By opcode; some operations have two. */
  readonly parameters: ReadonlyMap<number, ParametersCodec<OperationParameters[O]>>;
  readonly reply: ReplyCodec<OperationReplies[O]>;
}

type Field = readonly [name: string, kind: 'u32' | 'u64'] | 'pad32';
type Values = Record<string, unknown>;

interface Layout {
  readonly fields?: readonly Field[];
  readonly texts?: readonly string[];
  /** The name of the bytes at the end, and of the field that says how many. */
  readonly bytes?: { readonly name: string; readonly length: string };
}

const kindBytes = (field: Field): number => (field !== 'pad32' && field[1] === 'u64' ? 8 : 4);

function decodeFields(fields: readonly Field[], data: Buffer): Values {
  const values: Values = {};
  let at = 0;
  for (const field of fields) {
    if (field !== 'pad32') values[field[0]] = field[1] === 'u64' ? data.readBigUInt64LE(at) : data.readUInt32LE(at);
    at += kindBytes(field);
  }
  return values;
}

function encodeFields(fields: readonly Field[], values: Values): Buffer {
  const writer = new StructWriter(fields.reduce((sum, field) => sum + kindBytes(field), 0));
  for (const field of fields) {
    if (field === 'pad32') writer.u32(0);
    else if (field[1] === 'u64') writer.u64(values[field[0]] as bigint);
    else writer.u32(values[field[0]] as number);
  }
  return writer.done();
}

/** Values that no handler sees travel back as they came: a codec decodes all of them. */
function layout<P>({ fields = [], texts = [], bytes }: Layout): ParametersCodec<P> {
  const fixed = fields.reduce((sum, field) => sum + kindBytes(field), 0);
  return {
    bytes: fixed,
    decode: (data) => {
      const values = decodeFields(fields, data);
      let at = fixed;
      for (const name of texts) {
        const end = data.indexOf(0, at);
        if (end < 0) throw new RangeError(`"${name}" has no end`);
        values[name] = decodeText(data.subarray(at, end));
        at = end + 1;
      }
      if (bytes !== undefined) {
        const end = at + (values[bytes.length] as number);
        if (end > data.length) throw new RangeError(`"${bytes.name}" is cut off`);
        values[bytes.name] = Buffer.from(data.subarray(at, end));
      }
      return values as P;
    },
    encode: (given) => {
      const values = { ...given } as Values;
      if (bytes !== undefined) values[bytes.length] = (values[bytes.name] as Uint8Array).length;
      const parts: Uint8Array[] = [encodeFields(fields, values)];
      for (const name of texts) parts.push(encodeText(values[name] as string), Buffer.alloc(1));
      if (bytes !== undefined) parts.push(values[bytes.name] as Uint8Array);
      return Buffer.concat(parts);
    },
  };
}

const NAME = { texts: ['name'] };
const OPENING: readonly Field[] = [
  ['flags', 'u32'],
  ['openFlags', 'u32'],
];
const CREATING: readonly Field[] = [
  ['flags', 'u32'],
  ['mode', 'u32'],
  ['umask', 'u32'],
  ['openFlags', 'u32'],
];
const transfer = (own: string): readonly Field[] => [
  ['fh', 'u64'],
  ['offset', 'u64'],
  ['size', 'u32'],
  [own, 'u32'],
  ['lockOwner', 'u64'],
  ['flags', 'u32'],
  'pad32',
];
const RELEASING: readonly Field[] = [
  ['fh', 'u64'],
  ['flags', 'u32'],
  ['releaseFlags', 'u32'],
  ['lockOwner', 'u64'],
];
const SYNCING: readonly Field[] = [['fh', 'u64'], ['fsyncFlags', 'u32'], 'pad32'];
const COPYING: readonly Field[] = [
  ['fhIn', 'u64'],
  ['offsetIn', 'u64'],
  ['nodeIdOut', 'u64'],
  ['fhOut', 'u64'],
  ['offsetOut', 'u64'],
  ['length', 'u64'],
  ['flags', 'u64'],
];
const XATTR_VALUE = { texts: ['name'], bytes: { name: 'value', length: 'size' } };

/** The structure of guests without SETXATTR_EXT, and of those with it. */
export const SETXATTR_COMPAT: ParametersCodec<OperationParameters['setxattr']> = layout({
  fields: [
    ['size', 'u32'],
    ['flags', 'u32'],
  ],
  ...XATTR_VALUE,
});
const SETXATTR = layout<OperationParameters['setxattr']>({
  fields: [['size', 'u32'], ['flags', 'u32'], ['setxattrFlags', 'u32'], 'pad32'],
  ...XATTR_VALUE,
});

const LOCK: ParametersCodec<OperationParameters['getlk']> = {
  bytes: 48,
  decode: (data) => ({
    fh: data.readBigUInt64LE(0),
    owner: data.readBigUInt64LE(8),
    lock: structs.decodeLock(data.subarray(16)),
    lkFlags: data.readUInt32LE(40),
  }),
  encode: ({ fh, owner, lock, lkFlags }) => structs.encodeLock(fh, owner, lock, lkFlags & LK_FLOCK),
};

function setlk(wait: boolean): ParametersCodec<OperationParameters['setlk']> {
  return { ...LOCK, decode: (data) => ({ ...LOCK.decode(data), wait }), encode: (values) => LOCK.encode(values) };
}

const SETATTR: ParametersCodec<OperationParameters['setattr']> = {
  bytes: 88,
  decode: (data) => ({ changes: structs.decodeSetattr(data) }),
  encode: ({ changes }) => structs.encodeSetattr(changes),
};

const RENAME = layout<OperationParameters['rename']>({ fields: [['newDir', 'u64']], texts: ['name', 'newName'] });

const DONE: ReplyCodec<Record<string, never>> = { decode: () => ({}), encode: () => Buffer.alloc(0) };
const ENTRY: ReplyCodec<OperationReplies['lookup']> = {
  decode: structs.decodeEntry,
  encode: encode.encodeEntry,
  numbers: ({ nodeId, generation }) => [nodeId, generation],
};
const ATTR: ReplyCodec<OperationReplies['getattr']> = {
  decode: structs.decodeAttrReply,
  encode: encode.encodeAttrReply,
};
const OPEN: ReplyCodec<OperationReplies['open']> = {
  decode: structs.decodeOpen,
  encode: encode.encodeOpen,
  numbers: ({ fh }) => [fh],
};
const CREATED: ReplyCodec<OperationReplies['create']> = {
  decode: structs.decodeCreate,
  encode: encode.encodeCreate,
  numbers: ({ entry, fh }) => [entry.nodeId, entry.generation, fh],
};
const BYTES: ReplyCodec<OperationReplies['read']> = { decode: (data) => ({ data }), encode: ({ data }) => data };

/** What has no name in it goes along. */
const STATX: ReplyCodec<OperationReplies['statx'] & { readonly rest?: Buffer }> = {
  decode: (data) => ({ ...structs.decodeStatx(data), rest: data.subarray(encode.STATX_REST_AT) }),
  encode: (reply) => encode.encodeStatx(reply, reply.rest),
};

/** The reply says the same of a length as of the bytes: which it is depends on the request (`replyOf`). */
const SIZE: ReplyCodec<{ readonly size: number }> = {
  decode: (data) => ({ size: data.readUInt32LE(0) }),
  encode: ({ size }) => new StructWriter(8).u32(size).u32(0).done(),
};
const SIZE_OR_BYTES: ReplyCodec<OperationReplies['getxattr']> = {
  decode: BYTES.decode,
  encode: (reply) => ('data' in reply ? BYTES.encode(reply) : SIZE.encode(reply)),
};

/** The codec of an answer to this request. */
export function replyCodec<O extends HandledOperation>(
  operation: O,
  parameters: object,
): ReplyCodec<OperationReplies[O]> {
  const sized = operation === 'getxattr' || operation === 'listxattr';
  if (sized && (parameters as { size: number }).size === 0) {
    return { ...SIZE_OR_BYTES, decode: SIZE.decode } as unknown as ReplyCodec<OperationReplies[O]>;
  }
  return OPERATION_ROWS[operation].reply;
}

function row<O extends HandledOperation>(
  reply: ReplyCodec<OperationReplies[O]>,
  ...parameters: readonly (readonly [opcode: number, codec: ParametersCodec<OperationParameters[O]>])[]
): OperationRow<O> {
  return { parameters: new Map(parameters), reply };
}

export const OPERATION_ROWS: { readonly [O in HandledOperation]: OperationRow<O> } = {
  lookup: row<'lookup'>(ENTRY, [OPCODES.LOOKUP, layout(NAME)]),
  getattr: row<'getattr'>(ATTR, [
    OPCODES.GETATTR,
    layout({ fields: [['getattrFlags', 'u32'], 'pad32', ['fh', 'u64']] }),
  ]),
  setattr: row<'setattr'>(ATTR, [OPCODES.SETATTR, SETATTR]),
  readlink: row<'readlink'>(
    { decode: (data) => ({ target: decodeText(data) }), encode: ({ target }) => encodeText(target) },
    [OPCODES.READLINK, layout({})],
  ),
  symlink: row<'symlink'>(ENTRY, [OPCODES.SYMLINK, layout({ texts: ['name', 'target'] })]),
  mknod: row<'mknod'>(ENTRY, [
    OPCODES.MKNOD,
    layout({ fields: [['mode', 'u32'], ['rdev', 'u32'], ['umask', 'u32'], 'pad32'], ...NAME }),
  ]),
  mkdir: row<'mkdir'>(ENTRY, [
    OPCODES.MKDIR,
    layout({
      fields: [
        ['mode', 'u32'],
        ['umask', 'u32'],
      ],
      ...NAME,
    }),
  ]),
  unlink: row<'unlink'>(DONE, [OPCODES.UNLINK, layout(NAME)]),
  rmdir: row<'rmdir'>(DONE, [OPCODES.RMDIR, layout(NAME)]),
  rename: row<'rename'>(
    DONE,
    [OPCODES.RENAME, { ...RENAME, decode: (data) => ({ ...RENAME.decode(data), flags: 0 }) }],
    [OPCODES.RENAME2, layout({ fields: [['newDir', 'u64'], ['flags', 'u32'], 'pad32'], texts: ['name', 'newName'] })],
  ),
  link: row<'link'>(ENTRY, [OPCODES.LINK, layout({ fields: [['oldNodeId', 'u64']], ...NAME })]),
  open: row<'open'>(OPEN, [OPCODES.OPEN, layout({ fields: OPENING })]),
  read: row<'read'>(BYTES, [OPCODES.READ, layout({ fields: transfer('readFlags') })]),
  write: row<'write'>(SIZE, [OPCODES.WRITE, layout({ fields: transfer('writeFlags') })]),
  statfs: row<'statfs'>({ decode: structs.decodeStatfs, encode: encode.encodeStatfs }, [OPCODES.STATFS, layout({})]),
  release: row<'release'>(DONE, [OPCODES.RELEASE, layout({ fields: RELEASING })]),
  fsync: row<'fsync'>(DONE, [OPCODES.FSYNC, layout({ fields: SYNCING })]),
  setxattr: row<'setxattr'>(DONE, [OPCODES.SETXATTR, SETXATTR]),
  getxattr: row<'getxattr'>(SIZE_OR_BYTES, [OPCODES.GETXATTR, layout({ fields: [['size', 'u32'], 'pad32'], ...NAME })]),
  listxattr: row<'listxattr'>(SIZE_OR_BYTES, [OPCODES.LISTXATTR, layout({ fields: [['size', 'u32'], 'pad32'] })]),
  removexattr: row<'removexattr'>(DONE, [OPCODES.REMOVEXATTR, layout(NAME)]),
  flush: row<'flush'>(DONE, [
    OPCODES.FLUSH,
    layout({ fields: [['fh', 'u64'], 'pad32', 'pad32', ['lockOwner', 'u64']] }),
  ]),
  opendir: row<'opendir'>(OPEN, [OPCODES.OPENDIR, layout({ fields: OPENING })]),
  readdir: row<'readdir'>(
    {
      decode: (data) => ({ entries: structs.decodeDirents(data) }),
      encode: ({ entries }) => encode.encodeDirents(entries),
    },
    [OPCODES.READDIR, layout({ fields: transfer('readFlags') })],
  ),
  readdirplus: row<'readdirplus'>(
    {
      decode: (data) => ({ entries: structs.decodeDirentsPlus(data) }),
      encode: ({ entries }) => encode.encodeDirentsPlus(entries),
    },
    [OPCODES.READDIRPLUS, layout({ fields: transfer('readFlags') })],
  ),
  releasedir: row<'releasedir'>(DONE, [OPCODES.RELEASEDIR, layout({ fields: RELEASING })]),
  fsyncdir: row<'fsyncdir'>(DONE, [OPCODES.FSYNCDIR, layout({ fields: SYNCING })]),
  getlk: row<'getlk'>(
    { decode: (data) => ({ lock: structs.decodeLock(data) }), encode: ({ lock }) => encode.encodeLockReply(lock) },
    [OPCODES.GETLK, LOCK],
  ),
  setlk: row<'setlk'>(DONE, [OPCODES.SETLK, setlk(false)], [OPCODES.SETLKW, setlk(true)]),
  access: row<'access'>(DONE, [OPCODES.ACCESS, layout({ fields: [['mask', 'u32'], 'pad32'] })]),
  create: row<'create'>(CREATED, [OPCODES.CREATE, layout({ fields: CREATING, ...NAME })]),
  ioctl: row<'ioctl'>({ decode: structs.decodeIoctl, encode: encode.encodeIoctlReply }, [
    OPCODES.IOCTL,
    layout({
      fields: [
        ['fh', 'u64'],
        ['flags', 'u32'],
        ['command', 'u32'],
        ['argument', 'u64'],
        ['inSize', 'u32'],
        ['outSize', 'u32'],
      ],
      bytes: { name: 'input', length: 'inSize' },
    }),
  ]),
  fallocate: row<'fallocate'>(DONE, [
    OPCODES.FALLOCATE,
    layout({ fields: [['fh', 'u64'], ['offset', 'u64'], ['length', 'u64'], ['mode', 'u32'], 'pad32'] }),
  ]),
  lseek: row<'lseek'>(
    {
      decode: (data) => ({ offset: data.readBigUInt64LE(0) }),
      encode: ({ offset }) => new StructWriter(8).u64(offset).done(),
    },
    [OPCODES.LSEEK, layout({ fields: [['fh', 'u64'], ['offset', 'u64'], ['whence', 'u32'], 'pad32'] })],
  ),
  // Both answer with 8 bytes: a size of 32 bits and padding, or one of 64.
  copyFileRange: row<'copyFileRange'>(
    {
      decode: (data) => ({ bytesCopied: data.readBigUInt64LE(0) }),
      encode: ({ bytesCopied }) => new StructWriter(8).u64(bytesCopied).done(),
    },
    [OPCODES.COPY_FILE_RANGE, layout({ fields: COPYING })],
    [OPCODES.COPY_FILE_RANGE_64, layout({ fields: COPYING })],
  ),
  syncfs: row<'syncfs'>(DONE, [OPCODES.SYNCFS, layout({ fields: ['pad32', 'pad32'] })]),
  tmpfile: row<'tmpfile'>(CREATED, [OPCODES.TMPFILE, layout({ fields: CREATING, texts: ['ignoredName'] })]),
  statx: row<'statx'>(STATX, [
    OPCODES.STATX,
    layout({
      fields: [['getattrFlags', 'u32'], 'pad32', ['fh', 'u64'], ['statxFlags', 'u32'], ['mask', 'u32']],
    }),
  ]),
};

export const HANDLED_OPERATIONS = Object.keys(OPERATION_ROWS) as readonly HandledOperation[];

const BY_OPCODE = new Map<number, HandledOperation>(
  HANDLED_OPERATIONS.flatMap((operation) =>
    opcodesOf(operation).map((opcode): [number, HandledOperation] => [opcode, operation]),
  ),
);

export function opcodesOf(operation: HandledOperation): number[] {
  return [...OPERATION_ROWS[operation].parameters.keys()];
}

/** Of all operations for which there is a handler. */
export function opcodesOfHandlers(handlers: Handlers): number[] {
  return (Object.keys(handlers) as HandledOperation[]).flatMap(opcodesOf);
}

/** What a request has besides the parameters of its operation; a new one must be here, says the compiler. */
const CONTEXT: Readonly<Record<keyof RequestContext<HandledOperation>, true>> = {
  operation: true,
  path: true,
  newPath: true,
  uid: true,
  gid: true,
  pid: true,
  unique: true,
  nodeId: true,
  initFlags: true,
  signal: true,
  data: true,
};

/** The parameters of the operation alone, all that are on the wire. */
export function ownParameters(request: RequestContext<HandledOperation>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(request).filter(([name]) => !Object.hasOwn(CONTEXT, name)));
}

/** Undefined: no operation that handlers can be asked about. */
export function operationOf(opcode: number): HandledOperation | undefined {
  return BY_OPCODE.get(opcode);
}
