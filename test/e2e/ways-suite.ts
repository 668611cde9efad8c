/**
 * A guest that tries everything it can to reach what a policy hides or forbids: the list of ways that an embedded guest
 * goes, too (policy-ways.ts), and those that only a whole kernel has (test/guests/ways), each by plain system calls.
 */
import { execFileSync } from 'node:child_process';
import fs = require('node:fs');
import path = require('node:path');
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { snapshot } from '../conformance/support/compare.js';
import {
  AGENT_LINKS,
  AGENT_RULES,
  AGENT_SYMLINKS,
  AGENT_TREE,
  WAYS,
  type Way,
} from '../conformance/support/policy-ways.js';
import * as guests from '../guests/index.js';
import { describeWith } from './describe-with.js';
import { BOOT_TIMEOUT_MS, ServedGuest } from './served-guest.js';
import { AS_ROOT, AS_USER, GROUPS, WITHOUT_RULES, kernelDecides, type Expected } from './ways-expected.js';

const PROGRAM = '/tmp/ways-program';
const WORK_TIMEOUT_MS = 120_000;
/** The guest's ordinary user owns everything, so that no permission of a file is in the way of the rules. */
const USER = 1000;

function plant(share: string): void {
  for (const [name, content] of Object.entries(AGENT_TREE)) {
    if (name.endsWith('/')) fs.mkdirSync(path.join(share, name), { mode: 0o755 });
    else fs.writeFileSync(path.join(share, name), content, { mode: 0o644 });
  }
  for (const [name, file] of Object.entries(AGENT_LINKS)) fs.linkSync(path.join(share, file), path.join(share, name));
  for (const [name, target] of Object.entries(AGENT_SYMLINKS)) fs.symlinkSync(target, path.join(share, name));
  if (process.getuid?.() === 0) execFileSync('chown', ['-hR', `${USER}:${USER}`, share]);
}

function asText(ways: readonly Way[]): string {
  return ways.map(([call, [first, second = ''], how]) => `${[call, first, second, how].join('\t')}\n`).join('');
}

/** The outcome of each way, by its name. */
function outcomes(output: string): Record<string, string> {
  const lines = output.split('\n').filter((line) => line !== '');
  return Object.fromEntries(lines.map((line) => line.split('\t') as [string, string]));
}

/** Looks for something, and so leaves it as it is. */
function looks([call, , how]: Way): boolean {
  return ['stat', 'lstat', 'opendir', 'statfs', 'listxattr'].includes(call) || (call === 'open' && how === 'r');
}

const LOOKS = WAYS.filter(looks);

export function describeWays(name: guests.GuestName, config: string): void {
  describeWith([name], `${name} and the rules for an agent (${config || 'default configuration'})`, () => {
    const list = WAYS.map((way) => [...way.slice(0, 3)]);
    let served: ServedGuest;
    let before: string[];

    const walk = async (uid: number, what: string): Promise<Record<string, string>> => {
      const script = `${PROGRAM} -u ${uid} ${what}`;
      return outcomes(await served.guest.check(script, { timeoutMs: WORK_TIMEOUT_MS }));
    };

    beforeAll(async () => {
      const files = {
        program: guests.compileProgram('ways'),
        list: Buffer.from(asText(WAYS)),
        looks: Buffer.from(asText(LOOKS)),
      };
      served = await ServedGuest.boot(name, { fill: plant, files, policy: AGENT_RULES, config });
      before = snapshot(served.share);
      await served.guest.check(`cp /files/program ${PROGRAM} && chmod 755 ${PROGRAM}`);
    }, BOOT_TIMEOUT_MS);

    afterAll(() => served?.dispose(), BOOT_TIMEOUT_MS);

    // A device that is nobody special serves files of its own user.
    const users = process.getuid?.() === 0 ? [0, USER] : [0];
    for (const uid of users) {
      const who = uid === 0 ? 'root' : 'an ordinary user';
      test(
        `${who} finds the documented errno at the end of each of the ${WAYS.length} ways of the list`,
        async () => {
          const found = Object.values(await walk(uid, 'list /files/list'));
          const expected = WAYS.map((way) => kernelDecides(way, uid) ?? way[3]);
          expect(list.map((way, i) => [...way, found[i]])).toEqual(list.map((way, i) => [...way, expected[i]]));
          expect(snapshot(served.share)).toEqual(before);
        },
        WORK_TIMEOUT_MS,
      );

      test.each(GROUPS)(
        `${who} finds the documented errno at the end of each way with %s`,
        async (group) => {
          const expected: Expected = uid === 0 ? AS_ROOT[group] : { ...AS_ROOT[group], ...AS_USER[group] };
          expect(await walk(uid, group)).toEqual(expected);
          expect(snapshot(served.share)).toEqual(before);
        },
        WORK_TIMEOUT_MS,
      );
    }

    test('there are many ways', () => {
      const more = GROUPS.map((group) => Object.keys(AS_ROOT[group]).length).reduce((sum, each) => sum + each, 0);
      expect(WAYS.length).toBeGreaterThanOrEqual(60);
      expect(more).toBeGreaterThanOrEqual(60);
    });

    test('what is allowed works', async () => {
      const script = `
set -e
cd /mnt
[ "$(cat src/main.c)" = '${AGENT_TREE['src/main.c']}' ]
echo 'made by the guest' >out/new
mkdir out/sub
mv out/new out/sub/moved
ln out/sub/moved out/second
ls -1A . .git out/sub
`;
      const listing = '.:\n.git\nout\nsrc\n\n.git:\nHEAD\n\nout/sub:\nmoved\n';
      expect(await served.guest.check(script)).toBe(listing);
      expect(fs.readFileSync(path.join(served.share, 'out/second'), 'utf8')).toBe('made by the guest\n');
      await served.guest.check('rm -r /mnt/out/sub /mnt/out/second');
      expect(snapshot(served.share)).toEqual(before);
    });

    test(
      'without the rules the same ways lead there',
      async () => {
        served.setPolicy([]);
        expect(LOOKS.length).toBeGreaterThanOrEqual(30);
        const found = Object.values(await walk(0, 'list /files/looks'));
        expect(LOOKS.map((way, i) => [...way.slice(0, 3), found[i]])).toEqual(
          LOOKS.map((way) => [...way.slice(0, 3), 'ok']),
        );
        for (const group of ['paths', 'mounts'] as const) {
          const open = Object.fromEntries(Object.keys(AS_ROOT[group]).map((way) => [way, 'ok']));
          expect(await walk(0, group)).toEqual({ ...open, ...WITHOUT_RULES[group] });
        }
      },
      WORK_TIMEOUT_MS,
    );

    test('neither kernel nor device complains of the other', async () => {
      expect(await served.complaints()).toEqual([]);
    });
  });
}
