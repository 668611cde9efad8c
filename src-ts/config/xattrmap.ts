/**
 * virtiofsd's language of rules for the names of extended attributes.
 *
 * The first character of a rule that is no white space is its separator. Long form, with `:` for the separator:
 * `:type:scope:key:prepend:`; short form: `:map:key:prepend:`, which must be the last rule and stands for
 *
 *   :prefix:all:key:prepend::bad:all:prepend:key::ok:all:::     with a key
 *   :prefix:all::prepend::bad:all:::                            without one
 *
 * The native side applies the rules (passthrough/xattr_map.h) and never sees this text.
 */
import { didYouMean } from '../closest.js';
import { because, good, notA, recordOf, type Checked, type Kind } from './kinds.js';
import type { XattrRule, XattrRuleInput, XattrRuleScope } from './types.js';

const TYPES = ['prefix', 'ok', 'bad', 'unsupported', 'map'] as const satisfies XattrRuleInput['type'][];
const SCOPES = ['client', 'server', 'all'] as const satisfies XattrRuleScope[];

/** XATTR_NAME_MAX: no longer name exists, so that a longer key or prefix is a mistake. */
const NAME_BYTES_MAX = 255;

export const xattrmap: Kind<readonly XattrRule[]> = {
  accepts: 'rules',
  read: (text) => text,
  check(value) {
    const inputs = typeof value === 'string' ? readRules(value) : checkRules(value);
    if ('problem' in inputs) return inputs;
    if (inputs.value.length === 0) return because('it has no rule, so that every name would be refused');
    const last = inputs.value.length - 1;
    const early = inputs.value.findIndex((rule, index) => rule.type === 'map' && index < last);
    if (early !== -1) return because(`rule ${early + 2} can never match: "map" must be the last rule`);
    return good(inputs.value.flatMap(expand));
  },
};

/** What becomes of a name that the guest sends: it stays as it is, becomes another, or is refused. */
export function fateOf(rules: readonly XattrRule[], name: string): 'same' | 'changed' | 'refused' {
  if (rules.length === 0) return 'same';
  const rule = rules.find(({ scope, key }) => scope !== 'server' && name.startsWith(key));
  if (rule?.type === 'ok') return 'same';
  if (rule?.type !== 'prefix') return 'refused';
  return rule.prepend === '' ? 'same' : 'changed';
}

/** The long form of a rule. */
function expand(rule: XattrRuleInput): XattrRule[] {
  if (rule.type !== 'map') return [rule];
  const { key, prepend } = rule;
  const prefix: XattrRule = { type: 'prefix', scope: 'all', key, prepend };
  if (key === '') return [prefix, { type: 'bad', scope: 'all', key: '', prepend: '' }];
  return [
    prefix,
    { type: 'bad', scope: 'all', key: prepend, prepend: key },
    { type: 'ok', scope: 'all', key: '', prepend: '' },
  ];
}

/** A forward-only reader of rules. */
class RuleReader {
  #at = 0;
  #separator = '';

  constructor(readonly text: string) {}

  /** Goes to the next rule and past its separator; false at the end. */
  begin(): boolean {
    while (/\s/.test(this.text.charAt(this.#at))) this.#at += 1;
    const first = this.text.codePointAt(this.#at);
    if (first === undefined) return false;
    this.#separator = String.fromCodePoint(first);
    this.#at += this.#separator.length;
    return true;
  }

  /** What stands before the next separator, or undefined if there is none. */
  field(): string | undefined {
    const end = this.text.indexOf(this.#separator, this.#at);
    if (end === -1) return undefined;
    const field = this.text.slice(this.#at, end);
    this.#at = end + this.#separator.length;
    return field;
  }

  /** Where the next field begins, for people. */
  get position(): string {
    return `at character ${this.#at + 1}`;
  }

  get separator(): string {
    return this.#separator;
  }
}

function readRules(text: string): Checked<XattrRuleInput[]> {
  const rules: XattrRuleInput[] = [];
  const reader = new RuleReader(text);
  while (reader.begin()) {
    const rule = readRule(reader);
    if ('problem' in rule) return because(`rule ${rules.length + 1} ${rule.problem}`);
    rules.push(rule.value);
  }
  return good(rules);
}

function readRule(reader: RuleReader): Checked<XattrRuleInput> {
  const start = reader.position;
  const type = reader.field();
  if (type === undefined) return unfinished(reader, 'its type');
  if (!isOneOf(TYPES, type)) {
    return { problem: `has the type "${type}" ${start}, which is none of ${choices(TYPES, type)}${hint(reader)}` };
  }
  let scope: string | undefined = 'all';
  if (type !== 'map') {
    const scopeStart = reader.position;
    scope = reader.field();
    if (scope === undefined) return unfinished(reader, 'its scope');
    if (!isOneOf(SCOPES, scope)) {
      return { problem: `has the scope "${scope}" ${scopeStart}, which is none of ${choices(SCOPES, scope)}` };
    }
  }
  const key = reader.field();
  if (key === undefined) return unfinished(reader, 'its key');
  const prepend = reader.field();
  if (prepend === undefined) return unfinished(reader, 'its prefix');
  return checkNames(type === 'map' ? { type, key, prepend } : { type, scope: scope as XattrRuleScope, key, prepend });
}

function unfinished(reader: RuleReader, what: string): { problem: string } {
  return { problem: `is cut off: "${reader.separator}" does not follow ${what} ${reader.position}${hint(reader)}` };
}

/** For those who left the first separator out. */
function hint(reader: RuleReader): string {
  if (!/[a-z0-9]/i.test(reader.separator)) return '';
  return ` (a rule begins with its separator; this one's is "${reader.separator}")`;
}

function checkRules(value: unknown): Checked<XattrRuleInput[]> {
  if (!Array.isArray(value)) return notA('a text or an array of rules');
  const rules: XattrRuleInput[] = [];
  for (const [index, item] of (value as unknown[]).entries()) {
    const rule = checkRule(item);
    if ('problem' in rule) return because(`rule ${index + 1} ${rule.problem}`);
    rules.push(rule.value);
  }
  return good(rules);
}

function checkRule(item: unknown): Checked<XattrRuleInput> {
  const isMap = (item as { type?: unknown } | null | undefined)?.type === 'map';
  const record = recordOf(item, isMap ? ['type', 'key', 'prepend'] : ['type', 'scope', 'key', 'prepend']);
  if ('problem' in record) return record;
  const { type, scope, key, prepend } = record.fields;
  if (!isOneOf(TYPES, type))
    return { problem: `has the type ${JSON.stringify(type)}, none of ${choices(TYPES, type)}` };
  if (typeof key !== 'string' || typeof prepend !== 'string')
    return { problem: 'has a key or prefix that is no string' };
  if (type === 'map') return checkNames({ type, key, prepend });
  if (!isOneOf(SCOPES, scope)) {
    return { problem: `has the scope ${JSON.stringify(scope)}, none of ${choices(SCOPES, scope)}` };
  }
  return checkNames({ type: type, scope, key, prepend });
}

function checkNames(rule: XattrRuleInput): Checked<XattrRuleInput> {
  for (const [what, text] of [
    ['key', rule.key],
    ['prefix', rule.prepend],
  ] as const) {
    if (text.includes('\0') || /\p{Surrogate}/u.test(text))
      return { problem: `has a ${what} that no name can contain` };
    if (Buffer.byteLength(text) > NAME_BYTES_MAX)
      return { problem: `has a ${what} of more than ${NAME_BYTES_MAX} bytes` };
  }
  return good(rule);
}

function isOneOf<T extends string>(words: readonly T[], word: unknown): word is T {
  return words.some((each) => each === word);
}

function choices(words: readonly string[], given: unknown): string {
  return words.join(', ') + (typeof given === 'string' ? didYouMean(given, words) : '');
}
