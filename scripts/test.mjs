// `npm test`: sets up what is missing, builds, runs every stage, and ends with the line `N passed, N failed`.
//   node scripts/test.mjs [--only stage,…] [--skip stage,…]
// Uses Node's own modules only, because it runs before node_modules exists.
import { buildLibrary } from './lib/build.mjs';
import { addResults, failure } from './lib/results.mjs';
import { STAGES } from './lib/stages.mjs';

function parseArguments(args) {
  const chosen = { only: undefined, skip: [] };
  for (let i = 0; i < args.length; i += 2) {
    const option = args[i].replace(/^--/, '');
    const names = (args[i + 1] ?? '').split(',');
    const unknown = names.filter((name) => !STAGES.some((stage) => stage.name === name));
    if (!(option in chosen) || unknown.length > 0) {
      console.error('usage: node scripts/test.mjs [--only stage,…] [--skip stage,…]');
      console.error(`stages: ${STAGES.map((stage) => stage.name).join(', ')}`);
      process.exit(2);
    }
    chosen[option] = names;
  }
  return STAGES.filter(
    ({ name, onDemand }) => (chosen.only?.includes(name) ?? onDemand !== true) && !chosen.skip.includes(name),
  );
}

function heading(title) {
  console.log(`\n==== ${title}`);
}

async function timed(title, action) {
  heading(title);
  const started = performance.now();
  let result;
  try {
    result = await action();
  } catch (error) {
    console.error(error.message);
    result = failure(error.message.split('\n')[0]);
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const counts =
    result === undefined ? 'done' : `${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped`;
  console.log(`---- ${title}: ${counts} in ${seconds} s`);
  return result;
}

/** Nothing may be skipped where everything can be installed: a test that did not run has proved nothing. */
function skippedAsFailures(result) {
  if (result.skipped === 0) return result;
  if (process.getuid() !== 0 && process.env.CI === undefined) return result;
  return addResults(result, { ...failure(`${result.skipped} tests were skipped`), failed: result.skipped });
}

const stages = parseArguments(process.argv.slice(2));
const results = [];
const broken = await timed('Set-up and build', buildLibrary);
if (broken === undefined) {
  for (const stage of stages) results.push(skippedAsFailures(await timed(stage.title, stage.run)));
} else {
  results.push(broken);
}
const total = addResults(...results);
if (total.failures.length > 0) {
  heading('Failed');
  for (const message of total.failures) console.log(`  ${message}`);
}
const left = STAGES.filter((stage) => !stages.includes(stage)).map((stage) => stage.name);
console.log(left.length === 0 ? '' : `\nnot run: ${left.join(', ')}`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
