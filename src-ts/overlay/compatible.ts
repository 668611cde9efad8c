/** What does not go together with an overlay. */
import { isDeepStrictEqual } from 'node:util';
import type { Config } from '../config/index.js';
import { VirtioFsError } from '../errors.js';

/** What an overlay does without, as the configuration has it. */
const WITHOUT_OVERLAY = {
  readOnly: false,
  writeback: false,
  posixLocks: false,
  flock: false,
  asciiCasefold: false,
  openAtomic: false,
  chromeosTmpfile: false,
  zeroMessageOpen: false,
  overrideStat: false,
  rewriteSecurityXattrs: false,
  xattrmap: [],
  ugidMap: [],
  maxDynamicPerm: 0,
  maxDynamicXattr: 0,
  inodeFileHandles: 'never',
} as const satisfies Partial<Config>;

/** Throws ERR_VIRTIOFS_CONFIG_CONFLICT, ERR_VIRTIOFS_OPTION_INVALID. */
export function checkOverlay(config: Config, stateFile: unknown): void {
  for (const [name, value] of Object.entries(WITHOUT_OVERLAY)) {
    if (isDeepStrictEqual(config[name as keyof typeof WITHOUT_OVERLAY], value)) continue;
    const detail = `"${name}" of the configuration and an overlay do not go together`;
    throw new VirtioFsError('ERR_VIRTIOFS_CONFIG_CONFLICT', { detail });
  }
  if (stateFile === undefined) return;
  const detail = '"stateFile" and an overlay do not go together';
  throw new VirtioFsError('ERR_VIRTIOFS_OPTION_INVALID', { detail });
}
