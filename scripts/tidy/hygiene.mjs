// What must not be in the repository: notes to oneself, paths of one machine, addresses of one registry.
import { filesMatching, lineAt, readText } from '../lib/sources.mjs';

export const name = 'hygiene';

const TEXT = /(\.(cc|h|ts|mjs|cjs|js|json|txt|gyp|md|sh|yml|yaml|toml|cmake)|\/run|\.npmrc|\.gitignore)$/;
// Put together from pieces, so that this file does not find itself.
const FORBIDDEN = [
  [new RegExp(`\\b(${['TO' + 'DO', 'FIX' + 'ME', 'X' + 'XX'].join('|')})\\b`, 'g'), 'finish it or open an issue'],
  [
    new RegExp(`(?<![\\w.])/(${['work/(main|shared)', 'home/\\w+', 'Users/\\w+', 'root/\\.\\w+'].join('|')})\\b`, 'g'),
    'a path of one machine',
  ],
  [/^(<{7}|>{7}|={7})( |$)/gm, 'a merge conflict'],
  [/[ \t]+$/gm, 'spaces at the end of a line'],
];

export function run() {
  const problems = [];
  for (const file of filesMatching(TEXT)) {
    const text = readText(file);
    for (const [pattern, reason] of FORBIDDEN) {
      for (const match of text.matchAll(pattern)) {
        problems.push(`${file}:${lineAt(text, match.index)}: "${match[0]}": ${reason}`);
      }
    }
    if (!text.endsWith('\n') && text !== '') problems.push(`${file}: no newline at the end`);
  }
  for (const file of filesMatching(/(^|\/)package-lock\.json$/)) {
    if (/"resolved":/.test(readText(file))) problems.push(`${file}: holds addresses of a registry ("resolved")`);
  }
  return problems;
}
