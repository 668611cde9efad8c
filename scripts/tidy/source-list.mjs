// Every native source is in its list, in the right section, and everything in a list exists.
import path from 'node:path';
import { ROOT } from '../lib/run.mjs';
import { filesMatching } from '../lib/sources.mjs';
import { readSourceList } from '../source-list.mjs';

export const name = 'source-list';

/** The sections by list: what is in each, and nothing else. */
const LISTS = {
  'src-native/sources.txt': {
    core: /^src-native\/(?!binding\/).*\.cc$/,
    addon: /^src-native\/binding\/.*\.cc$/,
    tests: /^test\/native\/(?!must_not_compile\/).*\.cc$/,
    'fuzz-targets': /^test\/fuzz\/(?!fuzz_main).*\.cc$/,
    fuzzer: /^test\/fuzz\/fuzz_main\.cc$/,
    'must-not-compile': /^test\/native\/must_not_compile\/.*\.cc$/,
  },
  'test/bench/driver/sources.txt': {
    driver: /^test\/bench\/driver\/.*\.cc$/,
    allocations: /^test\/bench\/allocations\/.*\.cc$/,
  },
};

function problemsOf(list, section, pattern, listed) {
  const problems = [];
  const existing = filesMatching(pattern);
  for (const file of existing) if (!listed.includes(file)) problems.push(`${file}: not in [${section}] of ${list}`);
  for (const file of listed) if (!existing.includes(file)) problems.push(`${list}: [${section}] has no file ${file}`);
  for (const file of new Set(listed.filter((entry, i) => listed.indexOf(entry) !== i))) {
    problems.push(`${list}: ${file} is listed twice`);
  }
  return problems;
}

export function run() {
  return Object.entries(LISTS).flatMap(([list, sections]) => {
    const listed = readSourceList(path.join(ROOT, list));
    return Object.entries(sections).flatMap(([section, pattern]) =>
      problemsOf(list, section, pattern, listed.get(section) ?? []),
    );
  });
}
