// The arrows between the layers of src-native. The table in src-native/README.md is the rule; this file only reads it.
import { filesMatching, lineAt, readText, stripCpp } from '../lib/sources.mjs';

export const name = 'layers';

const TABLE = 'src-native/README.md';
const NODE_API = /^(napi\.h|node_api\.h|js_native_api\.h|node\.h|uv\.h|v8\.h)$/;

function readArrows() {
  const arrows = new Map();
  for (const [, layer, below] of readText(TABLE).matchAll(/^\| `(\w+)` \| ([^|]+) \|/gm)) {
    arrows.set(
      layer,
      [...below.matchAll(/`(\w+)`/g)].map((match) => match[1]),
    );
  }
  return arrows;
}

/** A layer and all layers below it. */
function reachable(arrows, layer, seen = new Set()) {
  if (!seen.has(layer)) {
    seen.add(layer);
    for (const below of arrows.get(layer) ?? []) reachable(arrows, below, seen);
  }
  return seen;
}

function problemOf(arrows, layer, header) {
  if (NODE_API.test(header)) return layer === 'binding' ? undefined : `only binding/ includes ${header}`;
  const target = /^(\w+)\//.exec(header)?.[1];
  if (target === undefined || !arrows.has(target)) return `"${header}" does not begin with a layer's name`;
  return reachable(arrows, layer).has(target) ? undefined : `${layer} must not include ${target} ("${header}")`;
}

function checkFile(file, arrows, problems) {
  const layer = file.split('/')[1];
  if (!arrows.has(layer)) {
    problems.push(`${file}: "${layer}" is not in the table of ${TABLE}`);
    return;
  }
  const text = stripCpp(readText(file), { keepStrings: true });
  for (const include of text.matchAll(/^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]/gm)) {
    const [, kind, header] = include;
    if (kind === '<' && !NODE_API.test(header)) continue;
    const problem = problemOf(arrows, layer, header);
    if (problem !== undefined) problems.push(`${file}:${lineAt(text, include.index)}: ${problem}`);
  }
}

export function run() {
  const arrows = readArrows();
  if (arrows.size === 0) return [`${TABLE}: no table of layers`];
  const problems = [];
  for (const [layer, below] of arrows) {
    for (const target of below.filter((entry) => !arrows.has(entry))) {
      problems.push(`${TABLE}: ${layer} builds on "${target}", which has no row`);
    }
    if (below.some((target) => reachable(arrows, target).has(layer))) problems.push(`${TABLE}: ${layer} is in a cycle`);
  }
  for (const file of filesMatching(/^src-native\/.*\.(cc|h)$/)) checkFile(file, arrows, problems);
  // The same border in TypeScript: one folder loads the addon.
  for (const file of filesMatching(/^src-ts\/(?!native\/).*\.ts$/)) {
    if (/(from|require\()\s*'node-gyp-build'/.test(readText(file))) {
      problems.push(`${file}: only src-ts/native loads the addon`);
    }
  }
  return problems;
}
