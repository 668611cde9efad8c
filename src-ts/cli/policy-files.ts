/**
 * The policy files of the shares, which are read again on SIGHUP. In a sandbox the process that serves cannot reach them
 * any more: there the outer process reads them and sends what it has read, and the inner one checks it.
 */
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { fromNative, native } from '../errors.js';
import type { FsBackend } from '../fs-backend.js';
import { loadBinding } from '../native/load.js';
import { OwnedFd } from '../owned-fd.js';
import { parsePolicyFile } from '../policy/file.js';
import type { Log } from './log.js';
import type { ShareCommand } from './options.js';

export { readPolicyFile } from '../policy/file.js';

/** Tells the inner process where the outer one sends the files. */
const VARIABLE = 'VIRTIO_FS_POLICIES';

/** Before each file: which share's it is, and its bytes; both u32, little-endian. */
const HEAD_BYTES = 8;

/** A share that has a policy file, and where what happens to it is logged. */
export interface RuledShare {
  readonly file: string;
  readonly backend: FsBackend;
  readonly log: Log;
}

/** Does something for a new policy; what cannot be done is reported, and the policy before holds on. */
function orKeep(file: string, log: Log, action: () => void): void {
  try {
    action();
  } catch (cause) {
    const error = fromNative(cause, file);
    log.error(`the policy stays as it was: ${error.message} (${error.code})`);
  }
}

export function replacePolicy({ file, backend, log }: RuledShare, read: () => Uint8Array): void {
  orKeep(file, log, () => {
    backend.setPolicy(parsePolicyFile(read(), file));
    log.info(`"${file}" has been read again`);
  });
}

/** The outer process's side. */
export class PolicySender {
  readonly #inner: OwnedFd;
  readonly #socket: Socket;
  readonly #files: readonly (string | undefined)[];
  readonly #log: Log;

  constructor(shares: readonly ShareCommand[], log: Log) {
    const [own, inner] = native(() => loadBinding().socketPair());
    this.#inner = new OwnedFd(inner);
    this.#socket = new Socket({ fd: own, readable: false, writable: true });
    // The inner process has ended.
    this.#socket.on('error', () => undefined);
    this.#socket.unref();
    this.#files = shares.map(({ policyFile }) => policyFile);
    this.#log = log;
  }

  /** For the inner process, which is started with it. */
  get descriptor(): number {
    return this.#inner.number;
  }
  get environment(): Readonly<Record<string, string>> {
    return { [VARIABLE]: String(this.#inner.number) };
  }

  send(): void {
    for (const [index, file] of this.#files.entries()) {
      if (file === undefined) continue;
      orKeep(file, this.#log, () => {
        const bytes = readFileSync(file);
        const head = Buffer.alloc(HEAD_BYTES);
        head.writeUInt32LE(index, 0);
        head.writeUInt32LE(bytes.length, 4);
        this.#socket.write(Buffer.concat([head, bytes]));
      });
    }
  }

  close(): void {
    this.#socket.destroy();
    this.#inner.close();
  }
}

/**
 * Waits for what the outer process sends: for each share, in their order. Undefined: there is no outer process, or it has
 * nothing to send. The result ends it.
 */
export function receivePolicies(
  environment: NodeJS.ProcessEnv,
  shares: readonly (RuledShare | undefined)[],
): (() => void) | undefined {
  const given = environment[VARIABLE];
  delete environment[VARIABLE];
  if (given === undefined) return undefined;
  const socket = new Socket({ fd: Number(given), readable: true, writable: false });
  let rest: Buffer = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + rest.readUInt32LE(4);
      if (rest.length < end) return;
      const share = shares[rest.readUInt32LE(0)];
      const content = rest.subarray(HEAD_BYTES, end);
      rest = rest.subarray(end);
      if (share !== undefined) replacePolicy(share, () => content);
    }
  });
  // The outer process has ended; nothing more will come.
  socket.on('error', () => undefined);
  socket.unref();
  return () => void socket.destroy();
}
