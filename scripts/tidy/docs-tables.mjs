// The tables of the documentation against the tables in the code, in both directions: what the code has must be in the
// document with the same words, and what the document has must be in the code. Reads dist/, so build first.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { readText } from '../lib/sources.mjs';
import { ROOT } from '../lib/run.mjs';

export const name = 'docs-tables';

const require = createRequire(import.meta.url);
const load = (file) => require(path.join(ROOT, 'dist', file));

/** The rows of the table whose first header is `header`: cells without code marks, joined by " | ". */
function documentedRows(file, header) {
  const lines = readText(file).split('\n');
  const start = lines.findIndex((line) => cells(line)[0] === header);
  if (start === -1) return undefined;
  const rows = [];
  for (let i = start + 2; lines[i]?.startsWith('|'); i++) rows.push({ line: i + 1, text: cells(lines[i]).join(' | ') });
  return rows;
}

function cells(line) {
  if (!line.startsWith('|')) return [];
  return line
    .slice(1, line.lastIndexOf('|'))
    .split('|')
    .map((cell) => cell.trim().replaceAll('`', ''));
}

function compare(file, header, expected) {
  const documented = documentedRows(file, header);
  if (documented === undefined) return [`${file}: there is no table that begins with "${header}"`];
  const wanted = expected.map((row) => row.join(' | ').replaceAll('`', ''));
  const missing = wanted.filter((row) => !documented.some(({ text }) => text === row));
  const surplus = documented.filter(({ text }) => !wanted.includes(text));
  return [
    ...missing.map((row) => `${file}: missing: | ${row} |`),
    ...surplus.map(({ line, text }) => `${file}:${line}: not in the code: | ${text} |`),
  ];
}

function errorRows() {
  return Object.entries(load('errors.js').ERRORS).map(([code, { meaning }]) => [code, meaning]);
}

function configRows() {
  return Object.entries(load('config/index.js').CONFIG_KEYS).map(([property, row]) => [
    [row.key, ...row.aliases].join(', '),
    property,
    row.kind.accepts,
    defaultText(row.default),
    row.meaning,
  ]);
}

function defaultText(value) {
  if (Array.isArray(value)) return value.length === 0 ? 'none' : value.join(' ');
  return typeof value === 'object' ? value.dependsOn : String(value);
}

function optionRows() {
  return Object.entries(load('cli/options.js').CLI_OPTIONS).map(([option, { value, help }]) => [
    `--${option}${value === null ? '' : ` ${value}`}`,
    help.join(' '),
  ]);
}

function requestRows() {
  const { REQUESTS } = load('vhost-user/protocol.js');
  const { REQUEST_ROWS } = load('vhost-user/requests.js');
  return Object.entries(REQUEST_ROWS).map(([request, row]) => [
    String(REQUESTS[request]),
    request,
    ...('refused' in row
      ? ['refused', '', '', '', row.refused]
      : [row.body.name, row.fds.name, row.feature, row.reply, `on failure: ${row.fault}`]),
  ]);
}

function featureRows() {
  const { VIRTIO_FEATURES } = load('virtio-features.js');
  return Object.entries(VIRTIO_FEATURES).map(([feature, bit]) => [String(bit), feature]);
}

function protocolFeatureRows() {
  const { PROTOCOL_FEATURES } = load('vhost-user/protocol.js');
  const { OFFERED_PROTOCOL_FEATURES } = load('fs-backend.js');
  return Object.entries(PROTOCOL_FEATURES).map(([feature, bit]) => {
    const offered = ((OFFERED_PROTOCOL_FEATURES >> BigInt(bit)) & 1n) === 1n;
    return [String(bit), feature, offered ? 'yes' : 'no'];
  });
}

/** Every table: file, first header, and where its rows come from. */
const TABLES = [
  ['docs/errors.md', 'Code', errorRows],
  ['docs/config.md', 'Key', configRows],
  ['docs/cli.md', 'Option', optionRows],
  ['docs/protocol-support.md', 'Number', requestRows],
  ['docs/protocol-support.md', 'Bit', featureRows],
  ['docs/protocol-support.md', 'Protocol bit', protocolFeatureRows],
];

export function run() {
  if (!existsSync(path.join(ROOT, 'dist/index.js'))) return ['dist/: not built; run npm run build:ts'];
  return TABLES.flatMap(([file, header, rows]) => compare(file, header, rows()));
}
