/** A session of a record that is run again: its requests, one after the other. */
import { errnoName } from '../errno.js';
import { replyCodec, type ReplyCodec } from '../policy/handlers/codecs.js';
import type { Outcome, RequestLine } from '../record/format.js';
import { answerOf } from '../record/outcome.js';
import type { Values } from '../record/values.js';
import type { LoopbackGuest } from '../testing/loopback-guest.js';
import { differencesOf, type FieldDifference } from './differences.js';
import { encodeRequest } from './encode.js';
import { Listings } from './listings.js';
import { Numbers } from './numbers.js';

export class ReplaySession {
  readonly #guest: LoopbackGuest;
  readonly #flags: bigint;
  readonly #numbers = new Numbers();
  readonly #listings = new Listings(this.#numbers);

  /** The guest has begun it, and these flags are agreed. */
  constructor(guest: LoopbackGuest, flags: bigint) {
    this.#guest = guest;
    this.#flags = flags;
  }

  /** Undefined: it could not be sent, because what it is about is not there. */
  async replay(line: RequestLine): Promise<readonly FieldDifference[] | undefined> {
    const now = this.#numbers.translated(line);
    if (now === undefined) {
      // What it has given is not there either.
      this.#numbers.learn(line.gives, undefined);
      return undefined;
    }
    const { node, parameters } = now;
    if (line.operation === 'readdir' || line.operation === 'readdirplus') {
      const send = (offset: bigint, size: number): Promise<Outcome> =>
        this.#send(line, node, { ...parameters, offset, size });
      return await this.#listings.compare(line, send);
    }
    if (line.operation === 'releasedir') this.#listings.forget(line);
    const outcome = await this.#send(line, node, parameters);
    this.#numbers.learn(line.gives, outcome.gives);
    // Why a lock that was waited for was not had in the end depends on others: here nobody waits.
    if (parameters['wait'] === true && line.errno !== undefined && outcome.errno !== undefined) return [];
    return differencesOf(line, outcome);
  }

  async #send(line: RequestLine, nodeId: bigint, parameters: Values): Promise<Outcome> {
    const { operation, uid, gid, pid, data } = line;
    const { opcode, body, replyBytes } = encodeRequest(operation, parameters, this.#flags);
    const parts = data === undefined ? [body] : [body, data];
    const reply = await this.#guest.request(opcode, { nodeId, uid, gid, pid, body: parts, replyBytes });
    if (reply.error !== 0) return { errno: errnoName(-reply.error) };
    const codec = replyCodec(operation, parameters) as ReplyCodec<object>;
    const answer = answerOf(operation, parameters, codec.decode(reply.data));
    if (answer === 'ENOENT') return { errno: answer };
    const { node, fh } = answer.gives ?? {};
    return {
      out: answer.out,
      gives: {
        ...(node === undefined ? {} : { node: BigInt(node) }),
        ...(fh === undefined ? {} : { fh: BigInt(fh) }),
      },
    };
  }
}
