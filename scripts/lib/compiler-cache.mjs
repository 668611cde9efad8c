// What has been compiled for one build need not be compiled for the next that has the same flags: the prebuilt addon, and
// the source build that users are left with.
import path from 'node:path';
import { ROOT, which } from './run.mjs';

/** The environment of a build by node-gyp; nothing without ccache. */
export function cachedCompilers() {
  if (which('ccache') === undefined) return {};
  return { CC: 'ccache gcc', CXX: 'ccache g++', CCACHE_DIR: path.join(ROOT, '.cache/ccache') };
}
