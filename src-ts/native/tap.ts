/** What a device tells of requests: part of the contract in binding.ts. */

/** Which requests the device tells of. */
export interface NativeTapOptions {
  /** 0: those that the device does not know. */
  readonly opcodes: readonly number[];
  /** Also that they have begun. */
  readonly begins: boolean;
}

/** What is told of a request. */
export interface NativeTapped {
  /** False: it has only begun. */
  readonly answered: boolean;
  readonly unique: bigint;
  readonly node: bigint;
  readonly opcode: number;
  readonly uid: number;
  readonly gid: number;
  readonly pid: number;
  /** The beginning of the parameters. */
  readonly parameters: Buffer;
  /** Where in it names begin. */
  readonly namesAt: number;
  /** Of the node, and of the second node that the operation has, in the share. Empty: not known. */
  readonly path: Buffer;
  readonly secondPath: Buffer;
  /** Positive; 0: none. */
  readonly error: number;
  /** Of READ and WRITE. */
  readonly movedBytes: number;
  /** Of RELEASE: what was written by the handle. */
  readonly writtenBytes: number;
  readonly tookNs: number;
  /** When it began, or was answered; since 1970. */
  readonly timeMs: number;
}

export interface NativeTappedBatch {
  /** In the order in which they happened. */
  readonly records: readonly NativeTapped[];
  /** How many are missing behind these, because nobody fetched them in time. */
  readonly lost: number;
}
