// `npm run examples [-- NAME …]`: builds what is missing, runs the examples, and compares what they print with what they should.
import { buildLibrary } from './lib/build.mjs';
import { exampleNames, runExamples } from './lib/examples.mjs';

const known = exampleNames();
const names = process.argv.slice(2);
const unknown = names.filter((name) => !known.includes(name));
if (unknown.length > 0) {
  console.error(`there is no example "${unknown[0]}"; there are ${known.join(', ')}`);
  process.exit(2);
}
buildLibrary();
const { passed, failed } = runExamples(names.length === 0 ? known : names);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
