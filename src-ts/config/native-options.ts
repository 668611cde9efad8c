/** The one place where a configuration becomes what the addon is told. */
import type { NativeShareOptions } from '../native/binding.js';
import { idRanges } from './id-translation.js';
import type { Config } from './types.js';

/** Seconds as the milliseconds that the addon takes, to the nanosecond. */
function milliseconds(seconds: number): number {
  return Math.round(seconds * 1e9) / 1e6;
}

/** Everything is there and consistent; the addon checks nothing again. */
export function nativeShareOptions(config: Config): NativeShareOptions {
  return {
    entryTimeoutMs: milliseconds(config.entryTimeout),
    attrTimeoutMs: milliseconds(config.attrTimeout),
    negativeTimeoutMs: milliseconds(config.negativeTimeout),
    cachePolicy: config.cachePolicy,
    writeback: config.writeback,
    allowMmap: config.allowMmap,
    allowDirectIo: config.allowDirectIo,
    preserveNoatime: config.preserveNoatime,
    maxWrite: config.maxWrite,
    readdirplus: config.readdirplus,
    readOnly: config.readOnly,
    xattr: config.xattr,
    xattrRules: config.xattrmap,
    rewriteSecurityXattrs: config.rewriteSecurityXattrs,
    posixAcl: config.posixAcl,
    requirePosixAcl: config.requirePosixAcl,
    securityCtx: config.securityCtx,
    requireSecurityCtx: config.requireSecurityCtx,
    killpriv: config.killpriv,
    asciiCasefold: config.asciiCasefold,
    announceSubmounts: config.announceSubmounts,
    inodeFileHandles: config.inodeFileHandles,
    descriptorsMax: config.descriptorsMax,
    posixLocks: config.posixLocks,
    flock: config.flock,
    uidRanges: idRanges(config.translateUid),
    gidRanges: idRanges(config.translateGid),
    ugidMap: config.ugidMap,
    overrideStat: config.overrideStat,
    openAtomic: config.openAtomic,
    chromeosTmpfile: config.chromeosTmpfile,
    maxDynamicPerm: config.maxDynamicPerm,
    maxDynamicXattr: config.maxDynamicXattr,
    privilegedQuotaUids: config.privilegedQuotaUids,
    zeroMessageOpen: config.zeroMessageOpen,
  };
}
