/**
 * Translations of uids and gids, in virtiofsd's forms: `map:GUEST:HOST:COUNT` and its kind, several separated by `;`.
 * An id that no translation is about stays as it is. In each direction an id may be the source of one translation only,
 * so that their order does not matter.
 */
import { didYouMean } from '../closest.js';
import {
  ID_MAX,
  because,
  good,
  isId,
  isInteger,
  notA,
  readInteger,
  recordOf,
  type Checked,
  type Kind,
} from './kinds.js';
import type { IdTranslation } from './types.js';

/** What happens to a range of ids in one direction. */
export interface IdRange {
  /** `shift`: id - from + to; `squash`: to; `forbid`: refused, `to` is 0. */
  readonly kind: 'shift' | 'squash' | 'forbid';
  /** First id of the range. */
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/** Both directions, each ordered by `from` and without overlaps. */
export interface IdRanges {
  readonly guestToHost: readonly IdRange[];
  readonly hostToGuest: readonly IdRange[];
}

type Type = IdTranslation['type'];

/** The fields of each type in the order of the string form. */
const FIELDS: Readonly<Record<Type, readonly ('guest' | 'host' | 'count')[]>> = {
  guest: ['guest', 'host', 'count'],
  host: ['host', 'guest', 'count'],
  map: ['guest', 'host', 'count'],
  'squash-guest': ['guest', 'host', 'count'],
  'squash-host': ['host', 'guest', 'count'],
  'forbid-guest': ['guest', 'count'],
};

export const idTranslations: Kind<readonly IdTranslation[]> = {
  accepts: 'translations separated by ;',
  read: (text) => text,
  check(value) {
    const items = typeof value === 'string' ? readTranslations(value) : checkTranslations(value);
    if (items === undefined) return notA('a list of translations');
    const translations: IdTranslation[] = [];
    for (const [index, item] of items.entries()) {
      if ('problem' in item) return because(`translation ${index + 1} ${item.problem}`);
      translations.push(item.value);
    }
    const overlap = findOverlap(translations);
    return overlap === undefined ? good(translations) : because(overlap);
  },
};

/** The ranges of each direction. */
export function idRanges(translations: readonly IdTranslation[]): IdRanges {
  const byStart = (a: IdRange, b: IdRange) => a.from - b.from;
  return {
    guestToHost: translations.flatMap(guestRange).sort(byStart),
    hostToGuest: translations.flatMap(hostRange).sort(byStart),
  };
}

function guestRange(translation: IdTranslation): IdRange[] {
  const { type, guest: from, count } = translation;
  switch (type) {
    case 'guest':
    case 'map':
      return [{ kind: 'shift', from, to: translation.host, count }];
    case 'squash-guest':
      return [{ kind: 'squash', from, to: translation.host, count }];
    case 'forbid-guest':
      return [{ kind: 'forbid', from, to: 0, count }];
    default:
      return [];
  }
}

function hostRange(translation: IdTranslation): IdRange[] {
  if (translation.type === 'forbid-guest') return [];
  const { type, host: from, guest: to, count } = translation;
  if (type === 'host' || type === 'map') return [{ kind: 'shift', from, to, count }];
  return type === 'squash-host' ? [{ kind: 'squash', from, to, count }] : [];
}

function readTranslations(text: string): Checked<IdTranslation>[] {
  // An empty text is an empty list, not a list with an empty item.
  return text.trim() === '' ? [] : text.split(';').map((item) => readTranslation(item.trim()));
}

function checkTranslations(value: unknown): Checked<IdTranslation>[] | undefined {
  return Array.isArray(value) ? (value as unknown[]).map(checkTranslation) : undefined;
}

function isType(type: unknown): type is Type {
  return typeof type === 'string' && Object.hasOwn(FIELDS, type);
}

function unknownType(type: unknown): { problem: string } {
  const likely = typeof type === 'string' ? didYouMean(type, Object.keys(FIELDS)) : '';
  return { problem: `has the type "${String(type)}", which is none of ${Object.keys(FIELDS).join(', ')}${likely}` };
}

function readTranslation(text: string): Checked<IdTranslation> {
  const [type, ...numbers] = text.split(':');
  if (!isType(type)) return unknownType(type);
  const names = FIELDS[type];
  if (numbers.length !== names.length) {
    return { problem: `is "${text}", not ${[type, ...names.map((name) => name.toUpperCase())].join(':')}` };
  }
  const fields = names.map((name, index) => [name, readInteger(numbers[index] as string) ?? numbers[index]] as const);
  return checkNumbers({ type, ...Object.fromEntries(fields) } as unknown as IdTranslation);
}

function checkTranslation(item: unknown): Checked<IdTranslation> {
  if (typeof item !== 'object' || item === null) return { problem: 'is not an object' };
  const type: unknown = (item as { type?: unknown }).type;
  if (!isType(type)) return unknownType(type);
  const record = recordOf(item, ['type', ...FIELDS[type]]);
  if ('problem' in record) return record;
  return checkNumbers({ ...record.fields } as unknown as IdTranslation);
}

function checkNumbers(translation: IdTranslation): Checked<IdTranslation> {
  const { count } = translation;
  if (!isInteger(count, 1, ID_MAX + 1)) return { problem: `has the count ${String(count)}, not an integer from 1` };
  const sides = translation.type === 'forbid-guest' ? (['guest'] as const) : (['guest', 'host'] as const);
  for (const side of sides) {
    const first: number = (translation as Record<'guest' | 'host', number>)[side];
    if (!isId(first)) return { problem: `has the ${side} id ${String(first)}, not an integer from 0 to ${ID_MAX}` };
    // A squashed range is one id on the other side.
    const single = translation.type === (side === 'host' ? 'squash-guest' : 'squash-host');
    if (!single && first + count - 1 > ID_MAX) return { problem: `goes beyond ${ID_MAX}, the last ${side} id` };
  }
  return good(translation);
}

/** What is wrong if two translations are about the same id in the same direction. */
function findOverlap(translations: readonly IdTranslation[]): string | undefined {
  const { guestToHost, hostToGuest } = idRanges(translations);
  for (const [side, ranges] of [
    ['guest', guestToHost],
    ['host', hostToGuest],
  ] as const) {
    for (const [index, range] of ranges.entries()) {
      const before = ranges[index - 1];
      if (before === undefined || before.from + before.count <= range.from) continue;
      return `two translations are about the ${side} id ${range.from}`;
    }
  }
  return undefined;
}
