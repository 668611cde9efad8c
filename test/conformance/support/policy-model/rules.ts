/**
 * What rules say of a path, as simply as it can be said: what remains of each pattern after the names so far is a list of
 * components, and a name takes the first of them away. Slow, and independent of the library: it is compared with it.
 */
import type { PolicyObject, Rule } from 'virtio-fs';

/** Operations and their errnos: the table of docs/policies.md. */
export const REFUSALS = {
  read: 'EACCES',
  modify: 'EACCES',
  execute: 'EACCES',
  create: 'EACCES',
  delete: 'EACCES',
  rename: 'EACCES',
  link: 'EPERM',
  symlink: 'EPERM',
  device: 'EPERM',
  setuid: 'EPERM',
  getxattr: 'EOPNOTSUPP',
  setxattr: 'EOPNOTSUPP',
  chmod: 'EPERM',
  chown: 'EPERM',
  utimes: 'EPERM',
  lock: 'ENOLCK',
  ioctl: 'ENOTTY',
} as const;
export type ModelOperation = keyof typeof REFUSALS;

const ALL = Object.keys(REFUSALS) as ModelOperation[];
const WRITE = ALL.filter((each) => !['read', 'execute', 'setuid', 'getxattr', 'lock', 'ioctl'].includes(each));
const GROUPS: Readonly<Record<string, readonly ModelOperation[]>> = {
  all: ALL,
  write: WRITE,
  xattr: ['getxattr', 'setxattr'],
};

/** Rules that deny one kind of operation; the table of docs/policies.md. */
const DENIALS: Readonly<Record<string, readonly ModelOperation[]>> = {
  noRead: ['read'],
  noExec: ['execute'],
  noCreate: ['create'],
  noDelete: ['delete'],
  noRename: ['rename'],
  noLink: ['link'],
  noSymlink: ['symlink'],
  noDeviceNodes: ['device'],
  noSetuid: ['setuid'],
  noXattr: ['getxattr', 'setxattr'],
  noChmod: ['chmod'],
  noChown: ['chown'],
  noUtimes: ['utimes'],
  noLock: ['lock'],
  noIoctl: ['ioctl'],
};

interface Pattern {
  readonly negated: boolean;
  readonly directoriesOnly: boolean;
  readonly components: readonly string[];
}

/** A rule without what concerns the whole share. */
type PathRule = Exclude<Rule, { readonly type: 'limits' | 'idMap' }>;

interface ParsedRule {
  readonly rule: PathRule;
  /** Holds for the root itself. */
  readonly everywhere: boolean;
  readonly patterns: readonly Pattern[];
}

/** What remains of a pattern below some directory. */
interface Remainder {
  readonly rule: number;
  readonly pattern: number;
  readonly components: readonly string[];
}

/** All that the rules want to know of the way to a directory, or to anything else. */
export interface Place {
  /** Rules that hold here and for everything below. */
  readonly holding: readonly number[];
  readonly remainders: readonly Remainder[];
}

export interface Verdict {
  readonly hidden: boolean;
  readonly denied: ReadonlyMap<ModelOperation, string>;
  readonly umask: number;
  /** The content that is shown, and which rule says so. */
  readonly mask: { readonly rule: number; readonly content: string } | undefined;
}

const CLASSES: Readonly<Record<string, string>> = { digit: '0-9', alpha: 'a-zA-Z', upper: 'A-Z' };

/** One component as a regular expression. */
function expressionOf(component: string, ignoreCase: boolean): RegExp {
  const source = component.replaceAll(
    /\\(.)|\[[!^]?(?:\[:\w+:\]|[^\]])+\]|[*?]|[^]/g,
    (token, escaped: string | undefined) => {
      if (token === '*') return '[^]*';
      if (token === '?') return '[^]';
      if (token.startsWith('[') && token.length > 1) {
        const inside = token.slice(1, -1).replaceAll(/\[:(\w+):\]/g, (_all, name: string) => CLASSES[name] ?? '');
        return `[${inside.replace(/^!/, '^')}]`;
      }
      return (escaped ?? token).replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&');
    },
  );
  return new RegExp(`^${source}$`, ignoreCase ? 'i' : '');
}

/** undefined: the root and everything below it. */
function parsePattern(pattern: string): Pattern | undefined {
  const negated = pattern.startsWith('!');
  let text = negated ? pattern.slice(1) : pattern;
  if (text.startsWith('./')) text = text.slice(1);
  if (text === '/') return undefined;
  const directoriesOnly = text.endsWith('/');
  if (directoriesOnly) text = text.slice(0, -1);
  const components = text.includes('/') ? text.replace(/^\//, '').split('/') : ['**', text];
  return {
    negated,
    directoriesOnly,
    components: components.filter((each, i) => each !== '**' || components[i - 1] !== each),
  };
}

function parseRule(rule: PathRule): ParsedRule {
  if (rule.paths === undefined) return { rule, everywhere: true, patterns: [] };
  const list = typeof rule.paths === 'string' ? [rule.paths] : rule.paths;
  const parsed = list.map(parsePattern);
  return {
    rule,
    everywhere: parsed.includes(undefined),
    patterns: parsed.filter((each) => each !== undefined),
  };
}

function operationsOf(given: string | readonly string[] | undefined): readonly ModelOperation[] {
  const names = given === undefined ? ['all'] : typeof given === 'string' ? [given] : given;
  return names.flatMap((name) => GROUPS[name] ?? [name as ModelOperation]);
}

/** Remainders of one pattern differ in how much is left. */
function keyOf({ rule, pattern, components }: Remainder): string {
  return `${rule}:${pattern}:${components.length}`;
}

/** The rules of one policy. */
export class ModelRules {
  readonly root: Place;
  readonly #rules: readonly ParsedRule[];
  readonly #ignoreCase: boolean;
  readonly #expressions = new Map<string, RegExp>();

  constructor({ rules = [], ignoreCase = false }: PolicyObject) {
    this.#ignoreCase = ignoreCase;
    this.#rules = rules.filter((rule) => rule.type !== 'limits' && rule.type !== 'idMap').map(parseRule);
    const holding = this.#rules.flatMap(({ everywhere }, index) => (everywhere ? [index] : []));
    this.root = this.#place(
      holding,
      this.#rules.flatMap(({ patterns }, rule) =>
        patterns.map(({ components }, pattern) => ({ rule, pattern, components })),
      ),
    );
  }

  get hidesSomething(): boolean {
    return this.#rules.some(({ rule }) => rule.type === 'hide');
  }

  /** The place of what is called `name` in a directory. */
  enter(parent: Place, name: string, isDirectory: boolean): Place {
    const next: Remainder[] = [];
    // Of each rule the last pattern that matches.
    const decisive = new Map<number, number>();
    for (const remainder of parent.remainders) {
      for (const components of this.#ways(remainder.components)) {
        const [first = '', ...rest] = components;
        if (first !== '**' && !this.#matches(first, name)) continue;
        const { rule, pattern } = remainder;
        if (rest.length === 0 && (isDirectory || !this.#pattern(remainder).directoriesOnly)) {
          decisive.set(rule, Math.max(pattern, decisive.get(rule) ?? pattern));
        }
        if (first === '**') next.push({ ...remainder, components });
        else if (rest.length > 0) next.push({ ...remainder, components: rest });
      }
    }
    const begun = [...decisive].filter(
      ([rule, pattern]) => !(this.#rules[rule] as ParsedRule).patterns[pattern]?.negated,
    );
    return this.#place([...parent.holding, ...begun.map(([rule]) => rule)], next);
  }

  verdict({ holding }: Place): Verdict {
    const denied = new Map<ModelOperation, string>();
    let [hidden, umask] = [false, 0];
    let mask: Verdict['mask'];
    for (const index of holding) {
      const { rule } = this.#rules[index] as ParsedRule;
      const deny = (operations: readonly ModelOperation[]): void => {
        for (const each of operations) denied.set(each, REFUSALS[each]);
      };
      if (rule.type === 'hide') hidden = true;
      else if (rule.type === 'mask') mask = { rule: index, content: String(rule.content ?? '') };
      else if (rule.type === 'umask') umask |= Number(rule.mask);
      else if (rule.type === 'readOnly') for (const each of WRITE) denied.set(each, 'EROFS');
      else if (rule.type === 'allow') for (const each of operationsOf(rule.operations)) denied.delete(each);
      else if (rule.type === 'deny') deny(operationsOf(rule.operations));
      else deny(DENIALS[rule.type] ?? []);
    }
    return { hidden, denied, umask, mask };
  }

  #pattern({ rule, pattern }: Remainder): Pattern {
    return (this.#rules[rule] as ParsedRule).patterns[pattern] as Pattern;
  }

  /** Any number of directories may be none. */
  #ways(components: readonly string[]): (readonly string[])[] {
    return components[0] === '**' && components.length > 1 ? [components, components.slice(1)] : [components];
  }

  #matches(component: string, name: string): boolean {
    let expression = this.#expressions.get(component);
    if (expression === undefined) {
      expression = expressionOf(component, this.#ignoreCase);
      this.#expressions.set(component, expression);
    }
    return expression.test(name);
  }

  /** A rule that holds has no more questions. */
  #place(holding: readonly number[], remainders: readonly Remainder[]): Place {
    const open = remainders.filter(({ rule }) => !holding.includes(rule));
    const unique = new Map(open.map((each) => [keyOf(each), each]));
    return { holding: [...new Set(holding)].sort((a, b) => a - b), remainders: [...unique.values()] };
  }
}

/** Whether no rule can tell two directories apart, however deep one looks. */
export function isSamePlace(one: Place, other: Place): boolean {
  const text = ({ holding, remainders }: Place): string => JSON.stringify([holding, remainders.map(keyOf).sort()]);
  return text(one) === text(other);
}

export function isSameVerdict(one: Verdict, other: Verdict): boolean {
  const text = ({ hidden, denied, umask, mask }: Verdict): string =>
    JSON.stringify([hidden, [...denied].sort(), umask, mask?.rule]);
  return text(one) === text(other);
}
