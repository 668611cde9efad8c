// Prints one section of src-native/sources.txt, a line per entry. binding.gyp and scripts/tidy read the list through
// this file; CMakeLists.txt parses the same format itself, so that the native build needs no Node.
import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const LIST = path.join(path.dirname(fileURLToPath(import.meta.url)), '../src-native/sources.txt');

/** All sections: a Map of name to entries, in the order of the file. */
export function readSourceList(file = LIST) {
  const sections = new Map();
  let entries;
  for (const [index, raw] of readFileSync(file, 'utf8').split('\n').entries()) {
    const line = raw.replace(/#.*/, '').trim();
    if (line === '') continue;
    const heading = /^\[([a-z-]+)\]$/.exec(line);
    if (heading !== null) {
      if (sections.has(heading[1])) throw new Error(`${file}:${index + 1}: a second [${heading[1]}]`);
      sections.set(heading[1], (entries = []));
    } else if (entries === undefined) {
      throw new Error(`${file}:${index + 1}: an entry before the first [section]`);
    } else {
      entries.push(line);
    }
  }
  return sections;
}

// realpath: prebuilds are made in a directory of links to this one.
if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const [name] = process.argv.slice(2);
  const entries = readSourceList().get(name);
  if (entries === undefined) {
    console.error('usage: node scripts/source-list.mjs <section of src-native/sources.txt>');
    process.exit(2);
  }
  console.log(entries.join('\n'));
}
