/**
 * crosvm's ugid_map: `GUEST_UID GUEST_GID HOST_UID HOST_GID UMASK PATH`, several groups separated by `;`. Here the umask
 * is octal (crosvm reads it as decimal), a path with spaces or `;` can be quoted, and a path stands for whole components
 * (for crosvm "/a" is also about "/ab").
 */
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
import { readQuoted } from './syntax.js';
import type { UgidRule } from './types.js';

const FIELDS = ['guestUid', 'guestGid', 'hostUid', 'hostGid', 'umask', 'path'] as const satisfies (keyof UgidRule)[];
const UMASK_MAX = 0o777;

export const ugidMap: Kind<readonly UgidRule[]> = {
  accepts: 'groups separated by ;',
  read: (text) => text,
  check(value) {
    const groups = typeof value === 'string' ? readGroups(value) : checkGroups(value);
    if ('problem' in groups) return groups;
    const rules: UgidRule[] = [];
    for (const [index, group] of groups.value.entries()) {
      if ('problem' in group) return because(`group ${index + 1} ${group.problem}`);
      const { path } = group.value;
      if (rules.some((rule) => rule.path === path)) return because(`two groups are about the path "${path}"`);
      rules.push(group.value);
    }
    return good(rules);
  },
};

function readGroups(text: string): Checked<Checked<UgidRule>[]> {
  const groups = splitGroups(text);
  return typeof groups === 'string' ? because(groups) : good(groups.map(readRule));
}

function checkGroups(value: unknown): Checked<Checked<UgidRule>[]> {
  return Array.isArray(value) ? good((value as unknown[]).map(checkRule)) : notA('a list of groups');
}

/** The fields of each group, or what is wrong. */
function splitGroups(text: string): string[][] | string {
  const groups: string[][] = [[]];
  for (let at = 0; at < text.length;) {
    const char = text[at] as string;
    if (char === ' ') {
      at += 1;
    } else if (char === ';') {
      groups.push([]);
      at += 1;
    } else if (char === '"' || char === "'") {
      const quoted = readQuoted(text, at);
      if ('problem' in quoted) return `${quoted.problem} at character ${quoted.at + 1}`;
      if (!/^[ ;]?$/.test(text.charAt(quoted.end))) return `a quoted field goes on at character ${quoted.end + 1}`;
      groups.at(-1)?.push(quoted.value);
      at = quoted.end;
    } else {
      const field = /^[^ ;]+/.exec(text.slice(at))?.[0] as string;
      groups.at(-1)?.push(field);
      at += field.length;
    }
  }
  return groups.length === 1 && groups[0]?.length === 0 ? [] : groups;
}

function readRule(fields: readonly string[]): Checked<UgidRule> {
  if (fields.length !== FIELDS.length) {
    return { problem: `has ${fields.length} fields, not 6: guest uid, guest gid, host uid, host gid, umask, path` };
  }
  const [guestUid, guestGid, hostUid, hostGid] = fields.slice(0, 4).map((field) => readInteger(field) ?? field);
  const [umaskText, path] = fields.slice(4) as [string, string];
  const umask = /^(0o)?[0-7]+$/i.test(umaskText) ? parseInt(umaskText.replace(/^0o/i, ''), 8) : umaskText;
  return checkFields({ guestUid, guestGid, hostUid, hostGid, umask, path });
}

function checkRule(group: unknown): Checked<UgidRule> {
  const record = recordOf(group, FIELDS);
  return 'problem' in record ? record : checkFields(record.fields);
}

function checkFields(fields: Readonly<Record<string, unknown>>): Checked<UgidRule> {
  for (const name of FIELDS.slice(0, 4)) {
    if (isId(fields[name])) continue;
    return { problem: `has the ${name} ${String(fields[name])}, not an integer from 0 to ${ID_MAX}` };
  }
  if (!isInteger(fields.umask, 0, UMASK_MAX)) {
    const shown = typeof fields.umask === 'number' ? `0o${fields.umask.toString(8)}` : String(fields.umask);
    return { problem: `has the umask ${shown}, not an octal number from 0 to 777` };
  }
  const path = normalisePath(fields.path);
  if ('problem' in path) return path;
  return good({ ...(fields as unknown as UgidRule), path: path.value });
}

/** One slash between components and none at the end. */
function normalisePath(path: unknown): Checked<string> {
  if (typeof path !== 'string' || !path.startsWith('/') || path.includes('\0')) {
    return { problem: `has the path ${JSON.stringify(path)}, which does not begin with /, the root of the share` };
  }
  const components = path.split('/').filter((component) => component !== '');
  if (components.includes('.') || components.includes('..'))
    return { problem: `has "." or ".." in its path "${path}"` };
  return good(`/${components.join('/')}`);
}
