/** The program test/guests/checks: its list of checks, its transcript, and where two transcripts may differ. */
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import type { GuestName } from '../guests/index.js';

const PROGRAM = path.join(path.dirname(require.resolve('virtio-fs/package.json')), 'test/guests/checks');

/** Names of checks, by group. */
export type Checks = ReadonlyMap<string, readonly string[]>;
/** What each check of a group printed, by its name. */
export type Results = Readonly<Record<string, string>>;
/** The results of all groups. */
export type Transcript = ReadonlyMap<string, Results>;
/** The group that has all output which is no result of a check. */
export const OTHER_OUTPUT = 'other output';

/** A check that has another result on the share than on a local file system, on purpose. */
export interface Difference {
  /** `group/name`. */
  readonly check: string;
  /** Guests that differ; all, if not given. */
  readonly guests?: readonly GuestName[];
  /** What stands in the configurations of the shares that differ; all, if not given. */
  readonly config?: string;
  /** The result on the share. */
  readonly share: string;
  readonly reason: string;
}

/** Divides `group/name`. */
function divide(check: string): { group: string; name: string } {
  const slash = check.indexOf('/');
  return { group: check.slice(0, slash), name: check.slice(slash + 1) };
}

/** Every check, in order. */
export function listChecks(): Checks {
  const checks = new Map<string, string[]>();
  const list = execFileSync('python3', [PROGRAM, '--list'], { encoding: 'utf8' }).trimEnd();
  for (const check of list.split('\n')) {
    const { group, name } = divide(check);
    checks.set(group, [...(checks.get(group) ?? []), name]);
  }
  return checks;
}

/** Takes the program's output apart. */
export function parseTranscript(checks: Checks, output: string): Transcript {
  const names = [...checks].flatMap(([group, each]) => each.map((name) => `${group}/${name}`));
  // The names hold colons too: the longest one that fits is meant.
  names.sort((one, other) => other.length - one.length);
  const transcript = new Map<string, Record<string, string>>();
  const other: string[] = [];
  for (const line of output.split('\n')) {
    const check = names.find((name) => line.startsWith(`${name}: `));
    if (check === undefined) {
      if (line !== '') other.push(line);
      continue;
    }
    const { group, name } = divide(check);
    const results = transcript.get(group) ?? {};
    results[name] = line.slice(`${check}: `.length);
    transcript.set(group, results);
  }
  if (other.length > 0) transcript.set(OTHER_OUTPUT, { text: other.join('\n') });
  return transcript;
}

/** A group's results on a local file system, as they are expected on the share of a guest. */
export function withDifferences(
  group: string,
  local: Results,
  differences: readonly Difference[],
  served: { readonly guest: GuestName; readonly config: string },
): Results {
  const expected: Record<string, string> = { ...local };
  for (const { check, guests, config, share } of differences) {
    const divided = divide(check);
    const applies = (guests?.includes(served.guest) ?? true) && served.config.includes(config ?? '');
    if (divided.group === group && applies) expected[divided.name] = share;
  }
  return expected;
}
