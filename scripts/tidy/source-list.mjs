// Every native source is in src-native/sources.txt, in the right section, and everything in the list exists.
import { filesMatching } from '../lib/sources.mjs';
import { readSourceList } from '../source-list.mjs';

export const name = 'source-list';

const LIST = 'src-native/sources.txt';
const SECTIONS = {
  core: /^src-native\/(?!binding\/).*\.cc$/,
  addon: /^src-native\/binding\/.*\.cc$/,
  tests: /^test\/native\/(?!must_not_compile\/).*\.cc$/,
  'must-not-compile': /^test\/native\/must_not_compile\/.*\.cc$/,
};

export function run() {
  const sections = readSourceList();
  const problems = [];
  for (const [section, pattern] of Object.entries(SECTIONS)) {
    const listed = sections.get(section) ?? [];
    const existing = filesMatching(pattern);
    for (const file of existing) if (!listed.includes(file)) problems.push(`${file}: not in [${section}] of ${LIST}`);
    for (const file of listed) if (!existing.includes(file)) problems.push(`${LIST}: [${section}] has no file ${file}`);
    for (const file of new Set(listed.filter((entry, i) => listed.indexOf(entry) !== i))) {
      problems.push(`${LIST}: ${file} is listed twice`);
    }
  }
  return problems;
}
