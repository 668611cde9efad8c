/** The ids of a new user namespace: which, and who writes them. */
import { readFileSync, writeFileSync } from 'node:fs';
import { VirtioFsError } from '../errors.js';
import { onDemand } from '../on-demand.js';
import type { IdMapRange, SandboxPlan } from './plan.js';

type Kind = 'uid' | 'gid';

/** What the process in the namespace starts as, and the ids that it has. */
export interface IdSetup {
  readonly uidMap: readonly IdMapRange[];
  readonly gidMap: readonly IdMapRange[];
  readonly uid: number;
  readonly gid: number;
}

/**
 * The maps of a plan. Where it has none: root gives all its ids, each under its own number, so that files belong to
 * whom they belong; an ordinary user has only his own, which becomes root's, because that is the one that every guest
 * has.
 */
export function idSetup(plan: SandboxPlan): IdSetup {
  const uidMap = plan.uidMap ?? defaultMap('uid');
  const gidMap = plan.gidMap ?? defaultMap('gid');
  return { uidMap, gidMap, uid: plan.uid ?? startId(uidMap), gid: plan.gid ?? startId(gidMap) };
}

function defaultMap(kind: Kind): readonly IdMapRange[] {
  if (!isRoot()) return [{ inside: 0, outside: ownId(kind), count: 1 }];
  // All that this process's own namespace has.
  return readFileSync(`/proc/self/${kind}_map`, 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => line.trim().split(/\s+/).map(Number) as [number, number, number])
    .map(([inside, , count]) => ({ inside, outside: inside, count }));
}

/** Root, if the namespace has it; else the first id that it has. */
function startId(map: readonly IdMapRange[]): number {
  const hasRoot = map.some(({ inside, count }) => inside === 0 && count > 0);
  return hasRoot ? 0 : (map[0]?.inside ?? 0);
}

/** Writes both maps of a process that waits in its new user namespace. */
export function writeIdMaps(pid: number, setup: IdSetup): void {
  writeMap('gid', pid, setup.gidMap);
  writeMap('uid', pid, setup.uidMap);
}

function writeMap(kind: Kind, pid: number, map: readonly IdMapRange[]): void {
  if (isRoot()) writeDirectly(kind, pid, map);
  else if (isOwnId(kind, map)) writeOwnId(kind, pid, map);
  else writeBySetuidProgram(kind, pid, map);
}

function writeDirectly(kind: Kind, pid: number, map: readonly IdMapRange[]): void {
  const text = map.map(({ inside, outside, count }) => `${inside} ${outside} ${count}\n`).join('');
  try {
    // One write(2), as the kernel wants it.
    writeFileSync(`/proc/${pid}/${kind}_map`, text);
  } catch (cause) {
    throw unavailable(`the ${kind} map ${shown(map)} is refused by the kernel`, cause);
  }
}

/** The kernel lets anybody map the own id, and the own group once groups cannot be dropped any more. */
function writeOwnId(kind: Kind, pid: number, map: readonly IdMapRange[]): void {
  if (kind === 'gid') writeFileSync(`/proc/${pid}/setgroups`, 'deny');
  writeDirectly(kind, pid, map);
}

/** newuidmap(1) and newgidmap(1) know which ids a user may give away (/etc/subuid, /etc/subgid). */
function writeBySetuidProgram(kind: Kind, pid: number, map: readonly IdMapRange[]): void {
  const program = `new${kind}map`;
  const args = map.flatMap(({ inside, outside, count }) => [inside, outside, count]).map(String);
  const { error, status, stderr } = onDemand.childProcess.spawnSync(program, [String(pid), ...args], {
    encoding: 'utf8',
  });
  if (error !== undefined) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    const advice = missing ? `${program} is not installed (package uidmap)` : `${program} cannot be run`;
    throw unavailable(`a map of other ids than one's own, ${shown(map)}, needs it, but ${advice}`, error);
  }
  if (status !== 0) throw unavailable(`${program} refuses the ${kind} map ${shown(map)}: ${stderr.trim()}`);
}

function isOwnId(kind: Kind, map: readonly IdMapRange[]): boolean {
  return map.length === 1 && map[0]?.count === 1 && map[0].outside === ownId(kind);
}

function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

function ownId(kind: Kind): number {
  return (kind === 'uid' ? process.geteuid?.() : process.getegid?.()) ?? 0;
}

function shown(map: readonly IdMapRange[]): string {
  return `"${map.map(({ inside, outside, count }) => `${inside} ${outside} ${count}`).join(', ')}"`;
}

function unavailable(detail: string, cause?: unknown): VirtioFsError {
  return new VirtioFsError('ERR_VIRTIOFS_SANDBOX_UNAVAILABLE', { detail, cause });
}
