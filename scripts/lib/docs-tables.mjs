// The tables of the documentation, made from those in the code. `npm run docs` writes them, and the tidy check compares
// them. Reads dist/ and the addon, so build first.
import { createRequire } from 'node:module';
import path from 'node:path';
import { readText } from './sources.mjs';
import { ROOT } from './run.mjs';

const require = createRequire(import.meta.url);
const load = (file) => require(path.join(ROOT, 'dist', file));
const addon = () => load('native/load.js').loadBinding();

const code = (text) => `\`${text}\``;

function cells(line) {
  if (!line.startsWith('|')) return [];
  return line
    .slice(1, line.lastIndexOf('|'))
    .split('|')
    .map((cell) => cell.trim());
}

const isSame = (one, other) => one.length === other.length && one.every((cell, index) => cell === other[index]);

/** Where the table whose first header is `header` has its rows: the first, and the one behind the last. */
function findTable(lines, header) {
  const start = lines.findIndex((line) => cells(line)[0]?.replaceAll('`', '') === header);
  if (start === -1) return undefined;
  let end = start + 2;
  while (lines[end]?.startsWith('|')) end++;
  return { begin: start + 2, end };
}

function permissionRows() {
  return Object.entries(load('policy/permissions.js').PERMISSIONS).map(([operation, { errno, meaning }]) => [
    code(operation),
    errno,
    meaning,
  ]);
}

function denialRows() {
  return Object.entries(load('policy/rules.js').DENIALS).map(([type, operations]) => [
    code(type),
    operations.map(code).join(', '),
  ]);
}

function errorRows() {
  return Object.entries(load('errors.js').ERRORS).map(([error, { meaning }]) => [code(error), meaning]);
}

function configRows() {
  return Object.entries(load('config/index.js').CONFIG_KEYS).map(([property, row]) => [
    [row.key, ...row.aliases].map(code).join(', '),
    code(property),
    row.kind.accepts,
    defaultText(row.default),
    row.meaning,
  ]);
}

/** A value as it is written; words about one are no value. */
function defaultText(value) {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : code(value.join(' '));
  const text = typeof value === 'object' ? value.dependsOn : String(value);
  return text.includes(' ') ? text : code(text);
}

/** The options of the command: a table for each group, headed by its name. */
function optionTables() {
  const { OPTION_GROUPS, optionRow } = load('cli/table.js');
  const { optionHeading, optionsOf } = load('cli/help.js');
  return Object.entries(OPTION_GROUPS).map(([group, title]) => [
    'docs/cli.md',
    title,
    () => optionsOf(group).map((option) => [code(optionHeading(option)), optionRow(option).help.join(' ')]),
  ]);
}

function replayRows() {
  const { REPLAY_OPTIONS, replayHeading } = load('cli/replay.js');
  return Object.entries(REPLAY_OPTIONS).map(([option, { help }]) => [code(replayHeading(option)), help]);
}

function overlayRows(table) {
  return () => Object.entries(load('cli/overlay.js')[table]).map(([name, help]) => [code(name), help]);
}

function legacyRows() {
  const { LEGACY_ITEMS } = load('cli/legacy.js');
  return Object.entries(LEGACY_ITEMS).map(([item, { takesValue, meaning }]) => [
    code(`${item}${takesValue ? '=' : ''}`),
    meaning.replaceAll(/--[a-z][a-z0-9-]*( [a-z_]+=[a-z]*)?/g, (option) => code(option)),
  ]);
}

function requestRows() {
  const { REQUESTS } = load('vhost-user/protocol.js');
  const { REQUEST_ROWS } = load('vhost-user/requests.js');
  return Object.entries(REQUEST_ROWS).map(([request, row]) => [
    String(REQUESTS[request]),
    code(request),
    ...('refused' in row
      ? ['refused', '', '', row.answer === undefined ? '' : `u64: ${row.answer}`, row.refused]
      : [row.body.name, row.fds.name, row.feature, row.reply, `on failure: ${row.fault}`]),
  ]);
}

const since = (minor) => (minor === 0 ? '' : `7.${minor}`);

function operationRows() {
  return addon()
    .fuseOperations()
    .map(({ opcode, name, sinceMinor }) => [String(opcode), code(name), since(sinceMinor)]);
}

function initFlagRows() {
  return addon()
    .fuseInitFlags()
    .map(({ bit, name, sinceMinor, when }) => [String(bit), code(name), since(sinceMinor), when]);
}

function featureRows() {
  const { VIRTIO_FEATURES } = load('virtio-features.js');
  return Object.entries(VIRTIO_FEATURES).map(([feature, bit]) => [String(bit), code(feature)]);
}

function protocolFeatureRows() {
  const { PROTOCOL_FEATURES } = load('vhost-user/protocol.js');
  const { OFFERED_PROTOCOL_FEATURES } = load('fs-backend.js');
  return Object.entries(PROTOCOL_FEATURES).map(([feature, bit]) => {
    const offered = ((OFFERED_PROTOCOL_FEATURES >> BigInt(bit)) & 1n) === 1n;
    return [String(bit), code(feature), offered ? 'yes' : 'no'];
  });
}

/** Every table: file, first header, and where its rows come from. */
const TABLES = [
  ['docs/errors.md', 'Code', errorRows],
  ['docs/policies.md', 'Operation', permissionRows],
  ['docs/policies.md', 'Rule for one operation', denialRows],
  ['docs/config.md', 'Key', configRows],
  ['docs/cli.md', 'Item of -o', legacyRows],
  ['docs/cli.md', 'Option of replay', replayRows],
  ['docs/cli.md', 'Action of overlay', overlayRows('OVERLAY_ACTIONS')],
  ['docs/cli.md', 'Option of overlay', overlayRows('OVERLAY_OPTIONS')],
  ['docs/protocol-support.md', 'Number', requestRows],
  ['docs/protocol-support.md', 'Bit', featureRows],
  ['docs/protocol-support.md', 'Protocol bit', protocolFeatureRows],
  ['docs/protocol-support.md', 'Opcode', operationRows],
  ['docs/protocol-support.md', 'INIT bit', initFlagRows],
];

/** The documents with their tables as the code has them: `{ file, text, problems }`, where they differ from what is there. */
export function documents() {
  const texts = new Map();
  for (const [file, header, rows] of [...TABLES, ...optionTables()]) {
    const document = texts.get(file) ?? { file, lines: readText(file).split('\n'), problems: [] };
    texts.set(file, document);
    replaceTable(document, header, rows());
  }
  return [...texts.values()].map(({ file, lines, problems }) => ({ file, text: lines.join('\n'), problems }));
}

function replaceTable({ file, lines, problems }, header, rows) {
  const table = findTable(lines, header);
  if (table === undefined) {
    problems.push(`${file}: there is no table that begins with "${header}"`);
    return;
  }
  const written = lines.slice(table.begin, table.end).map(cells);
  for (const row of rows) {
    if (!written.some((each) => isSame(each, row))) problems.push(`${file}: missing: | ${row.join(' | ')} |`);
  }
  for (const row of written) {
    if (!rows.some((each) => isSame(each, row))) problems.push(`${file}: not in the code: | ${row.join(' | ')} |`);
  }
  const inOrder = rows.length === written.length && rows.every((row, index) => isSame(row, written[index]));
  if (!inOrder && problems.length === 0)
    problems.push(`${file}: the table "${header}" has another order than the code`);
  if (!inOrder) lines.splice(table.begin, written.length, ...rows.map((row) => `| ${row.join(' | ')} |`));
}
