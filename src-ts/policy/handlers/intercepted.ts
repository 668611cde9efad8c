/** One request on its way through its handlers. */
import { constants } from 'node:os';
import type { NativeHandlers, NativeInterceptedReply, NativeInterceptedRequest } from '../../native/binding.js';
import { OPCODES, IN_HEADER_BYTES, INIT_FLAGS } from '../../fuse/abi.js';
import { decodeText } from '../../fuse/text.js';
import { OPERATION_ROWS, SETXATTR_COMPAT, operationOf, replyCodec } from './codecs.js';
import type { ParametersCodec, ReplyCodec } from './codecs.js';
import { FuseError, errnoOf } from './fuse-error.js';
import type { HandledOperation, Handlers, HandlerRequest } from './operations.js';
import { takeBackOf } from './own-replies.js';

// Within this file an operation is only known at run time: its types are those of any.
type AnyParameters = Record<string, unknown>;
type AnyReply = object;
/** A guest may ask these for more than it has given room for, and gets what fits. (A READ like that is refused.) */
const SIZED: ReadonlySet<HandledOperation> = new Set(['readdir', 'readdirplus']);
type AnyHandler = (request: HandlerRequest<never>, next: unknown) => unknown;

export class InterceptedRequest {
  readonly operation: HandledOperation;
  readonly path: string;
  readonly #native: NativeHandlers;
  readonly #event: NativeInterceptedRequest;
  readonly #opcode: number;
  readonly #handlers: readonly AnyHandler[];
  readonly #parameters: AnyParameters;
  readonly #codec: ParametersCodec<AnyParameters>;
  readonly #replies: ReplyCodec<AnyReply>;
  /** Made when a handler asks for its signal: few do. */
  #abort: AbortController | undefined;
  /** Somebody else has decided. */
  #abandoned: FuseError | undefined;
  /** Who waits for the reply of the file system. */
  #waiting: { resolve: (reply: AnyReply) => void; reject: (error: Error) => void } | undefined;
  /** The handlers have answered. */
  #decided = false;
  /** Of data that a handler has put in the place of the guest's. */
  #dataBytes: number | undefined;
  /** What the file system has answered, as handlers got it, if it is the answer for the guest as it is. */
  #below: AnyReply | undefined;
  /** What a virtual file system has answered: the numbers in it are good, and it may have to be taken back. */
  #own: AnyReply | undefined;

  /** Throws a RangeError: the request is malformed. */
  constructor(native: NativeHandlers, event: NativeInterceptedRequest, sets: readonly Handlers[]) {
    this.#native = native;
    this.#event = event;
    this.#opcode = event.message.readUInt32LE(4);
    const operation = operationOf(this.#opcode);
    if (operation === undefined) throw new Error(`opcode ${this.#opcode} has no handlers`);
    this.operation = operation;
    this.path = decodeText(event.path);
    this.#handlers = sets.flatMap((set, index) => {
      const handler = (event.sets >>> index) & 1 ? set[operation] : undefined;
      return handler === undefined ? [] : [handler as unknown as AnyHandler];
    });
    this.#codec = this.#parametersCodec();
    this.#parameters = this.#within(this.#decoded(event.message.subarray(IN_HEADER_BYTES)));
    this.#replies = replyCodec(operation, this.#parameters) as unknown as ReplyCodec<AnyReply>;
  }

  /** Asks the handlers and tells the device what they say. Rejects with what they throw that is no errno. */
  async run(): Promise<void> {
    const { id } = this.#event;
    let reply: AnyReply;
    try {
      reply = await this.#ask(0, this.#parameters, undefined);
      this.#decided = true;
      if (reply === this.#below) {
        this.#native.letPass(id);
        return;
      }
      if (!this.#native.answer(id, this.#encode(reply))) this.#takeBack();
    } catch (error) {
      this.#decided = true;
      this.#takeBack();
      const errno = errnoOf(error);
      this.#native.refuse(id, errno ?? constants.errno.EIO);
      if (errno === undefined) throw error;
    }
  }

  /** The file system has answered. */
  replied(event: NativeInterceptedReply): void {
    const waiting = this.#waiting;
    if (waiting === undefined) return;
    if (event.errno !== 0) {
      waiting.reject(new FuseError(event.errno));
      return;
    }
    const payload = event.payload ?? this.#native.reply(this.#event.id);
    if (payload === undefined) return;
    const reply = this.#replies.decode(payload);
    if (this.#dataBytes === undefined) this.#below = reply;
    waiting.resolve(this.#dataBytes === undefined ? reply : this.#asOfTheGuest(reply as { size: number }));
  }

  abandoned(errno: number): void {
    const reason = new FuseError(errno);
    this.#abandoned = reason;
    this.#abort?.abort(reason);
    this.#waiting?.reject(reason);
  }

  #parametersCodec(): ParametersCodec<AnyParameters> {
    const extended = (this.#event.initFlags & INIT_FLAGS.SETXATTR_EXT) !== 0n;
    const codec =
      this.#opcode === OPCODES.SETXATTR && !extended
        ? SETXATTR_COMPAT
        : OPERATION_ROWS[this.operation].parameters.get(this.#opcode);
    return codec as unknown as ParametersCodec<AnyParameters>;
  }

  #decoded(data: Buffer): AnyParameters {
    if (data.length < this.#codec.bytes) throw new RangeError(`the parameters have ${data.length} bytes`);
    const parameters = this.#codec.decode(data);
    if (this.operation === 'write' && (parameters['size'] as number) > this.#event.dataBytes) {
      throw new RangeError('there is less data than it says');
    }
    return parameters;
  }

  /** Nobody shall get ready for more than there is room for. */
  #within(parameters: AnyParameters): AnyParameters {
    if (!SIZED.has(this.operation)) return parameters;
    return { ...parameters, size: Math.min(parameters['size'] as number, this.#event.roomBytes) };
  }

  /** The guest has sent other data than was written, and must not be told of more than it has sent. */
  #asOfTheGuest({ size }: { readonly size: number }): AnyReply {
    const sent = this.#parameters['size'] as number;
    return { size: size === this.#dataBytes ? sent : Math.min(size, sent) };
  }

  #signal(): AbortSignal {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#abandoned !== undefined) this.#abort.abort(this.#abandoned);
    }
    return this.#abort.signal;
  }

  async #ask(index: number, parameters: AnyParameters, data: Uint8Array | undefined): Promise<AnyReply> {
    const handler = this.#handlers[index];
    if (handler === undefined) return this.#passOn(parameters, data);
    let below: Promise<AnyReply> | undefined;
    const next = (changes: AnyParameters & { readonly data?: Uint8Array } = {}): Promise<AnyReply> => {
      if (below !== undefined) throw new Error(`the handler of "${this.operation}" has called next() twice`);
      const { data: changed = data, ...others } = changes;
      const same = Object.keys(others).length === 0;
      below = this.#ask(index + 1, same ? parameters : { ...parameters, ...others }, changed);
      // The handler may not wait for it.
      below.catch(() => undefined);
      return below;
    };
    const answer: unknown = await handler(this.#requestFor(parameters, data), next);
    if (typeof answer === 'object' && answer !== null) {
      if (takeBackOf(answer) !== undefined) this.#own = answer;
      return answer;
    }
    if (below !== undefined && answer === undefined) return below;
    throw new TypeError(
      answer === undefined
        ? `the handler of "${this.operation}" has neither answered nor called next()`
        : `the handler of "${this.operation}" has answered with a ${typeof answer}, which is no object`,
    );
  }

  #takeBack(): void {
    const own = this.#own;
    this.#own = undefined;
    if (own !== undefined) takeBackOf(own)?.();
  }

  #requestFor(parameters: AnyParameters, data: Uint8Array | undefined): HandlerRequest<never> {
    const { message, newPath } = this.#event;
    const signal = (): AbortSignal => this.#signal();
    return Object.freeze({
      ...parameters,
      operation: this.operation,
      path: this.path,
      newPath: newPath === undefined ? undefined : decodeText(newPath),
      unique: message.readBigUInt64LE(8),
      nodeId: message.readBigUInt64LE(16),
      uid: message.readUInt32LE(24),
      gid: message.readUInt32LE(28),
      pid: message.readUInt32LE(32),
      initFlags: this.#event.initFlags,
      get signal(): AbortSignal {
        return signal();
      },
      data: () => (data === undefined ? this.#ownData() : Buffer.from(data)),
    }) as unknown as HandlerRequest<never>;
  }

  #ownData(): Buffer {
    if (this.operation !== 'write') return Buffer.alloc(0);
    const data = this.#native.data(this.#event.id);
    if (data === undefined) throw new FuseError('EIO', 'the request is not under way any more');
    return data.subarray(0, this.#parameters['size'] as number);
  }

  #passOn(parameters: AnyParameters, data: Uint8Array | undefined): Promise<AnyReply> {
    const changed = parameters !== this.#parameters || data !== undefined;
    const values = data === undefined ? parameters : { ...parameters, size: data.length };
    const encoded = changed ? this.#codec.encode(values) : undefined;
    this.#dataBytes = data?.length;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      // If somebody else has decided, `abandoned` says so, or will.
      if (this.#native.proceed(this.#event.id, encoded, data) || !(this.#decided || this.#abandoned)) return;
      reject(this.#abandoned ?? new FuseError('EIO'));
    });
  }

  #encode(reply: AnyReply): Buffer {
    const numbers = this.#replies.numbers?.(reply);
    const given = this.#below ?? this.#own;
    const own = given === undefined ? [] : (this.#replies.numbers?.(given) ?? []);
    if (numbers?.some((number, index) => number !== own[index]) === true) {
      throw new TypeError(
        `"${this.operation}" is answered with the number of a node or handle that next() has not given`,
      );
    }
    return this.#replies.encode(reply);
  }
}
