/** From a policy to what the addon takes. All checks are here: the addon makes none. */
import { isUint8Array } from 'node:util/types';
import { didYouMean } from '../closest.js';
import type { ConfigObject } from '../config/types.js';
import type { NativeLimits, NativePolicy, NativeRule } from '../native/binding.js';
import { isPlainObject } from '../plain-object.js';
import { compileHandlers, type CompiledHandlers } from './handlers/sets.js';
import { parsePaths } from './patterns.js';
import { operationBits } from './permissions.js';
import { PolicyProblem, placeText, reported, type Place } from './problem.js';
import { DENIALS } from './rules.js';
import { contains, parseWindow, type Window } from './windows.js';

const RULES_MAX = 256;
const PATTERNS_MAX = 4096;
/** Of all masks together: they stay in memory. */
const MASK_BYTES_MAX = 16 * 1024 * 1024;

/** A policy that has been checked. */
export interface CompiledPolicy {
  /** What of it holds at a moment. */
  nativeAt(now: Date): NativePolicy;
  /** Whether that depends on the moment. */
  readonly changesWithTime: boolean;
  /** Who decides about requests besides the rules; `attached`: who will be attached; undefined: nobody. */
  readonly handlers: CompiledHandlers | 'attached' | undefined;
  /** What it says that the configuration of the share says otherwise. */
  readonly config: Pick<ConfigObject, 'translateUid' | 'translateGid'>;
}

interface CompiledRule {
  readonly native: NativeRule;
  readonly window: Window | undefined;
}

/** What a rule of a type may say, and what it does. */
interface RuleKind {
  readonly properties: readonly string[];
  readonly pathsRequired: boolean;
  effect(rule: Given, place: Place, masks: Uint8Array[]): Partial<NativeRule>;
}
type Given = Readonly<Record<string, unknown>>;

const NO_EFFECT: NativeRule = {
  hides: false,
  allows: 0,
  denies: 0,
  asReadOnly: false,
  mask: -1,
  umask: 0,
  everywhere: false,
  patterns: [],
};

function operationsOf(rule: Given, place: Place): number {
  return operationBits(rule['operations'] ?? 'all', [...place, 'operations']);
}

const KINDS: Readonly<Record<string, RuleKind>> = {
  readOnly: {
    properties: ['paths'],
    pathsRequired: false,
    effect: () => ({ denies: operationBits('write', []), asReadOnly: true }),
  },
  allow: {
    properties: ['paths', 'operations'],
    pathsRequired: true,
    effect: (rule, place) => ({ allows: operationsOf(rule, place) }),
  },
  deny: {
    properties: ['paths', 'operations'],
    pathsRequired: true,
    effect: (rule, place) => ({ denies: operationsOf(rule, place) }),
  },
  hide: { properties: ['paths'], pathsRequired: true, effect: () => ({ hides: true }) },
  mask: {
    properties: ['paths', 'content'],
    pathsRequired: true,
    effect: (rule, place, masks) => ({ mask: masks.push(content(rule['content'], [...place, 'content'])) - 1 }),
  },
  umask: {
    properties: ['paths', 'mask'],
    pathsRequired: false,
    effect: (rule, place) => ({ umask: permissionBits(rule['mask'], [...place, 'mask']) }),
  },
  ...Object.fromEntries(
    Object.entries(DENIALS).map(([type, operations]) => [
      type,
      { properties: ['paths'], pathsRequired: false, effect: () => ({ denies: operationBits(operations, []) }) },
    ]),
  ),
};

/** The types of rules, for the documentation and its check. */
export const RULE_TYPES: readonly string[] = [...Object.keys(KINDS), 'idMap', 'limits'];

/** Throws ERR_VIRTIOFS_POLICY_INVALID with the place in the policy. `asciiCasefold`: of the share. */
export function compilePolicy(policy: unknown, asciiCasefold = false): CompiledPolicy {
  return reported(() => checkedPolicy(policy, asciiCasefold), placeText);
}

/** The same, but throws a PolicyProblem. */
export function checkedPolicy(policy: unknown, asciiCasefold: boolean): CompiledPolicy {
  const { rules = [], on, ignoreCase = asciiCasefold, hardLinks = 'check', lasting = false } = policyObject(policy);
  const prefix: Place = Array.isArray(policy) ? [] : ['rules'];
  if (!Array.isArray(rules)) throw new PolicyProblem(prefix, 'it is no list of rules');
  if (rules.length > RULES_MAX)
    throw new PolicyProblem(prefix, `there are ${rules.length} rules; at most ${RULES_MAX}`);
  const masks: Uint8Array[] = [];
  const config: { -readonly [K in keyof CompiledPolicy['config']]: CompiledPolicy['config'][K] } = {};
  const compiled: CompiledRule[] = [];
  let bounds: NativeLimits | undefined;
  for (const [index, rule] of (rules as unknown[]).entries()) {
    const place = [...prefix, index];
    if (isPlainObject(rule) && rule['type'] === 'idMap') addIdMap(rule, place, config);
    else if (isPlainObject(rule) && rule['type'] === 'limits') bounds = limitsOf(rule, place, bounds);
    else compiled.push(compileRule(rule, place, masks));
  }
  checkTotals(compiled, masks, prefix);
  const whole = {
    masks,
    ignoreCase: boolean(ignoreCase, ['ignoreCase']),
    hardLinks: hardLinksChoice(hardLinks),
    lasting: boolean(lasting, ['lasting']),
    limits: bounds ?? NO_LIMITS,
  };
  return {
    nativeAt: (now) => {
      const holding = compiled.filter(({ window }) => window === undefined || contains(window, now));
      return { ...whole, rules: holding.map(({ native }) => native) };
    },
    handlers: on === undefined || on === 'attached' ? on : compileHandlers(on, ['on'], whole.ignoreCase),
    changesWithTime: compiled.some(({ window }) => window !== undefined),
    config,
  };
}

const POLICY_PROPERTIES = ['rules', 'on', 'ignoreCase', 'hardLinks', 'lasting'];

function policyObject(policy: unknown): Given {
  if (Array.isArray(policy)) return { rules: policy };
  if (!isPlainObject(policy))
    throw new PolicyProblem([], 'it is no policy: a list of rules, or an object that has one or handlers');
  for (const name of Object.keys(policy)) checkName(name, POLICY_PROPERTIES, [name]);
  return policy;
}

function compileRule(rule: unknown, place: Place, masks: Uint8Array[]): CompiledRule {
  if (!isPlainObject(rule)) throw new PolicyProblem(place, 'it is no rule: an object with a type');
  const { type } = rule;
  const kind = typeof type === 'string' && Object.hasOwn(KINDS, type) ? KINDS[type] : undefined;
  if (kind === undefined) {
    const likely = typeof type === 'string' ? didYouMean(type, RULE_TYPES) : '';
    const known = likely || `; there are ${RULE_TYPES.join(', ')}`;
    throw new PolicyProblem([...place, 'type'], `${JSON.stringify(type)} is no type of rule${known}`);
  }
  for (const name of Object.keys(rule)) checkName(name, ['type', 'during', ...kind.properties], [...place, name]);
  const paths = rule['paths'];
  if (paths === undefined && kind.pathsRequired) throw new PolicyProblem(place, `"${String(type)}" needs "paths"`);
  return {
    native: { ...NO_EFFECT, ...kind.effect(rule, place, masks), ...pathsOf(paths, [...place, 'paths']) },
    window: rule['during'] === undefined ? undefined : parseWindow(rule['during'], [...place, 'during']),
  };
}

function pathsOf(paths: unknown, place: Place): Pick<NativeRule, 'everywhere' | 'patterns'> {
  return paths === undefined ? { everywhere: true, patterns: [] } : parsePaths(paths, place);
}

function checkName(name: string, known: readonly string[], place: Place): void {
  if (known.includes(name)) return;
  const why = didYouMean(name, known) || `; there are ${known.join(', ')}`;
  throw new PolicyProblem(place, `there is no such property${why}`);
}

function checkTotals(rules: readonly CompiledRule[], masks: readonly Uint8Array[], place: Place): void {
  const patterns = rules.reduce((sum, { native }) => sum + native.patterns.length, 0);
  if (patterns > PATTERNS_MAX)
    throw new PolicyProblem(place, `there are ${patterns} patterns; at most ${PATTERNS_MAX}`);
  const bytes = masks.reduce((sum, mask) => sum + mask.length, 0);
  if (bytes > MASK_BYTES_MAX) throw new PolicyProblem(place, `masks have ${bytes} bytes; at most ${MASK_BYTES_MAX}`);
}

const NO_LIMITS: NativeLimits = {
  openHandles: -1,
  inodes: -1,
  bytesWritten: -1,
  fileSize: -1,
  opsPerSecond: -1,
  bytesPerSecond: -1,
};
/** Of these 0 is none: nothing would ever happen. */
const RATES = ['opsPerSecond', 'bytesPerSecond'];

function limitsOf(rule: Given, place: Place, before: NativeLimits | undefined): NativeLimits {
  if (before !== undefined) throw new PolicyProblem(place, 'there is another "limits"');
  const names = Object.keys(NO_LIMITS);
  for (const name of Object.keys(rule)) checkName(name, ['type', ...names], [...place, name]);
  const given = names.filter((name) => rule[name] !== undefined);
  if (given.length === 0) throw new PolicyProblem(place, `it limits nothing; there are ${names.join(', ')}`);
  const count = (name: string): number => {
    const value = rule[name];
    const least = RATES.includes(name) ? 1 : 0;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least) return value;
    throw new PolicyProblem([...place, name], `${JSON.stringify(value)} is no integer, ${least} or more`);
  };
  return { ...NO_LIMITS, ...Object.fromEntries(given.map((name) => [name, count(name)])) };
}

type Maps = { translateUid?: ConfigObject['translateUid']; translateGid?: ConfigObject['translateGid'] };

/** What the maps say is checked with the configuration that they become part of. */
function addIdMap(rule: Given, place: Place, config: Maps): void {
  for (const name of Object.keys(rule)) checkName(name, ['type', 'uid', 'gid'], [...place, name]);
  if (config.translateUid !== undefined || config.translateGid !== undefined) {
    throw new PolicyProblem(place, 'there is another "idMap"');
  }
  if (rule['uid'] === undefined && rule['gid'] === undefined) throw new PolicyProblem(place, 'it maps nothing');
  if (rule['uid'] !== undefined) config.translateUid = rule['uid'] as NonNullable<ConfigObject['translateUid']>;
  if (rule['gid'] !== undefined) config.translateGid = rule['gid'] as NonNullable<ConfigObject['translateGid']>;
}

function content(given: unknown, place: Place): Uint8Array {
  if (given === undefined) return new Uint8Array(0);
  if (typeof given === 'string') return new TextEncoder().encode(given);
  // A copy: the caller's may change.
  if (isUint8Array(given)) return Uint8Array.from(given);
  throw new PolicyProblem(place, 'it is neither a text nor a Uint8Array');
}

function permissionBits(given: unknown, place: Place): number {
  const value = typeof given === 'string' && /^[0-7]{1,4}$/.test(given) ? parseInt(given, 8) : given;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0o777) return value;
  throw new PolicyProblem(
    place,
    `${JSON.stringify(given)} is no umask from 0 to 0777, as a number or in octal as a text`,
  );
}

function boolean(given: unknown, place: Place): boolean {
  if (typeof given === 'boolean') return given;
  throw new PolicyProblem(place, `${JSON.stringify(given)} is neither true nor false`);
}

function hardLinksChoice(given: unknown): NativePolicy['hardLinks'] {
  if (given === 'check' || given === 'allow' || given === 'hide') return given;
  throw new PolicyProblem(['hardLinks'], `${JSON.stringify(given)} is none of "check", "allow", "hide"`);
}
