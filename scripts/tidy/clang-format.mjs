import { capture } from '../lib/run.mjs';
import { filesMatching } from '../lib/sources.mjs';

export const name = 'clang-format';

export function run() {
  const files = filesMatching(/\.(cc|h)$/);
  if (files.length === 0) return [];
  const { ok, output } = capture('clang-format-19', ['--dry-run', '-Werror', ...files]);
  if (ok) return [];
  const places = [...output.matchAll(/^(\S+:\d+):\d+: error/gm)].map((match) => match[1]);
  const hint = 'not formatted; `npm run format` mends it';
  return places.length === 0 ? [output] : [...new Set(places)].map((place) => `${place}: ${hint}`);
}
