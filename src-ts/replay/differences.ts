/** What differs between two outcomes of one request. */
import { isDeepStrictEqual } from 'node:util';
import type { Outcome } from '../record/format.js';
import type { Json } from '../record/values.js';

/** One thing that was otherwise. */
export interface FieldDifference {
  /** `result`: `ok` or the name of an error; `entry "NAME"` of a listing; else a key of the answer. */
  readonly field: string;
  /** As in the record; null: there was nothing. */
  readonly expected: Json;
  /** What it was now; null: nothing. */
  readonly got: Json;
}

export function differencesOf(expected: Outcome, got: Outcome): FieldDifference[] {
  const results = [expected.errno ?? 'ok', got.errno ?? 'ok'] as const;
  if (results[0] !== results[1]) return [{ field: 'result', expected: results[0], got: results[1] }];
  const [one, other] = [expected.out ?? {}, got.out ?? {}];
  const fields = [...new Set([...Object.keys(one), ...Object.keys(other)])];
  return fields
    .map((field) => ({ field, expected: own(one, field), got: own(other, field) }))
    .filter((each) => !isDeepStrictEqual(each.expected, each.got));
}

function own(answer: Readonly<Record<string, Json>>, field: string): Json {
  return Object.hasOwn(answer, field) ? (answer[field] as Json) : null;
}
