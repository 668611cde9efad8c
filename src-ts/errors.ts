/**
 * Every error that the library throws, rejects with or reports is a VirtioFsError with a code from the table below.
 * The codes are the contract: decide by them, never by the text of a message. docs/errors.md lists the same codes with
 * the same meanings, and a tidy check compares the two.
 */
import { types } from 'node:util';
import { errnoName } from './errno.js';

interface ErrorRow {
  /** How the message begins. */
  readonly title: string;
  /** What it means and what to do; the text of docs/errors.md. */
  readonly meaning: string;
}

export const ERRORS = {
  ERR_VIRTIOFS_OPTION_UNKNOWN: {
    title: 'Unknown option',
    meaning: 'An options object has a property that does not exist. The message names the likely one.',
  },
  ERR_VIRTIOFS_OPTION_MISSING: {
    title: 'Missing option',
    meaning: 'An option that has no default was not given.',
  },
  ERR_VIRTIOFS_OPTION_INVALID: {
    title: 'Invalid option',
    meaning: 'An option or argument has the wrong type or is out of range. The message names it and its value.',
  },
  ERR_VIRTIOFS_TAG_INVALID: {
    title: 'Invalid tag',
    meaning: 'A tag has 1 to 36 bytes of UTF-8 and no NUL or newline: the guest mounts the share by this name.',
  },
  ERR_VIRTIOFS_CONFIG_SYNTAX: {
    title: 'Invalid configuration string',
    meaning: 'A configuration string is not of the form `key=value,key=value`.',
  },
  ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN: {
    title: 'Unknown configuration key',
    meaning: 'A configuration has a key that docs/config.md does not list. The message names the likely one.',
  },
  ERR_VIRTIOFS_CONFIG_KEY_DUPLICATE: {
    title: 'Duplicate configuration key',
    meaning: 'A configuration string gives one key twice, perhaps once by its alias.',
  },
  ERR_VIRTIOFS_CONFIG_VALUE_INVALID: {
    title: 'Invalid configuration value',
    meaning: 'The value of a configuration key has the wrong type or is out of range.',
  },
  ERR_VIRTIOFS_CONFIG_CONFLICT: {
    title: 'Configuration keys contradict each other',
    meaning: 'Two keys of a configuration exclude each other. The message names both and says why.',
  },
  ERR_VIRTIOFS_POLICY_INVALID: {
    title: 'Invalid policy',
    meaning: 'A policy has a rule that cannot be. The message names the place, in a file with line and column.',
  },
  ERR_VIRTIOFS_POLICY_ABSENT: {
    title: 'No policy to replace',
    meaning: '`setPolicy` takes a backend that was made with a policy; an empty one will do.',
  },
  ERR_VIRTIOFS_HANDLERS_ATTACHED: {
    title: 'Handlers are attached already',
    meaning: 'The device has handlers; those must be detached before others are attached.',
  },
  ERR_VIRTIOFS_RECORD_OVERFLOW: {
    title: 'The record has ended',
    meaning: 'The disk was too slow for the recorder: what waited for it reached the bound. The guest went on.',
  },
  ERR_VIRTIOFS_RECORD_INVALID: {
    title: 'Invalid record',
    meaning: 'What is to be replayed is no record, or one that has been damaged. The message names the line.',
  },
  ERR_VIRTIOFS_SHARE_NOT_FOUND: {
    title: 'Share root does not exist',
    meaning: 'The directory to share is not there.',
  },
  ERR_VIRTIOFS_SHARE_NOT_DIRECTORY: {
    title: 'Share root must be a directory',
    meaning: 'The path to share is there, but is no directory (a symbolic link to one is followed).',
  },
  ERR_VIRTIOFS_SHARE_UNUSABLE: {
    title: 'Share root cannot be opened',
    meaning: 'The directory to share cannot be opened; `errno` says why.',
  },
  ERR_VIRTIOFS_OVERLAY_IN_USE: {
    title: 'Overlay is in use',
    meaning:
      'The upper directory of an overlay belongs to a backend that is open. Close it before `apply`, `discard` or another backend.',
  },
  ERR_VIRTIOFS_OVERLAY_UNFIT: {
    title: 'Overlay cannot be kept there',
    meaning:
      'The upper and the work directory must be on one file system (EXDEV), which has whiteouts, renaming that leaves one, and extended attributes (EOPNOTSUPP).',
  },
  ERR_VIRTIOFS_STATE_FILE_IN_USE: {
    title: 'State file is in use',
    meaning: 'Another process keeps its session in the file given as `stateFile` or by `--state-file`.',
  },
  ERR_VIRTIOFS_STATE_FILE_UNUSABLE: {
    title: 'State file cannot be used',
    meaning:
      'The file for the session cannot be opened, is not a regular file of this user alone, or lies in the share. The ' +
      'message says which.',
  },
  ERR_VIRTIOFS_ADDON_UNAVAILABLE: {
    title: 'Native addon not available',
    meaning: 'No native addon fits this machine. The message says what was tried, what failed and what to do.',
  },
  ERR_VIRTIOFS_ADDON_MISMATCH: {
    title: 'Native addon does not match',
    meaning: 'The native addon was built for another version of the library: a stale build.',
  },
  ERR_VIRTIOFS_CLOSED: {
    title: 'Closed',
    meaning: 'The object was closed by its owner. As the code of `disconnected`: the server was closed.',
  },
  ERR_VIRTIOFS_FEATURE_NOT_OFFERED: {
    title: 'Feature not offered',
    meaning: 'Feature bits were acknowledged that the device does not offer.',
  },
  ERR_VIRTIOFS_QUEUE_INDEX: {
    title: 'No such queue',
    meaning: 'A queue index is not below `maxQueueNum`.',
  },
  ERR_VIRTIOFS_QUEUE_SETUP_INVALID: {
    title: 'Invalid queue set-up',
    meaning: 'The size, an address, an index or a notifier of a queue is missing, out of range or does not fit.',
  },
  ERR_VIRTIOFS_QUEUE_NOT_RUNNING: {
    title: 'Queue is not running',
    meaning: 'The queue has no worker: it was never started, or is stopped already.',
  },
  ERR_VIRTIOFS_QUEUE_NOT_PUMPED: {
    title: 'Queue is not pumped',
    meaning: '`processQueue` was called for a queue that has a kick eventfd and hence a thread of its own.',
  },
  ERR_VIRTIOFS_QUEUE_BROKEN: {
    title: 'Queue is broken',
    meaning: 'The driver broke the rules of the ring. The queue serves no more and can only be stopped.',
  },
  ERR_VIRTIOFS_MEMORY_INVALID: {
    title: 'Invalid guest memory',
    meaning: 'A region of guest memory is empty, overflows, overlaps another, or reaches beyond its file.',
  },
  ERR_VIRTIOFS_MEMORY_RANGE: {
    title: 'Not in guest memory',
    meaning: 'A range of addresses does not lie within one region of guest memory.',
  },
  ERR_VIRTIOFS_MEMORY_BORROWED: {
    title: 'Guest memory is borrowed',
    meaning: 'The operation needs mapped memory, but this memory is lent by an emulator for single calls.',
  },
  ERR_VIRTIOFS_MEMORY_CLOSED: {
    title: 'Guest memory is closed',
    meaning: 'The guest memory was closed by its owner.',
  },
  ERR_VIRTIOFS_NOT_SUPPORTED: {
    title: 'Not supported',
    meaning: 'The operation, or what the configuration asks for, does not exist in this version.',
  },
  ERR_VIRTIOFS_SYSTEM: {
    title: 'System call failed',
    meaning: 'A system call failed: see `errno`, `errnoName`, `syscall` and `path`.',
  },
  ERR_VIRTIOFS_INTERNAL: {
    title: 'Internal error',
    meaning: 'A bug of this library. Please report it with the message and `cause`.',
  },
  ERR_VIRTIOFS_SOCKET_IN_USE: {
    title: 'Socket is in use',
    meaning: 'Somebody listens at the socket path, or what is there is no socket. Nothing was removed.',
  },
  ERR_VIRTIOFS_SOCKET_INVALID: {
    title: 'Not a socket that can be served',
    meaning: 'The descriptor to serve is no unix stream socket, or one that should listen does not.',
  },
  ERR_VIRTIOFS_PEER_CLOSED: {
    title: 'The frontend closed the connection',
    meaning: 'The normal end of a connection: the frontend closed it, or died, between two messages.',
  },
  ERR_VIRTIOFS_PEER_CUT: {
    title: 'The connection ended inside a message',
    meaning: 'The frontend died or closed the connection before a message was complete.',
  },
  ERR_VIRTIOFS_PEER_HEADER: {
    title: 'Bad message header',
    meaning: 'A message has another protocol version, the reply flag or an unknown flag.',
  },
  ERR_VIRTIOFS_PEER_BODY: {
    title: 'Bad message body',
    meaning: 'The body of a message is longer or shorter than its request allows.',
  },
  ERR_VIRTIOFS_PEER_FDS: {
    title: 'Bad file descriptors in a message',
    meaning: 'A message carried more, fewer or other descriptors than its request takes. All were closed.',
  },
  ERR_VIRTIOFS_PEER_REQUEST: {
    title: 'Request refused',
    meaning: 'The request is unknown, was not negotiated, or is refused by this device.',
  },
  ERR_VIRTIOFS_PEER_STATE: {
    title: 'Request out of order',
    meaning: 'The request does not fit the state of the connection or of the ring.',
  },
  ERR_VIRTIOFS_PEER_VALUE: {
    title: 'Bad value in a message',
    meaning: 'An index, size, address or feature in a message is out of range.',
  },
  ERR_VIRTIOFS_PEER_STALLED: {
    title: 'The frontend does not read',
    meaning: 'A reply could not be sent within 5 seconds because the frontend reads none.',
  },
  ERR_VIRTIOFS_USAGE: {
    title: 'Usage',
    meaning: 'The command line is wrong. The message names the option, and the likely one if it is unknown.',
  },
  ERR_VIRTIOFS_SANDBOX_UNAVAILABLE: {
    title: 'No sandbox',
    meaning: 'The sandbox that the command was asked for cannot be had here. The message says what is missing.',
  },
} as const satisfies Record<string, ErrorRow>;

/** The stable code of an error. */
export type VirtioFsErrorCode = keyof typeof ERRORS;

/** What is known of an error besides its code. */
export interface VirtioFsErrorDetails {
  /** Follows the code's title in the message. */
  readonly detail?: string | undefined;
  /** Number of a failed system call's error, positive, as in errno(3). */
  readonly errno?: number | undefined;
  /** The system call that failed, for example `openat`. */
  readonly syscall?: string | undefined;
  /** The path that it was about. */
  readonly path?: string | undefined;
  /** The error that led to this one. */
  readonly cause?: unknown;
}

/** The only class of errors that the library throws, rejects with, or reports in events. */
export class VirtioFsError extends Error {
  /** Stable; docs/errors.md says what each means. */
  readonly code: VirtioFsErrorCode;
  /** Positive, as in errno(3); only if a system call failed. */
  readonly errno?: number;
  /** The name of `errno`, for example `ENOENT`. */
  readonly errnoName?: string;
  readonly syscall?: string;
  readonly path?: string;

  constructor(code: VirtioFsErrorCode, details: VirtioFsErrorDetails = {}) {
    super(messageOf(code, details), details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'VirtioFsError';
    this.code = code;
    if (details.errno !== undefined) {
      this.errno = details.errno;
      this.errnoName = errnoName(details.errno);
    }
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.path !== undefined) this.path = details.path;
  }
}

function messageOf(code: VirtioFsErrorCode, details: VirtioFsErrorDetails): string {
  let message: string = ERRORS[code].title;
  if (details.detail !== undefined) message += `: ${details.detail}`;
  if (details.errno !== undefined) {
    message += `: ${errnoName(details.errno)}${details.syscall === undefined ? '' : ` in ${details.syscall}`}`;
  }
  if (details.path !== undefined) message += `: "${details.path}"`;
  return message;
}

/** True if `code` is in the table. */
export function isErrorCode(code: unknown): code is VirtioFsErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERRORS, code);
}

interface RawError {
  readonly code?: unknown;
  readonly errno?: unknown;
  readonly syscall?: unknown;
  readonly path?: unknown;
}

/** What most checks of options throw. */
export function invalidOption(detail: string): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
}

/**
 * Turns what the addon threw into a VirtioFsError: our own codes are kept, failed system calls become
 * ERR_VIRTIOFS_SYSTEM, and anything else is a bug (ERR_VIRTIOFS_INTERNAL). `path` is used where the addon gave none.
 */
export function fromNative(error: unknown, path?: string): VirtioFsError {
  if (error instanceof VirtioFsError) return error;
  // Not `instanceof`: the library may run in another realm than the addon, as it does under jest.
  if (!types.isNativeError(error)) return new VirtioFsError('ERR_VIRTIOFS_INTERNAL', { detail: String(error) });
  const raw = error as RawError;
  const details = {
    errno: typeof raw.errno === 'number' ? Math.abs(raw.errno) : undefined,
    syscall: typeof raw.syscall === 'string' ? raw.syscall : undefined,
    path: typeof raw.path === 'string' ? raw.path : path,
    cause: error,
  };
  if (details.errno !== undefined) return new VirtioFsError('ERR_VIRTIOFS_SYSTEM', details);
  const detail = error.message;
  return new VirtioFsError(isErrorCode(raw.code) ? raw.code : 'ERR_VIRTIOFS_INTERNAL', { ...details, detail });
}

/** Runs a call into the addon; what it throws becomes a VirtioFsError. */
export function native<T>(call: () => T, path?: string): T {
  try {
    return call();
  } catch (error) {
    throw fromNative(error, path);
  }
}
