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
export const policyCodecs = load<typeof import('../../../dist/policy/handlers/codecs.js')>('policy/handlers/codecs.js');
export const policyCompile = load<typeof import('../../../dist/policy/compile.js')>('policy/compile.js');
export const policyHeld = load<typeof import('../../../dist/policy/held-policy.js')>('policy/held-policy.js');
export const policyPatterns = load<typeof import('../../../dist/policy/patterns.js')>('policy/patterns.js');
export const policyWindows = load<typeof import('../../../dist/policy/windows.js')>('policy/windows.js');
export const jsonSource = load<typeof import('../../../dist/policy/json-source.js')>('policy/json-source.js');
export const protocol = load<typeof import('../../../dist/vhost-user/protocol.js')>('vhost-user/protocol.js');
export const requests = load<typeof import('../../../dist/vhost-user/requests.js')>('vhost-user/requests.js');
export const connection = load<typeof import('../../../dist/vhost-user/connection.js')>('vhost-user/connection.js');
export const fuseText = load<typeof import('../../../dist/fuse/text.js')>('fuse/text.js');
export const guestRam = load<typeof import('../../../dist/testing/guest-ram.js')>('testing/guest-ram.js');
export const testingRandom = load<typeof import('../../../dist/testing/random.js')>('testing/random.js');
export const sandboxCapabilities =
  load<typeof import('../../../dist/sandbox/capabilities.js')>('sandbox/capabilities.js');
export const sandboxConfinement = load<typeof import('../../../dist/sandbox/confinement.js')>('sandbox/confinement.js');
export const cliOptions = load<typeof import('../../../dist/cli/options.js')>('cli/options.js');
export const cliRun = load<typeof import('../../../dist/cli/run.js')>('cli/run.js');
export const cliHelp = load<typeof import('../../../dist/cli/help.js')>('cli/help.js');
export const cliDiscovery = load<typeof import('../../../dist/cli/discovery.js')>('cli/discovery.js');
export const cliActivation = load<typeof import('../../../dist/cli/activation.js')>('cli/activation.js');
export const cliLegacy = load<typeof import('../../../dist/cli/legacy.js')>('cli/legacy.js');
export const cliSyslog = load<typeof import('../../../dist/cli/syslog.js')>('cli/syslog.js');
export const stats = load<typeof import('../../../dist/stats.js')>('stats.js');
