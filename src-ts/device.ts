/** Making the native device of a backend, from options that have been checked. */
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { nativeShareOptions } from './config/native-options.js';
import { VirtioFsError, fromNative, native } from './errors.js';
import { loadBinding } from './native/load.js';
import type { NativeDevice, NativeDeviceEvent } from './native/binding.js';
import type { Observer } from './observe/observer.js';
import { makeDirectories, overlayError } from './overlay/index.js';
import type { ParsedOptions } from './options.js';
import { onDemand } from './on-demand.js';
import type { CompiledPolicy } from './policy/compile.js';
import { capabilityNames } from './sandbox/capabilities.js';
import type { Confinement } from './sandbox/confinement.js';
import { openStateFile } from './state-file.js';
import { TAG_BYTES_MAX } from './tag.js';

/** How long a request queue's thread looks for more after a burst, unless it is told otherwise, µs. */
const BURST_POLL_US = 100;

/** The device's configuration space (virtio 1.3 §5.11.4); `notify_buf_size` exists only with a feature not offered. */
export function deviceConfig(options: ParsedOptions): Uint8Array {
  const config = Buffer.alloc(TAG_BYTES_MAX + 4);
  config.write(options.tag, 'utf8');
  config.writeUInt32LE(options.requestQueues, TAG_BYTES_MAX);
  return config;
}

/** The policy that holds: paths are a policy's knowledge, and so are handlers. One without a rule forbids nothing. */
export function policyOf({ policy, audit, record, mounts }: ParsedOptions): CompiledPolicy | undefined {
  if (policy !== undefined || (audit ?? record ?? mounts) === undefined) return policy;
  return onDemand.compiling.compilePolicy({ rules: [], lasting: true });
}

/** Opens the share; `policy`: what `policyOf` says. Throws ERR_VIRTIOFS_SHARE_… */
export function createDevice(
  options: ParsedOptions,
  policy: CompiledPolicy | undefined,
  now: Date,
  observer: Observer | undefined,
  onEvent: (event: NativeDeviceEvent) => void,
): NativeDevice {
  const { tag, sharedDir, overlay, requestQueues, poolThreads, pollUs, measureLatency, confinement } = options;
  const polling = { pollUs: pollUs ?? BURST_POLL_US, pollAfterBurstsOnly: pollUs === undefined };
  const device = { tag, sharedDir, overlay, requestQueues, poolThreads, ...polling, measureLatency, confinement };
  const { config, stateFile } = options;
  const binding = loadBinding();
  if (overlay !== undefined) makeDirectories(overlay);
  const empty = device.sharedDir === '' ? mkdtempSync(join(tmpdir(), 'virtio-fs-empty-')) : undefined;
  const state = stateFile === undefined ? undefined : openStateFile(stateFile, device.sharedDir);
  try {
    const rules = { policy: policy?.nativeAt(now), awaitsHandlers: policy?.handlers === 'attached' };
    const flat = {
      ...device,
      ...(empty === undefined ? {} : { sharedDir: empty }),
      sessionFd: state?.number ?? -1,
      ...nativeShareOptions(config),
      ...rules,
      tap: observer?.tap,
    };
    return binding.createDevice(flat, onEvent);
  } catch (error) {
    const failed = fromNative(error, device.sharedDir);
    throw shareError(overlay === undefined ? failed : overlayError(failed, overlay.upper), device.sharedDir);
  } finally {
    // The device has one of its own, which keeps the lock.
    state?.close();
    // What the device has open stays as empty as it is: nothing can be made in a directory that is gone.
    if (empty !== undefined) rmdirSync(empty);
  }
}

/** What the device's threads have given up. */
export function confinementOf({ confinement }: ParsedOptions, device: NativeDevice): Confinement | undefined {
  const { seccomp, landlock, capabilities } = confinement;
  if (seccomp === 'none' && !landlock && capabilities === undefined) return undefined;
  return {
    seccomp,
    landlock: native(() => device.landlockVersion()),
    capabilities: capabilities === undefined ? undefined : capabilityNames(capabilities),
  };
}

/** A failed system call on the share has codes of its own. */
function shareError(error: VirtioFsError, path: string): VirtioFsError {
  const { errno, errnoName, syscall } = error;
  if (error.code !== 'ERR_VIRTIOFS_SYSTEM' || (error.path !== undefined && error.path !== path)) return error;
  if (errnoName === 'ENOTDIR') return new VirtioFsError('ERR_VIRTIOFS_SHARE_NOT_DIRECTORY', { path, cause: error });
  if (errnoName === 'ENOENT') return new VirtioFsError('ERR_VIRTIOFS_SHARE_NOT_FOUND', { path, cause: error });
  return new VirtioFsError('ERR_VIRTIOFS_SHARE_UNUSABLE', { errno, syscall, path, cause: error });
}
