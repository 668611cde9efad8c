// Results of a test stage: how many passed, failed and were skipped, and what failed. Read from the reports that ctest
// and jest write, not from what they print.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from './run.mjs';

export function emptyResult() {
  return { passed: 0, failed: 0, skipped: 0, failures: [] };
}

export function addResults(...results) {
  const sum = emptyResult();
  for (const result of results) {
    sum.passed += result.passed;
    sum.failed += result.failed;
    sum.skipped += result.skipped;
    sum.failures.push(...result.failures);
  }
  return sum;
}

/** One failure that no report counts: a build that broke, a runner that died. */
export function failure(message) {
  return { ...emptyResult(), failed: 1, failures: [message] };
}

/** A stage must not pass because its runner failed in a way that the report does not show. */
function withExitStatus(result, ok, runner) {
  return ok || result.failed > 0 ? result : addResults(result, failure(`${runner} failed although no test did`));
}

/** The report of `ctest --output-junit`. */
export function ctestResult(file, ok) {
  if (!existsSync(file)) return failure('ctest wrote no report');
  const result = emptyResult();
  for (const [, name, status] of readFileSync(file, 'utf8').matchAll(/<testcase name="([^"]*)"[^>]*status="(\w+)"/g)) {
    if (status === 'run') result.passed++;
    else if (status === 'fail') {
      result.failed++;
      result.failures.push(name);
    } else result.skipped++;
  }
  return withExitStatus(result, ok, 'ctest');
}

/** The report of `--gtest_output=json:`. It is written at the end: there is none if the process died. */
export function unitResult(file, ok, output) {
  if (!existsSync(file)) {
    const last = [...output.matchAll(/^\[ RUN {6}\] (.*)$/gm)].at(-1)?.[1] ?? 'the first test';
    return failure(`the unit tests died in ${last}, or after it`);
  }
  const result = emptyResult();
  for (const suite of JSON.parse(readFileSync(file, 'utf8')).testsuites) {
    for (const test of suite.testsuite) {
      if (test.status !== 'RUN') continue;
      if (test.failures !== undefined) {
        result.failed++;
        result.failures.push(`${suite.name}.${test.name}`);
      } else if (test.result === 'SKIPPED') result.skipped++;
      else result.passed++;
    }
  }
  return withExitStatus(result, ok, 'the unit tests');
}

/** The head of jest's report on a file, which may go on for pages of stack. */
function firstLines(message) {
  const lines = message.split('\n').map((line) => line.trim());
  return lines
    .filter((line) => line !== '' && !line.startsWith('●'))
    .slice(0, 2)
    .join(' ');
}

/** The report of `jest --json`. A file that could not be run at all counts as one failure. */
export function jestResult(file, ok) {
  if (!existsSync(file)) return failure('jest wrote no report');
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const result = {
    passed: report.numPassedTests,
    failed: report.numFailedTests + report.numRuntimeErrorTestSuites,
    skipped: report.numPendingTests + report.numTodoTests,
    failures: [],
  };
  for (const suite of report.testResults) {
    const failed = suite.assertionResults.filter((test) => test.status === 'failed');
    result.failures.push(...failed.map((test) => test.fullName));
    if (suite.status === 'failed' && failed.length === 0) {
      result.failures.push(`${path.relative(ROOT, suite.name)} did not run: ${firstLines(suite.message)}`);
    }
  }
  return withExitStatus(result, ok, 'jest');
}
