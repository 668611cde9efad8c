/** Numbers of nodes and handles: those of the record, and what stands for them now. */
import { FUSE_ROOT_ID, GETATTR_FH } from '../fuse/abi.js';
import type { Outcome, RequestLine } from '../record/format.js';
import type { Values } from '../record/values.js';

type Given = Outcome['gives'];

const NODE_FIELDS = ['newDir', 'oldNodeId', 'nodeIdOut'];
const HANDLE_FIELDS = ['fh', 'fhIn', 'fhOut'];

/** A number that no reply of the record has given, or one that the device has not given now. */
class Unknown extends Error {}

export class Numbers {
  readonly #nodes = new Map<bigint, bigint>([[FUSE_ROOT_ID, FUSE_ROOT_ID]]);
  readonly #handles = new Map<bigint, bigint>();

  /** A number may be given anew, to another file, when the guest has forgotten it: the latest holds. */
  learn(recorded: Given, live: Given): void {
    note(this.#nodes, recorded?.node, live?.node);
    note(this.#handles, recorded?.fh, live?.fh);
  }

  /** The request as it is to be sent now. Undefined: what it is about is not there. */
  translated({
    node,
    operation,
    parameters,
  }: RequestLine): { readonly node: bigint; readonly parameters: Values } | undefined {
    // Nobody looks at a handle that the flags do not announce.
    const silent = 'getattrFlags' in parameters && ((parameters['getattrFlags'] as number) & GETATTR_FH) === 0;
    try {
      const given = silent ? { ...parameters, fh: 0n } : this.#fields(parameters);
      const changes = operation === 'setattr' ? { changes: this.#fields(parameters['changes'] as Values) } : {};
      return { node: this.#node(node), parameters: { ...given, ...changes } };
    } catch (error) {
      if (error instanceof Unknown) return undefined;
      throw error;
    }
  }

  #fields(values: Values): Values {
    const entries = Object.entries(values).map(([name, value]) => {
      if (NODE_FIELDS.includes(name)) return [name, this.#node(value as bigint)] as const;
      return [name, HANDLE_FIELDS.includes(name) ? this.#handle(value as bigint) : value] as const;
    });
    return Object.fromEntries(entries);
  }

  #node(recorded: bigint): bigint {
    const live = this.#nodes.get(recorded);
    if (live === undefined) throw new Unknown();
    return live;
  }

  /** 0 is the handle of what was opened without a message. */
  #handle(recorded: bigint): bigint {
    const live = this.#handles.get(recorded) ?? (recorded === 0n ? 0n : undefined);
    if (live === undefined) throw new Unknown();
    return live;
  }
}

function note(numbers: Map<bigint, bigint>, recorded: bigint | undefined, live: bigint | undefined): void {
  if (recorded === undefined) return;
  if (live === undefined) numbers.delete(recorded);
  else numbers.set(recorded, live);
}
