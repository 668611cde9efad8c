/**
 * Finds and loads the native addon, once per environment (the main thread and each worker thread have their own).
 *
 * Loading is lazy: importing the library touches no native code, so that a program can import it on a machine where
 * the addon is missing, and read a helpful error when it first needs it.
 */
import { resolve } from 'node:path';
import { types } from 'node:util';
import nodeGypBuild = require('node-gyp-build');
import { VirtioFsError } from '../errors.js';
import { NATIVE_CONTRACT, type NativeBinding } from './binding.js';

/** dist/native → the package's root, where build/Release and prebuilds are. */
const PACKAGE_ROOT = resolve(__dirname, '..', '..');

let loaded: NativeBinding | undefined;

/**
 * The addon. Throws ERR_VIRTIOFS_ADDON_UNAVAILABLE if there is none that fits this machine, and
 * ERR_VIRTIOFS_ADDON_MISMATCH if it was built for another version of the library.
 */
export function loadBinding(): NativeBinding {
  loaded ??= checkContract(requireAddon());
  return loaded;
}

/**
 * Replaces the addon for everything created from now on; undefined goes back to the real one. For unit tests on a
 * fake binding. Returns what was in force before.
 */
export function injectBinding(binding: NativeBinding | undefined): NativeBinding | undefined {
  const before = loaded;
  loaded = binding === undefined ? undefined : checkContract(binding);
  return before;
}

function requireAddon(): NativeBinding {
  try {
    return nodeGypBuild(PACKAGE_ROOT) as NativeBinding;
  } catch (cause) {
    throw new VirtioFsError('ERR_VIRTIOFS_ADDON_UNAVAILABLE', { detail: explain(cause), cause });
  }
}

/** What was tried, what failed, what to do; in that order. */
function explain(cause: unknown): string {
  const reason = types.isNativeError(cause) ? cause.message : String(cause);
  return [
    `no addon could be loaded for ${process.platform}-${process.arch}, Node ${process.versions.node}`,
    `  tried: build/Release, build/Debug and prebuilds in ${PACKAGE_ROOT}`,
    `  failed: ${reason.split('\n').join('\n    ')}`,
    `  to do: ${advice(reason)}`,
  ].join('\n');
}

function advice(reason: string): string {
  if (process.platform !== 'linux') return 'virtio-fs serves from Linux hosts only';
  if (/No native build was found/.test(reason)) {
    return `there is no prebuilt addon for this machine; build one with "npx node-gyp rebuild" in ${PACKAGE_ROOT}`;
  }
  if (/GLIBC|version .* not found/.test(reason)) {
    return `this system's C library is older than the prebuilt addon; run "npx node-gyp rebuild" in ${PACKAGE_ROOT}`;
  }
  return `reinstall the package, or run "npx node-gyp rebuild" in ${PACKAGE_ROOT}`;
}

function checkContract(binding: NativeBinding): NativeBinding {
  if (binding.contract === NATIVE_CONTRACT) return binding;
  throw new VirtioFsError('ERR_VIRTIOFS_ADDON_MISMATCH', {
    detail:
      `the addon speaks version ${String(binding.contract)} of the contract, the library ${NATIVE_CONTRACT}; ` +
      `a stale build is in the way: remove build/ in ${PACKAGE_ROOT}, or rebuild`,
  });
}
