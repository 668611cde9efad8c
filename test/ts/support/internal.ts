/**
 * Modules of the library that its package does not export, for unit tests of them. They come from the same dist/ as the
 * package itself, so that classes and state are the same.
 */
import { dirname, join } from 'node:path';

const dist = join(dirname(require.resolve('virtio-fs/package.json')), 'dist');

/** Where the compiled library is. */
export const DIST = dist;

function load<T>(path: string): T {
  return require(join(dist, path)) as T;
}

/* eslint-disable @typescript-eslint/consistent-type-imports -- the types of what is loaded by path at run time */
export const closest = load<typeof import('../../../dist/closest.js')>('closest.js');
export const config = load<typeof import('../../../dist/config/index.js')>('config/index.js');
export const nativeOptions = load<typeof import('../../../dist/config/native-options.js')>('config/native-options.js');
export const errors = load<typeof import('../../../dist/errors.js')>('errors.js');
export const lane = load<typeof import('../../../dist/lane.js')>('lane.js');
export const loader = load<typeof import('../../../dist/native/load.js')>('native/load.js');
export const options = load<typeof import('../../../dist/options.js')>('options.js');
export const ownedFd = load<typeof import('../../../dist/owned-fd.js')>('owned-fd.js');
export const protocol = load<typeof import('../../../dist/vhost-user/protocol.js')>('vhost-user/protocol.js');
export const requests = load<typeof import('../../../dist/vhost-user/requests.js')>('vhost-user/requests.js');
export const connection = load<typeof import('../../../dist/vhost-user/connection.js')>('vhost-user/connection.js');
export const cliOptions = load<typeof import('../../../dist/cli/options.js')>('cli/options.js');
export const cliRun = load<typeof import('../../../dist/cli/run.js')>('cli/run.js');
export const cliHelp = load<typeof import('../../../dist/cli/help.js')>('cli/help.js');
