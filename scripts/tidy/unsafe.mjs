// What can break memory safety has its own file names, so that a reviewer knows where to look twice.
import { filesMatching, lineAt, readText, stripCpp } from '../lib/sources.mjs';

export const name = 'unsafe';

const UNSAFE_WORDS = /\b((?:__builtin_)?mem(?:cpy|move|set)|reinterpret_cast|const_cast|alloca)\b/g;
/** Files that may use the words although their name does not end in _unsafe. */
const ALLOWED = [
  /_unsafe\.(h|cc)$/,
  /^src-native\/memory\/guest_bytes\.h$/,
  /^src-native\/base\/bytes\.h$/,
  // The kernel's interfaces take untyped pointers.
  /^src-native\/base\/sys[a-z_]*\.(h|cc)$/,
  // So does Node-API; nothing of a guest gets here as memory.
  /^src-native\/binding\//,
];

export function run() {
  const problems = [];
  for (const file of filesMatching(/^src-native\/.*\.(cc|h)$/)) {
    if (ALLOWED.some((pattern) => pattern.test(file))) continue;
    const text = stripCpp(readText(file));
    for (const use of text.matchAll(UNSAFE_WORDS)) {
      problems.push(`${file}:${lineAt(text, use.index)}: ${use[0]} belongs in an *_unsafe file (or use base/bytes.h)`);
    }
  }
  return problems;
}
