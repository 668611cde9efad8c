/** A disk that is full at a byte. */
import { FuseError } from '../../policy/handlers/fuse-error.js';
import type { AnyNext, AnyRequest } from '../intercept.js';
import { writeSome } from './effects.js';
import { Fault, type FaultOptions, type FaultSetting } from './fault.js';

const MODE_KEEP_SIZE_MASK = 0o1;

/** The end of a disk; made by `faults.noSpaceAt`. `remove()` is what somebody does who makes room. */
export class SpaceFault extends Fault {
  readonly #space: Space;

  /** @internal */
  constructor(setting: FaultSetting, options: FaultOptions, bytes: number) {
    const space = new Space(bytes);
    super(setting, options, (request, next) => space.serve(request, next));
    this.#space = space;
  }

  /** How many bytes can still be written. */
  get left(): number {
    return this.#space.left;
  }
}

class Space {
  left: number;

  constructor(bytes: number) {
    this.left = bytes;
  }

  serve(request: AnyRequest, next: AnyNext): Promise<object> {
    switch (request.operation) {
      case 'write':
        return this.#take(request['size'] as number, (bytes) => this.#write(request, next, bytes));
      case 'copyFileRange':
        return this.#take(Number(request['length']), (bytes) => this.#copy(next, bytes));
      default:
        return this.#allocate(request, next);
    }
  }

  /** Reserved while it is written, so that what is written meanwhile does not get the same room. */
  async #take(wanted: number, write: (bytes: number) => Promise<{ written: number; reply: object }>): Promise<object> {
    if (wanted > 0 && this.left === 0) throw new FuseError('ENOSPC');
    const reserved = Math.min(wanted, this.left);
    this.left -= reserved;
    let used = 0;
    try {
      const { written, reply } = await write(reserved);
      used = written;
      return reply;
    } finally {
      this.left += reserved - used;
    }
  }

  async #write(request: AnyRequest, next: AnyNext, bytes: number): Promise<{ written: number; reply: object }> {
    const whole = bytes === request['size'];
    const reply = whole ? ((await next()) as { readonly size: number }) : await writeSome(request, next, bytes);
    return { written: reply.size, reply };
  }

  async #copy(next: AnyNext, bytes: number): Promise<{ written: number; reply: object }> {
    const reply = (await next({ length: BigInt(bytes) })) as { readonly bytesCopied: bigint };
    return { written: Number(reply.bytesCopied), reply };
  }

  /** What punches holes or moves what is there needs no room. */
  async #allocate(request: AnyRequest, next: AnyNext): Promise<object> {
    const allocates = ((request['mode'] as number) & ~MODE_KEEP_SIZE_MASK) === 0;
    if (allocates && Number(request['length']) > this.left) throw new FuseError('ENOSPC');
    return next();
  }
}
