/** Windows of time: whether a rule holds now, and when that may change. */
import { isPlainObject } from '../plain-object.js';
import { PolicyProblem, type Place } from './problem.js';
import { WEEKDAYS } from './rules.js';

const MINUTES_PER_DAY = 24 * 60;

/** A window, checked: minutes since midnight, and on which days it begins. */
export interface Window {
  readonly days: ReadonlySet<number>;
  readonly from: number;
  /** Above `from`; above 1440: on the next day. */
  readonly to: number;
}

export function parseWindow(given: unknown, place: Place): Window {
  if (!isPlainObject(given)) throw new PolicyProblem(place, 'it is no window of time: { days, from, to }');
  const { days, from = '00:00', to = '24:00', ...rest } = given;
  const [stray] = Object.keys(rest);
  if (stray !== undefined)
    throw new PolicyProblem([...place, stray], 'there is no such property; there are days, from, to');
  const begin = minutes(from, [...place, 'from']);
  const end = minutes(to, [...place, 'to']);
  if (begin === MINUTES_PER_DAY)
    throw new PolicyProblem([...place, 'from'], 'a window cannot begin at the end of the day');
  if (begin === end) throw new PolicyProblem([...place, 'to'], 'the window is empty');
  return { days: weekdays(days, [...place, 'days']), from: begin, to: end > begin ? end : end + MINUTES_PER_DAY };
}

function minutes(given: unknown, place: Place): number {
  const match = typeof given === 'string' ? /^([01]\d|2[0-4]):([0-5]\d)$/.exec(given) : null;
  const value = match === null ? NaN : Number(match[1]) * 60 + Number(match[2]);
  if (value <= MINUTES_PER_DAY) return value;
  throw new PolicyProblem(place, `${JSON.stringify(given)} is no time from "00:00" to "24:00"`);
}

function weekdays(given: unknown, place: Place): ReadonlySet<number> {
  if (given === undefined) return new Set(WEEKDAYS.keys());
  if (!Array.isArray(given) || given.length === 0) throw new PolicyProblem(place, 'it is no list of days');
  return new Set(
    given.map((day: unknown, index) => {
      const number = (WEEKDAYS as readonly unknown[]).indexOf(day);
      if (number >= 0) return number;
      throw new PolicyProblem([...place, index], `${JSON.stringify(day)} is no day; there are ${WEEKDAYS.join(', ')}`);
    }),
  );
}

/** Whether a moment lies in a window. */
export function contains({ days, from, to }: Window, now: Date): boolean {
  const minute = now.getHours() * 60 + now.getMinutes();
  const day = now.getDay();
  // One that began yesterday may not have ended.
  return (days.has(day) && minute >= from && minute < to) || (days.has((day + 6) % 7) && minute + MINUTES_PER_DAY < to);
}

/** Milliseconds until the next full minute: no window begins or ends sooner. */
export function untilNextMinute(now: Date): number {
  return 60_000 - (now.getSeconds() * 1000 + now.getMilliseconds());
}
