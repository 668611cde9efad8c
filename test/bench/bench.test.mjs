// Tests of what the bench does with numbers. (That it measures at all is what its short form shows.)
//   node --test test/bench/bench.test.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { chartOf } from './chart.mjs';
import { generatedPart, withGenerated } from './docs.mjs';
import { figuresOf, gaps, median, withFigures } from './figures.mjs';
import { UsageError, chooseJobs, parseOptions } from './options.mjs';
import { parsePeer, uniqueNames } from './peers.mjs';
import { anonymousBytes, endProcesses, parseCpuList, processTree } from './processes.mjs';
import { parsePerf, parseStrace, summarize } from './syscalls.mjs';
import { asMarkdown, notesOf, tablesOf } from './tables.mjs';

/** A round in which so many operations were done in a second. */
function round(units, { cpuNs = units * 1000, latencyNs = null } = {}) {
  return {
    depth: 16,
    units,
    measuredNs: 1e9,
    unitsInAll: units,
    backend: { cpuNs, voluntarySwitches: units / 2, involuntarySwitches: 0 },
    driver: { cpuNs: 0, voluntarySwitches: 0, involuntarySwitches: 0 },
    kicks: units / 4,
    waits: units / 8,
    latencyNs,
    disturbanceNs: null,
  };
}

function report(raw, failures = {}) {
  const result = withFigures({ fileSystem: 'tmpfs', job: 'getattr', depth: 16, wait: 'eventfd', raw, failures });
  return {
    date: '2000-01-02T00:00:00Z',
    machine: { processor: 'x', cpus: 2, memoryGiB: 1, kernel: '6', system: 's', virtualization: 'none', busyBefore: 0 },
    options: { rounds: 1, ms: 10, driverCpu: 0, backendCpu: 1, queues: 1 },
    peers: ['ours', 'other', 'third'].map((name) => ({ name, version: '1' })),
    jobs: [{ name: 'getattr', title: 'GETATTR', unit: 'operation' }],
    results: [result],
  };
}

const FULL = { ours: [round(600)], other: [round(200)], third: [round(400)], limit: [round(800, { cpuNs: 400_000 })] };

describe('figures', () => {
  it('takes the middle of an odd number of values and the mean of the two middle ones of an even number', () => {
    assert.equal(median([9, 1, 5]), 5);
    assert.equal(median([1, 2, 4, 100]), 3);
    assert.equal(median([]), undefined);
  });

  it('reports rates and costs per operation as medians over the rounds', () => {
    const latencyNs = { p50: 1000, p99: 2000, p999: 3000, max: 4000 };
    const figures = figuresOf([10, 1000, 20].map((units) => round(units, { cpuNs: units * 3000, latencyNs })));
    assert.equal(figures.perSecond, 20);
    assert.equal(figures.cpuUs, 3);
    assert.equal(figures.switches, 0.5);
    assert.equal(figures.kicks, 0.25);
    assert.deepEqual([figures.p50Us, figures.p99Us, figures.p999Us, figures.maxUs], [1, 2, 3, 4]);
  });

  it('leaves latencies open where none were measured', () => {
    assert.equal(figuresOf([round(10)]).p99Us, null);
  });

  it('compares us with each peer, with the best of them and with the limit', () => {
    const { ratios } = withFigures({ raw: FULL, failures: {} });
    assert.deepEqual(ratios, { other: 3, third: 1.5, bestPeer: 1.5, limit: 0.75, cpuUsAboveLimit: 0.5 });
  });

  it('takes ours with other options for no peer', () => {
    const { ratios } = withFigures({ raw: { ...FULL, 'ours-polling': [round(1200)] }, failures: {} });
    assert.deepEqual([ratios['ours-polling'], ratios.bestPeer], [0.5, 1.5]);
  });

  it('has no ratio to a peer that did not do the job', () => {
    const { ratios } = withFigures({ raw: { ours: [round(1)], other: [], limit: [] }, failures: { other: 'ENOSYS' } });
    assert.deepEqual(ratios, { bestPeer: null, limit: null, cpuUsAboveLimit: null });
  });
});

describe('completeness of a report', () => {
  it('finds nothing in a complete one', () => {
    assert.deepEqual(gaps(report(FULL)), []);
  });

  it('names a job without a result, a subject without figures, and figures of nothing', () => {
    assert.match(gaps({ ...report(FULL), results: [] }).join(), /getattr: no result/);
    assert.match(gaps(report({ ...FULL, other: [] })).join(), /depth 16 on tmpfs, other: no figures/);
    assert.match(gaps(report({ ...FULL, ours: [round(0)] })).join(), /ours: nothing was done/);
    assert.match(gaps(report({ ...FULL, ours: [round(5, { cpuNs: 0 })] })).join(), /ours: no CPU time/);
  });

  it('does not miss what a subject said it cannot do, and notes it', () => {
    const partial = report({ ...FULL, other: [] }, { other: 'opcode 22: not implemented' });
    assert.deepEqual(gaps(partial), []);
    assert.deepEqual(notesOf(partial), ['getattr, other: opcode 22: not implemented']);
  });
});

describe('tables and chart', () => {
  it('shows rates with ratios, and pads the cells', () => {
    const [[title, rows]] = tablesOf(report(FULL));
    assert.equal(title, 'Thousand operations per second (tmpfs, depth 16)');
    assert.deepEqual(rows[1], ['getattr', '0.80', '0.60', '0.20', '0.40', '1.50×', '75 %']);
    const [header, rule, row] = asMarkdown(rows).split('\n');
    assert.match(header, /^\| job +\| limit \| ours \|/);
    assert.match(rule, /^\| -+ \| -+: \|/);
    assert.equal(new Set([header, rule, row].map((line) => line.length)).size, 1);
  });

  it('says "none" for what was not done', () => {
    const [[, rows]] = tablesOf(report({ ...FULL, other: [] }, { other: 'no' }));
    assert.equal(rows[1][3], 'none');
  });

  it('shows what was counted beside the measurement', () => {
    const counted = {
      ...report(FULL),
      syscalls: { tool: 'perf', results: [{ job: 'getattr', counts: { ours: { work: 1, notification: 0.125 } } }] },
      memory: { allocations: [{ job: 'getattr', counts: { ours: 0, other: 3 } }], bytesPerInode: { ours: 150.4 } },
    };
    const tables = new Map(tablesOf(counted));
    const title = 'System calls per operation, + those of notification (depth 16, counted by perf)';
    assert.deepEqual(tables.get(title)[1], ['getattr', '1.00 + 0.13', '–', '–']);
    assert.deepEqual(tables.get('Allocations per operation (depth 16)')[1], ['getattr', '0.00', '3.00', '–']);
    assert.deepEqual(tables.get('Memory per known inode')[1], ['bytes', '150', '–', '–']);
  });

  it('draws a bar for each backend, as long as its part of the limit', () => {
    const bars = [...chartOf(report(FULL)).matchAll(/width="([\d.]+)" height="9"/g)].map(([, width]) => Number(width));
    assert.deepEqual(bars, [465, 155, 310]);
  });
});

describe('the generated part of the document', () => {
  it('replaces what is between the marks, and nothing else', () => {
    const part = generatedPart(report(FULL));
    const [begin] = part.split('\n');
    const end = part.split('\n').at(-1);
    const document = `before\n${begin}\nold\n${end}\nafter\n`;
    assert.equal(withGenerated(document, part), `before\n${part}\nafter\n`);
    assert.match(part, /Measured on 2000-01-02: 2 CPUs \(x\)/);
  });

  it('refuses a document that has lost its marks', () => {
    assert.throws(() => withGenerated('text', generatedPart(report(FULL))), /lost the marks/);
  });

  it('says that a loaded machine was loaded', () => {
    const loaded = report(FULL);
    loaded.machine.busyBefore = 1;
    assert.match(generatedPart(loaded), /worth little/);
    assert.doesNotMatch(generatedPart(report(FULL)), /worth little/);
  });
});

describe('processes', () => {
  it('are found with their descendants', async () => {
    const shell = spawn('sh', ['-c', 'sleep 60 & echo; wait'], { stdio: ['ignore', 'pipe', 'ignore'] });
    const closed = once(shell, 'close');
    await once(shell.stdout, 'data');
    const tree = processTree(shell.pid);
    assert.equal(tree.length, 2);
    await endProcesses(tree);
    await closed;
    assert.deepEqual(processTree(shell.pid), [shell.pid]);
  });

  it('have memory of their own, unless they have ended', () => {
    assert.ok(anonymousBytes([process.pid]) > 1 << 20);
    assert.equal(anonymousBytes([2 ** 22 + 1]), 0);
  });
});

describe('counts of system calls', () => {
  const TEXT = `% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 50.00    0.000200           1       100           statx
 25.00    0.000100           1        20         3 openat
 25.00    0.000100           1        10           futex
------ ----------- ----------- --------- --------- ----------------
100.00    0.000400           1       130         3 total
`;

  it('are read from the table of strace, with and without errors', () => {
    assert.deepEqual(parseStrace(TEXT), { statx: 100, openat: 20, futex: 10 });
  });

  it('are read from the lines of perf, with the rest of all calls as other', () => {
    const line = (count, event) => `${count},,${event},1,100.00,,`;
    const events = ['syscalls:sys_enter_newfstatat', 'syscalls:sys_enter_mmap', 'raw_syscalls:sys_enter'];
    const text = (...counts) => ['# started', ...counts.map((count, i) => line(count, events[i]))].join('\n');
    assert.deepEqual(parsePerf(text(5, 0, 5)), { fstatat: 5 });
    assert.deepEqual(parsePerf(text(5, 0, 7)), { fstatat: 5, other: 2 });
  });

  it('are per operation, with notification apart', () => {
    const { work, notification, futex } = summarize(parseStrace(TEXT), 100);
    assert.deepEqual([work, notification, futex], [1.2, 0.1, 0.1]);
  });
});

describe('the command line', () => {
  it('takes numbers, lists and negative priorities', () => {
    const options = parseOptions([
      '--depths',
      '1,64',
      '--rounds=2',
      '--nice=-15',
      '--cpus',
      '3,4',
      '--fs',
      'tmpfs,ext4',
    ]);
    assert.deepEqual(options.lengths.depths, [1, 64]);
    assert.equal(options.lengths.rounds, 2);
    assert.equal(options.priority, -15);
    assert.deepEqual([options.driverCpu, options.backendCpu], [3, 4]);
    assert.deepEqual(options.fileSystems, ['tmpfs', 'ext4']);
  });

  it('refuses what it cannot do', () => {
    for (const args of [['--depths', '0'], ['--fs', 'ntfs'], ['--wait', 'never'], ['--cpus', '1'], ['--unknown']]) {
      assert.throws(() => parseOptions(args), UsageError, args.join(' '));
    }
  });

  it('chooses jobs by name and pattern, and refuses a name that is none', () => {
    const all = ['read-4k-seq', 'read-1m-seq', 'rename'].map((name) => ({ name }));
    const chosen = (text) => chooseJobs(all, text).map(({ name }) => name);
    assert.deepEqual(chosen(undefined), ['read-4k-seq', 'read-1m-seq', 'rename']);
    assert.deepEqual(chosen('read-*'), ['read-4k-seq', 'read-1m-seq']);
    assert.deepEqual(chosen('rename'), ['rename']);
    assert.throws(() => chosen('wirte-*'), UsageError);
  });

  it('fills the places of a command, and numbers peers of one name', () => {
    const text = "command=serve '{socket}' {dir}";
    const peers = uniqueNames([parsePeer(text, {}), parsePeer(text, {})]);
    assert.deepEqual(
      peers.map(({ name }) => name),
      ['command', 'command-2'],
    );
    assert.deepEqual(peers[0].command({ socket: '/s', dir: '/d' }), ['sh', '-c', "exec serve '/s' /d"]);
    assert.throws(() => parsePeer('virtiofsf', {}), /unknown peer "virtiofsf"/);
  });

  it('understands lists of CPUs', () => {
    assert.deepEqual(parseCpuList('0-2,5'), [0, 1, 2, 5]);
  });
});
