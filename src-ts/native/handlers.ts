/** Handlers of requests as the addon takes them: part of the contract in binding.ts. */
import type { NativePattern } from './policy.js';

/** Handlers that share operations, paths and a deadline. */
export interface NativeHandlerSet {
  readonly opcodes: readonly number[];
  /** The root and all below it match. */
  readonly everywhere: boolean;
  readonly patterns: readonly NativePattern[];
  /** Besides: what has one of these paths (`/a/b`), and nothing below it. */
  readonly exactly: readonly string[];
  /** For how long the set may have a request, the time below not counted; 1 to 2**31 - 1. */
  readonly deadlineMs: number;
  /** The errno when that has passed; 0: the request goes on as if there were no handlers. */
  readonly verdict: number;
}

/** At most 32 sets. */
export interface NativeHandlerPlan {
  readonly sets: readonly NativeHandlerSet[];
  readonly ignoreCase: boolean;
  /** Which of them is asked, alone, about nodes from FIRST_VIRTUAL_NODE on; -1: there are none. */
  readonly virtualSet: number;
  /** The root of the share is such a node, too, whatever its number. */
  readonly virtualRoot: boolean;
}

/** The first number of a node that is the application's own. */
export const FIRST_VIRTUAL_NODE = 1n << 62n;

/** A request that waits for a decision. */
export interface NativeInterceptedRequest {
  readonly type: 'request';
  readonly id: number;
  /** What `setPlan` has returned for the plan that concerned it. */
  readonly plan: number;
  /** Bits of the sets that it concerns, by their place in the plan. */
  readonly sets: number;
  /** fuse_in_header, then the parameters without extensions; checked as far as the names in it are. */
  readonly message: Buffer;
  /** Of the guest's offer in INIT and ours: the bits that both have. */
  readonly initFlags: bigint;
  readonly path: Buffer;
  readonly newPath?: Buffer;
  /** Bytes of data behind the parameters (WRITE). */
  readonly dataBytes: number;
  /** Room for the reply's payload. */
  readonly roomBytes: number;
}

/** What the file system has answered to a request that was passed on. */
export interface NativeInterceptedReply {
  readonly type: 'reply';
  readonly id: number;
  /** 0: success. */
  readonly errno: number;
  readonly payloadBytes: number;
  /** If it is short; else `reply` has it. */
  readonly payload?: Buffer;
}

/** It has been decided by somebody else. */
export interface NativeAbandonedRequest {
  readonly type: 'abandoned';
  readonly id: number;
  /** Why: ETIMEDOUT, EINTR (by the guest), EAGAIN (its queue stops), EIO (the device closes). */
  readonly errno: number;
}

/** The guest has forgotten nodes of the application's own: node and how often, node and how often… */
export interface NativeForgottenNodes {
  readonly type: 'forgotten';
  readonly nodes: BigUint64Array;
}

/** The session has ended: the guest knows no node and has nothing open. */
export interface NativeSessionEnded {
  readonly type: 'session';
}

export type NativeHandlerEvent =
  | NativeInterceptedRequest
  | NativeInterceptedReply
  | NativeAbandonedRequest
  | NativeForgottenNodes
  | NativeSessionEnded;

/**
 * Handlers of this environment, attached to a device. Methods that take the id of a request return false, or undefined,
 * if it is not theirs to decide about any more.
 */
export interface NativeHandlers {
  /** Holds for requests that come from now on. Returns the number of the plan, 1 or more. */
  setPlan(plan: NativeHandlerPlan): number;
  /** Passes a request on, with other parameters or data if they are given; a reply follows. Once for each. */
  proceed(id: number, parameters?: Uint8Array, data?: Uint8Array): boolean;
  /** `errno` from 1 to 511. What the reply of the file system would have given to the guest is taken back. */
  refuse(id: number, errno: number): boolean;
  /** A payload as the operation has it: its size is checked against the least that is possible, and the room. */
  answer(id: number, payload: Uint8Array): boolean;
  /** With the reply of the file system as it is, now or when it comes. */
  letPass(id: number): boolean;
  /** A copy of the data behind the parameters, which counts from now on. */
  data(id: number): Buffer | undefined;
  /** The payload of the file system's reply. */
  reply(id: number): Buffer | undefined;
  /** What has not been decided is refused (EIO), and so is what comes. Idempotent. */
  detach(): void;
}
