/**
 * Recorder: the outermost handlers of a backend, which change nothing and write down what the guest has asked and what it has
 * got, in the order of the answers. A request that needs the answer of another is behind it.
 */
import { errnoName } from '../errno.js';
import type { VirtioFsError } from '../errors.js';
import { jsonLine } from '../observe/json-line.js';
import { checkOutside } from '../observe/options.js';
import type { ParsedOptions } from '../options.js';
import { HANDLED_OPERATIONS, opcodesOfHandlers, replyCodec, type ReplyCodec } from '../policy/handlers/codecs.js';
import { errnoOf } from '../policy/handlers/fuse-error.js';
import type {
  HandledOperation,
  Handler,
  HandlerRequest,
  Handlers,
  Next,
  OperationReplies,
} from '../policy/handlers/operations.js';
import { DEADLINE_MS_MAX, type CompiledHandlers } from '../policy/handlers/sets.js';
import { RECORD_VERSION } from './format.js';
import { answerOf } from './outcome.js';
import type { ParsedRecord } from './options.js';
import { RecordFile } from './record-file.js';
import { parametersToJson, type JsonObject, type Values } from './values.js';

/** Recording has ended before the backend: the guest goes on. */
export interface RecordFailedEvent {
  readonly file: string;
  /** ERR_VIRTIOFS_SYSTEM: the disk is full or broken. ERR_VIRTIOFS_RECORD_OVERFLOW: it is too slow. */
  readonly error: VirtioFsError;
}

type AnyRequest = HandlerRequest<HandledOperation>;

export class Recorder {
  readonly #file: RecordFile;
  readonly #withData: boolean;
  readonly #handlers: Handlers;
  /** Until it has been written. */
  #head: JsonObject | undefined;
  /** Of the session that the last line belongs to. */
  #session: bigint | undefined;
  #requests = 0;

  /** Throws ERR_VIRTIOFS_OPTION_INVALID or ERR_VIRTIOFS_SYSTEM if the file cannot be used. */
  constructor(
    { tag, sharedDir, overlay }: ParsedOptions,
    { file, data, waitingBytes, config }: ParsedRecord,
    onFailed: (event: RecordFailedEvent) => void,
  ) {
    checkOutside('record', file, sharedDir);
    if (overlay !== undefined) checkOutside('record', file, overlay.upper);
    this.#withData = data;
    this.#file = new RecordFile(file, waitingBytes, (error) => onFailed({ file, error }));
    this.#handlers = Object.fromEntries(HANDLED_OPERATIONS.map((operation) => [operation, this.#handler(operation)]));
    const date = new Date().toISOString();
    this.#head = { virtioFsRecord: RECORD_VERSION, date, share: tag, data, config };
  }

  /** These handlers, with those of the recorder around them. */
  around({ sets, plan }: CompiledHandlers): CompiledHandlers {
    const opcodes = opcodesOfHandlers(this.#handlers);
    const own = { opcodes, everywhere: true, patterns: [], exactly: [], deadlineMs: DEADLINE_MS_MAX, verdict: 0 };
    return { sets: [this.#handlers, ...sets], plan: { ...plan, sets: [own, ...plan.sets] } };
  }

  /** What comes now belongs to another session. Resolves when all before it has been written. */
  sessionEnded(): Promise<void> {
    this.#session = undefined;
    return this.#file.flush();
  }

  close(): Promise<void> {
    this.#line({ end: this.#requests });
    return this.#file.close();
  }

  /** There is nothing to record after all: the file stays empty, and can be used again. */
  discard(): void {
    void this.#file.close();
  }

  #line(entry: JsonObject): void {
    if (this.#head !== undefined) this.#file.write(jsonLine(this.#head));
    this.#head = undefined;
    this.#file.write(jsonLine(entry));
  }

  #handler<O extends HandledOperation>(operation: O): Handler<O> {
    return async (request, next) => {
      await this.#observe(operation, request, next as unknown as Next<HandledOperation>);
    };
  }

  async #observe(
    operation: HandledOperation,
    request: AnyRequest,
    next: Next<HandledOperation>,
  ): Promise<OperationReplies[HandledOperation]> {
    let written = false;
    const write = (outcome: JsonObject): void => {
      if (!written) this.#write(operation, request, data, outcome);
      written = true;
    };
    // What is read here is what is written then, whatever the guest does to its memory.
    const data = operation === 'write' && this.#withData ? request.data() : undefined;
    // Handlers further in may not know of it, and go on.
    const { signal } = request;
    signal.addEventListener('abort', () => write({ abandoned: nameOf(signal.reason) }), { once: true });
    try {
      const reply = await next();
      write(outcomeOf(operation, request, reply));
      return reply;
    } catch (error) {
      write({ errno: nameOf(error) });
      throw error;
    }
  }

  #write(operation: HandledOperation, request: AnyRequest, data: Buffer | undefined, outcome: JsonObject): void {
    if (request.initFlags !== this.#session) {
      this.#session = request.initFlags;
      this.#line({ session: { flags: `0x${request.initFlags.toString(16)}` } });
    }
    const { path, newPath, nodeId, uid, gid, pid } = request;
    this.#requests += 1;
    this.#line({
      operation,
      path,
      ...(newPath === undefined ? {} : { newPath }),
      node: String(nodeId),
      uid,
      gid,
      pid,
      in: parametersToJson(operation, request as unknown as Values),
      ...(data === undefined ? {} : { data: data.toString('base64') }),
      ...outcome,
    });
  }
}

function outcomeOf(operation: HandledOperation, request: AnyRequest, reply: object): JsonObject {
  try {
    // An answer of a handler that is none is refused (EIO) when it is to be sent: this is how that is found out.
    (replyCodec(operation, request) as ReplyCodec<object>).encode(reply);
    const answer = answerOf(operation, request as unknown as Values, reply);
    return answer === 'ENOENT' ? { errno: answer } : { ...answer };
  } catch {
    return { errno: 'EIO' };
  }
}

/** What an error is for the guest. */
function nameOf(error: unknown): string {
  const errno = errnoOf(error);
  return errno === undefined ? 'EIO' : errnoName(errno);
}
