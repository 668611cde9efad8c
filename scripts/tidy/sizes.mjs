// A file of more than 500 lines or a C++ function of more than 70 needs a reason, written here. (eslint measures the
// functions of TypeScript and of the scripts.)
import { filesMatching, lineAt, readText, stripCpp } from '../lib/sources.mjs';

export const name = 'sizes';

const FILE_LINES_MAX = 500;
const FUNCTION_LINES_MAX = 70;
/** `path` or `path:function`, and why it is better in one piece. */
const EXCEPTIONS = new Map([
  ['src-ts/cli/table.ts', 'one row for each option of the command, all of one shape'],
  ['src-ts/testing/fuse-client.ts', 'one short method for each operation of the ABI, all of one shape'],
]);

const CONTROL = /\b(if|for|while|switch|catch|else|do|try|return)\b[^;]*$/;

/** The name of the function whose body opens after this text, or undefined if something else opens there. */
function functionName(header) {
  const text = header.trim();
  if (/=$|[,({]$|\breturn$/.test(text) || /^(template\s*<[^{]*>\s*)?(class|struct|enum|union|namespace)\b/.test(text))
    return;
  const match = /([~\w:]+|operator\s*\S+)\s*\(/.exec(text);
  return match !== null && !CONTROL.test(match[1]) ? match[1] : undefined;
}

/** Every function body in the text: `{ name, offset, lines }`. Lambdas and blocks inside count with their function. */
export function cppFunctions(source) {
  const text = stripCpp(source).replace(/^[ \t]*#.*(\\\n.*)*/gm, (line) => line.replace(/[^\n]/g, ' '));
  const functions = [];
  const open = [];
  let headerStart = 0;
  for (const brace of text.matchAll(/[{};]/g)) {
    if (brace[0] === '{') {
      const inside = open.some((block) => block.name !== undefined);
      const header = text.slice(headerStart, brace.index);
      const offset = headerStart + header.length - header.trimStart().length;
      open.push({ name: inside ? undefined : functionName(header), offset });
    } else if (brace[0] === '}') {
      const block = open.pop();
      if (block?.name !== undefined) {
        functions.push({ ...block, lines: lineAt(text, brace.index) - lineAt(text, block.offset) + 1 });
      }
    }
    headerStart = brace.index + 1;
  }
  return functions;
}

export function run() {
  const problems = [];
  const used = new Set();
  const report = (key, problem) => (EXCEPTIONS.has(key) ? used.add(key) : problems.push(problem));
  for (const file of filesMatching(/\.(cc|h|ts|mjs|cjs|txt|gyp)$/)) {
    const text = readText(file);
    const lines = text.split('\n').length - 1;
    if (lines > FILE_LINES_MAX) report(file, `${file}: ${lines} lines; ${FILE_LINES_MAX} are enough`);
    if (!/\.(cc|h)$/.test(file)) continue;
    for (const body of cppFunctions(text)) {
      if (body.lines <= FUNCTION_LINES_MAX) continue;
      const place = `${file}:${lineAt(text, body.offset)}`;
      report(
        `${file}:${body.name}`,
        `${place}: ${body.name} has ${body.lines} lines; ${FUNCTION_LINES_MAX} are enough`,
      );
    }
  }
  for (const key of EXCEPTIONS.keys()) {
    if (!used.has(key)) problems.push(`scripts/tidy/sizes.mjs: the exception for ${key} is no longer needed`);
  }
  return problems;
}
