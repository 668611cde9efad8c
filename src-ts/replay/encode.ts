/** Requests of a record as they travel. */
import { INIT_FLAGS, OPCODES } from '../fuse/abi.js';
import { IOCTL_OUT_BYTES } from '../fuse/structs.js';
import { OPERATION_ROWS, SETXATTR_COMPAT, type ParametersCodec } from '../policy/handlers/codecs.js';
import type { HandledOperation } from '../policy/handlers/operations.js';
import type { Values } from '../record/values.js';

/** No attribute is longer. */
const XATTR_MAX = 65_536;
const U32_MAX = 0xffff_ffffn;

export interface EncodedRequest {
  readonly opcode: number;
  readonly body: Buffer;
  /** Undefined: what the opcode needs. */
  readonly replyBytes: number | undefined;
}

/** `flags`: of the session. */
export function encodeRequest(operation: HandledOperation, parameters: Values, flags: bigint): EncodedRequest {
  const opcode = opcodeOf(operation, parameters);
  const compat = operation === 'setxattr' && (flags & INIT_FLAGS.SETXATTR_EXT) === 0n;
  const codec = compat ? SETXATTR_COMPAT : OPERATION_ROWS[operation].parameters.get(opcode);
  const body = (codec as unknown as ParametersCodec<Values>).encode(parameters);
  return { opcode, body, replyBytes: roomOf(operation, parameters) };
}

/** Of operations with two opcodes; a lock is never waited for: where the record has it, it is free. */
function opcodeOf(operation: HandledOperation, { flags, length }: Values): number {
  switch (operation) {
    case 'rename':
      return flags === 0 ? OPCODES.RENAME : OPCODES.RENAME2;
    case 'copyFileRange':
      return (length as bigint) > U32_MAX ? OPCODES.COPY_FILE_RANGE_64 : OPCODES.COPY_FILE_RANGE;
    default:
      return [...OPERATION_ROWS[operation].parameters.keys()][0] as number;
  }
}

function roomOf(operation: HandledOperation, { size, outSize }: Values): number | undefined {
  switch (operation) {
    case 'read':
    case 'readdir':
    case 'readdirplus':
      return size as number;
    case 'getxattr':
    case 'listxattr':
      return size === 0 ? 8 : Math.min(size as number, XATTR_MAX);
    case 'ioctl':
      return IOCTL_OUT_BYTES + (outSize as number);
    default:
      return undefined;
  }
}
