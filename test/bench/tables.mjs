// Results as tables: text for a terminal, and the same as Markdown for docs/performance.md.

const BIG = 100_000;

function rate(perSecond) {
  if (perSecond === undefined) return '–';
  const thousands = perSecond / 1000;
  return thousands >= BIG / 1000 ? thousands.toFixed(0) : thousands.toPrecision(2 + (thousands >= 10 ? 1 : 0));
}

const times = (ratio) => (ratio === null || ratio === undefined ? '–' : `${ratio.toFixed(2)}×`);
const percent = (ratio) => (ratio === null || ratio === undefined ? '–' : `${Math.round(ratio * 100)} %`);
const fixed = (value, digits) => (value === undefined || value === null ? '–' : value.toFixed(digits));

/** Columns that are made for each subject, and what stands behind them. */
const TABLES = [
  {
    title: 'Thousand operations per second',
    cell: (figures) => rate(figures?.perSecond),
    more: [
      ['ours / best peer', ({ ratios }) => times(ratios.bestPeer)],
      ['ours / limit', ({ ratios }) => percent(ratios.limit)],
    ],
  },
  {
    title: 'CPU time of the backend per operation, µs',
    cell: (figures) => fixed(figures?.cpuUs, 2),
    more: [['ours − limit', ({ ratios }) => fixed(ratios.cpuUsAboveLimit, 2)]],
  },
  {
    title: 'Latency, µs: p50 / p99 / p99.9',
    cell: (figures) =>
      figures?.p50Us === undefined || figures.p50Us === null
        ? '–'
        : [figures.p50Us, figures.p99Us, figures.p999Us].map((value) => fixed(value, 0)).join(' / '),
    more: [],
  },
  { title: 'Context switches of the backend per operation', cell: (figures) => fixed(figures?.switches, 3), more: [] },
];

function subjectsOf(report) {
  return ['limit', ...report.peers.map(({ name }) => name)];
}

function tableOf({ cell, more }, results, subjects) {
  const header = ['job', ...subjects, ...more.map(([title]) => title)];
  const rows = results
    .filter(({ figures }) => Object.keys(figures).length > 0)
    .map((result) => [
      result.job,
      ...subjects.map((name) => (result.failures[name] === undefined ? cell(result.figures[name]) : 'none')),
      ...more.map(([, get]) => get(result)),
    ]);
  return [header, ...rows];
}

/** The columns that a set of rows needs, padded, so that the source is as readable as what is made of it. */
export function layOut(rows, [left, middle, right], rule) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => [...row[column]].length)));
  const line = (row) => {
    const cells = row.map((text, column) => {
      const space = ' '.repeat(widths[column] - [...text].length);
      return column === 0 ? text + space : space + text;
    });
    return left + cells.join(middle) + right;
  };
  const [header, ...rest] = rows.map(line);
  return [header, ...(rule === undefined ? [] : [rule(widths)]), ...rest].join('\n');
}

export const asText = (rows) => layOut(rows, ['  ', '  ', '']);
export const asMarkdown = (rows) =>
  layOut(rows, ['| ', ' | ', ' |'], (widths) => {
    const dashes = widths.map(
      (width, column) => '-'.repeat(width - (column === 0 ? 0 : 1)) + (column === 0 ? '' : ':'),
    );
    return `| ${dashes.join(' | ')} |`;
  });

/** Results in groups of one file system, one way of waiting and one depth. */
function groups(report) {
  const byKey = new Map();
  for (const result of report.results) {
    const key = `${result.fileSystem}, depth ${result.depth}${result.wait === 'poll' ? ', the driver polls' : ''}`;
    byKey.set(key, [...(byKey.get(key) ?? []), result]);
  }
  return [...byKey];
}

function syscallRows(report) {
  const subjects = report.peers.map(({ name }) => name);
  const rows = report.syscalls.results.map(({ job, counts }) => [
    job,
    ...subjects.map((name) => {
      const count = counts[name];
      return count === undefined ? '–' : `${fixed(count.work, 2)} + ${fixed(count.notification, 2)}`;
    }),
  ]);
  return [['job', ...subjects], ...rows];
}

function memoryTables({ allocations, bytesPerInode }, subjects) {
  const rows = allocations.map(({ job, counts }) => [job, ...subjects.map((name) => fixed(counts[name], 2))]);
  const perInode = ['bytes', ...subjects.map((name) => fixed(bytesPerInode[name], 0))];
  return [
    ['Allocations per operation (depth 16)', [['job', ...subjects], ...rows]],
    ['Memory per known inode', [['', ...subjects], perInode]],
  ];
}

/** `[title, rows]` of every table of a report. */
export function tablesOf(report) {
  const subjects = subjectsOf(report);
  const tables = groups(report).flatMap(([key, results]) =>
    TABLES.map((table) => [`${table.title} (${key})`, tableOf(table, results, subjects)]),
  );
  if (report.syscalls !== undefined) {
    const title = `System calls per operation, + those of notification (depth 16, counted by ${report.syscalls.tool})`;
    tables.push([title, syscallRows(report)]);
  }
  if (report.memory !== undefined) tables.push(...memoryTables(report.memory, subjects.slice(1)));
  return tables.filter(([, rows]) => rows.length > 1);
}

/** Jobs that some subject did not do, and why. */
export function notesOf(report) {
  const notes = new Map();
  for (const { job, failures } of report.results) {
    for (const [name, reason] of Object.entries(failures)) notes.set(`${job}, ${name}: ${reason}`, true);
  }
  return [...notes.keys()];
}
