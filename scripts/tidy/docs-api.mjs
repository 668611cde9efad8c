// docs/api.md documents the whole public API of the main entry: every export has a heading of its own, every member of
// an exported class is named under it, and no heading is left over from what is gone. Reads dist/, so build first.
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { readText } from '../lib/sources.mjs';
import { ROOT } from '../lib/run.mjs';

export const name = 'docs-api';

const DOCUMENT = 'docs/api.md';
const require = createRequire(import.meta.url);

/** Names that dist/index.d.ts exports, types included. */
function exportedNames() {
  const declarations = readFileSync(path.join(ROOT, 'dist/index.d.ts'), 'utf8');
  const names = [];
  for (const [, list] of declarations.matchAll(/export (?:type )?\{([^}]*)\}/g)) {
    for (const item of list.split(',')) {
      const exported = item
        .trim()
        .replace(/^type /, '')
        .split(' as ')
        .at(-1);
      if (exported) names.push(exported);
    }
  }
  return names;
}

/** Sections by the name in their heading: `## FsBackend` or `### QueueSetup`. */
function sections(text) {
  const found = new Map();
  for (const part of text.split(/^(?=#{2,3} )/m)) {
    const heading = /^#{2,3} `?(\w+)`?$/m.exec(part.split('\n')[0])?.[1];
    if (heading !== undefined) found.set(heading, part);
  }
  return found;
}

/** Methods and accessors of a class that the documentation must name. */
function membersOf(exported) {
  if (typeof exported !== 'function' || exported.prototype === undefined) return [];
  const own = (target, skip) => Object.getOwnPropertyNames(target).filter((member) => !skip.includes(member));
  return [
    ...own(exported.prototype, ['constructor']),
    ...own(exported, ['length', 'name', 'prototype', 'captureRejections']),
  ];
}

/** Members that the declarations leave out, being marked @internal. */
function isPublic(className, member) {
  const files = { GuestMemory: 'guest-memory', FsBackend: 'fs-backend', VhostUserServer: 'vhost-user/server' };
  const file = files[className] ?? 'errors';
  return new RegExp(`\\b${member}\\b`).test(readFileSync(path.join(ROOT, `dist/${file}.d.ts`), 'utf8'));
}

export function run() {
  if (!existsSync(path.join(ROOT, 'dist/index.js'))) return ['dist/: not built; run npm run build:ts'];
  const library = require(path.join(ROOT, 'dist/index.js'));
  const documented = sections(readText(DOCUMENT));
  const exported = exportedNames();
  const problems = [];
  for (const each of exported) {
    const section = documented.get(each);
    if (section === undefined) {
      problems.push(`${DOCUMENT}: "${each}" is exported and has no heading`);
      continue;
    }
    for (const member of membersOf(library[each])) {
      if (isPublic(each, member) && !new RegExp(`\\b${member}\\b`).test(section)) {
        problems.push(`${DOCUMENT}: ${each}.${member} is not described`);
      }
    }
  }
  const known = new Set(exported);
  for (const heading of documented.keys()) {
    if (/^[A-Z]\w*[a-z]\w*[A-Z]/.test(heading) && !known.has(heading)) {
      problems.push(`${DOCUMENT}: "${heading}" has a heading and is not exported`);
    }
  }
  return problems;
}
