/** `--policy FILE`, on the fake addon. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { cliRun } from '../support/internal.js';
import { settle, useFakeBinding } from '../support/with-fake.js';

const NO_SANDBOX = ['--disable-sandbox', '--skip-pivot-root'];
const fake = useFakeBinding();

function share(): string {
  const directory = mkdtempSync(join(tmpdir(), 'vfs-cli-'));
  fake.cleanups.push(() => rmSync(directory, { recursive: true }));
  return directory;
}

function start(args: string[]) {
  const log: string[] = [];
  let stop = (_signal: string): void => undefined;
  let reload: (() => void) | undefined;
  const code = cliRun.run(args, {
    out: () => undefined,
    log: (line) => void log.push(line),
    openStreams: () => undefined,
    environment: {},
    stop: new Promise<string>((resolve) => (stop = resolve)),
    onReport: () => undefined,
    onReload: (next) => void (reload = next),
  });
  return { log, code, stop: (signal: string) => stop(signal), reload: () => reload?.() };
}

test('a policy file is read at the beginning and on SIGHUP; one that is wrong changes nothing', async () => {
  const directory = share();
  const file = join(directory, 'policy.json');
  const args = [...NO_SANDBOX, '--socket-path', join(directory, 's'), '--shared-dir', directory, '--tag', 't'];
  writeFileSync(file, '[{ "type": "hid" }]');
  const wrong = start([...args, '--policy', file]);
  expect(await wrong.code).toBe(2);
  expect(wrong.log.join()).toContain(`${file}:1:12: [0].type: "hid" is no type of rule; did you mean "hide"?`);
  writeFileSync(file, '[{ "type": "readOnly" }]');
  const run = start([...args, '--policy', file]);
  await settle();
  const { device } = fake.current;
  expect(device.options.policy?.rules).toHaveLength(1);
  writeFileSync(file, '{ "rules": [] }');
  run.reload();
  expect(device.policies).toMatchObject([{ rules: [] }]);
  expect(run.log.join()).toContain('has been read again');
  writeFileSync(file, 'nonsense');
  run.reload();
  rmSync(file);
  run.reload();
  expect(device.policies).toHaveLength(1);
  expect(run.log.filter((line) => line.includes('the policy stays as it was'))).toHaveLength(2);
  run.stop('SIGTERM');
  expect(await run.code).toBe(0);
});
