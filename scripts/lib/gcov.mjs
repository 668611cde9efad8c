// What a build with VFS_COVERAGE has counted: how often each line of src-native was reached and each branch taken.
import { rmSync } from 'node:fs';
import path from 'node:path';
import { ROOT, capture, filesBelow } from './run.mjs';

const SOURCES = path.join(ROOT, 'src-native');

const filesOf = (build, extension) => filesBelow(build).filter((file) => file.endsWith(extension));

/** Removes the counts of the runs before: programs add to them. */
export function forgetCounts(build) {
  for (const data of filesOf(build, '.gcda')) rmSync(data);
}

/**
 * `file -> line -> { count, branches }`, by path below src-native, summed over the units that have the line. Every unit
 * that was compiled is asked, so that what nobody ran is there, with zeroes. Those of the tests, too: the linker takes
 * one copy of an inline function, and it may be theirs.
 */
export function readCounts(build) {
  const files = new Map();
  for (const notes of filesOf(build, '.gcno')) {
    const { ok, output } = capture('gcov', ['--json-format', '--stdout', '--branch-probabilities', notes]);
    if (!ok) throw new Error(`gcov ${notes} failed:\n${output}`);
    for (const line of output.split('\n').filter((text) => text.startsWith('{'))) {
      const unit = JSON.parse(line);
      for (const { file, lines } of unit.files) {
        const name = path.relative(SOURCES, path.resolve(unit.current_working_directory, file));
        if (name.startsWith('..')) continue;
        if (!files.has(name)) files.set(name, new Map());
        for (const each of lines) add(files.get(name), each);
      }
    }
  }
  return files;
}

function add(known, { line_number: number, count, branches }) {
  const line = known.get(number) ?? { count: 0, branches: [] };
  known.set(number, line);
  line.count += count;
  // A template's branches are there once for each instance; they are in the same order.
  for (const [i, branch] of branches.entries()) line.branches[i] = (line.branches[i] ?? 0) + branch.count;
}
