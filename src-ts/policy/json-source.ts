/**
 * JSON with places: the value, and where in the text each part of it stands, so that a message about a rule can point at
 * the rule. Strict JSON (RFC 8259); a name that occurs twice in an object is an error, because one of them would mean
 * nothing.
 */

/** A mistake in the text itself. */
export class JsonSyntaxError extends Error {
  readonly offset: number;

  constructor(message: string, offset: number) {
    super(message);
    this.name = 'JsonSyntaxError';
    this.offset = offset;
  }
}

type Step = string | number;

interface Parsed {
  readonly value: unknown;
  /** Where it begins. */
  readonly offset: number;
  readonly children: ReadonlyMap<Step, Parsed>;
}

/** Deeper than any file has reason to be, and far from the depth of the stack. */
const DEPTH_MAX = 64;

const NO_CHILDREN: ReadonlyMap<Step, Parsed> = new Map();
const BLANKS = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// eslint-disable-next-line no-control-regex -- control characters are what a JSON text may not contain
const TEXT = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const WORDS = { true: true, false: false, null: null } as const;

class Parser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  whole(): Parsed {
    const parsed = this.#value(0);
    if (this.#at < this.#text.length) throw this.#unexpected('the end');
    return parsed;
  }

  #value(depth: number): Parsed {
    this.#skip(BLANKS);
    const offset = this.#at;
    if (depth > DEPTH_MAX) throw new JsonSyntaxError('it is nested too deeply', offset);
    const parsed = this.#parsed(offset, depth);
    this.#skip(BLANKS);
    return parsed;
  }

  #parsed(offset: number, depth: number): Parsed {
    if (this.#take('{')) return this.#object(offset, depth);
    if (this.#take('[')) return this.#array(offset, depth);
    if (this.#text[offset] === '"') return { value: this.#string('a text'), offset, children: NO_CHILDREN };
    for (const [word, value] of Object.entries(WORDS)) {
      if (this.#take(word)) return { value, offset, children: NO_CHILDREN };
    }
    const number = this.#skip(NUMBER);
    if (number === '') throw this.#unexpected('a value');
    return { value: Number(number), offset, children: NO_CHILDREN };
  }

  #object(offset: number, depth: number): Parsed {
    const children = new Map<Step, Parsed>();
    this.#skip(BLANKS);
    if (!this.#take('}')) {
      do {
        this.#skip(BLANKS);
        const at = this.#at;
        const name = this.#string('a name in quotes');
        if (children.has(name)) throw new JsonSyntaxError(`"${name}" occurs twice`, at);
        this.#skip(BLANKS);
        if (!this.#take(':')) throw this.#unexpected('":"');
        children.set(name, this.#value(depth + 1));
      } while (this.#take(','));
      if (!this.#take('}')) throw this.#unexpected('"," or "}"');
    }
    // Not by assignment, which a name like __proto__ would turn into something else.
    const value = Object.fromEntries([...children].map(([name, child]) => [name, child.value]));
    return { value, offset, children };
  }

  #array(offset: number, depth: number): Parsed {
    const children = new Map<Step, Parsed>();
    this.#skip(BLANKS);
    if (!this.#take(']')) {
      do children.set(children.size, this.#value(depth + 1));
      while (this.#take(','));
      if (!this.#take(']')) throw this.#unexpected('"," or "]"');
    }
    return { value: [...children.values()].map((child) => child.value), offset, children };
  }

  #string(wanted: string): string {
    const text = this.#skip(TEXT);
    if (text === '') throw this.#unexpected(wanted);
    return JSON.parse(text) as string;
  }

  #take(word: string): boolean {
    const there = this.#text.startsWith(word, this.#at);
    if (there) this.#at += word.length;
    return there;
  }

  #skip(pattern: RegExp): string {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0] ?? '';
    this.#at += found.length;
    return found;
  }

  #unexpected(wanted: string): JsonSyntaxError {
    const there = this.#at < this.#text.length ? JSON.stringify(this.#text.slice(this.#at, this.#at + 1)) : 'the end';
    return new JsonSyntaxError(`${there} stands where ${wanted} is expected`, this.#at);
  }
}

/** A JSON text that has been read. */
export class JsonSource {
  readonly value: unknown;
  readonly #root: Parsed;

  /** Throws JsonSyntaxError. */
  constructor(text: string) {
    this.#root = new Parser(text).whole();
    this.value = this.#root.value;
  }

  /** Where a part of the value begins; the nearest part around it, if it is not there. */
  offsetOf(place: readonly Step[]): number {
    let at = this.#root;
    for (const step of place) {
      const child = at.children.get(step);
      if (child === undefined) break;
      at = child;
    }
    return at.offset;
  }
}

/** `line:column`, both from 1. */
export function lineAndColumn(text: string, offset: number): string {
  const before = text.slice(0, offset).split('\n');
  return `${before.length}:${(before.at(-1) as string).length + 1}`;
}
