import { describe, expect, test } from '@jest/globals';
import { config } from '../support/internal.js';
import { codeOf, messageOf } from '../support/with-fake.js';

const { parseConfig } = config;
const DEFAULTS = {
  timeout: 5,
  entryTimeout: 5,
  attrTimeout: 5,
  negativeTimeout: 0,
  cachePolicy: 'auto',
  writeback: false,
  allowMmap: true,
  allowDirectIo: false,
  preserveNoatime: false,
  maxWrite: 1048576,
  readdirplus: true,
  readOnly: false,
  xattr: true,
  xattrmap: [],
  rewriteSecurityXattrs: false,
  posixAcl: true,
  requirePosixAcl: false,
  securityCtx: true,
  requireSecurityCtx: false,
  killpriv: 'auto',
  asciiCasefold: false,
  announceSubmounts: true,
  inodeFileHandles: 'never',
  descriptorsMax: 0,
  posixLocks: false,
  flock: false,
  translateUid: [],
  translateGid: [],
  ugidMap: [],
  overrideStat: false,
  unmapGuestMemoryOnFork: false,
  useDax: false,
  maxDynamicPerm: 0,
  maxDynamicXattr: 0,
  privilegedQuotaUids: [],
  openAtomic: false,
  chromeosTmpfile: false,
  zeroMessageOpen: false,
};

/** With what follows from a timeout. */
function timeouts(timeout: number): object {
  return { timeout, entryTimeout: timeout, attrTimeout: timeout };
}

describe('string', () => {
  test.each([
    ['', {}],
    ['timeout=1', timeouts(1)],
    ['timeout=0x10', timeouts(16)],
    ['timeout=0b11,negative_timeout=0o17', { ...timeouts(3), negativeTimeout: 15 }],
    ['timeout=0.25', timeouts(0.25)],
    ['timeout=0.000000001', timeouts(1e-9)],
    ['entry_timeout=0.5', { entryTimeout: 0.5 }],
    ['timeout=2,attr_timeout=0', { timeout: 2, entryTimeout: 2, attrTimeout: 0 }],
    ['attr_timeout=3,entry_timeout=4', { attrTimeout: 3, entryTimeout: 4 }],
    ['10,cache=never', { ...timeouts(10), cachePolicy: 'never' }],
    ['cache=always', { cachePolicy: 'always' }],
    ['cache_policy=metadata', { cachePolicy: 'metadata' }],
    ['writeback', { writeback: true }],
    ['writeback=true,timeout=7', { writeback: true, ...timeouts(7) }],
    ['writeback=false', { writeback: false }],
    ['rewrite_security_xattrs', { rewriteSecurityXattrs: true }],
    ['rewrite-security-xattrs=true', { rewriteSecurityXattrs: true }],
    ['ascii_casefold', { asciiCasefold: true }],
    ['use_dax=false', {}],
    ['dax=false', {}],
    ['posix_acl=false', { posixAcl: false }],
    ['security_ctx=false', { securityCtx: false }],
    [`privileged_quota_uids=''`, {}],
    ['read_only', { readOnly: true }],
    ['xattr=false', { xattr: false, posixAcl: false, securityCtx: false }],
    ['announce_submounts=false', { announceSubmounts: false }],
    ['inode_file_handles=never', {}],
    ['inode_file_handles=prefer', { inodeFileHandles: 'prefer' }],
    ['inode_file_handles=fallback', { inodeFileHandles: 'prefer' }],
    ['inode_file_handles=mandatory', { inodeFileHandles: 'mandatory' }],
    ['descriptors_max=100', { descriptorsMax: 100 }],
    ['override_stat', { overrideStat: true, posixAcl: false }],
    ['preserve_noatime,allow_direct_io', { preserveNoatime: true, allowDirectIo: true }],
    ['killpriv=off', { killpriv: 'off' }],
    ['killpriv=v2', { killpriv: 'v2' }],
    ['posix_locks,flock', { posixLocks: true, flock: true }],
    ['max_write=4096', { maxWrite: 4096 }],
    ['max_write=134217728', { maxWrite: 134217728 }],
    ['allow_mmap=false', { allowMmap: false }],
    ['open_atomic,chromeos_tmpfile', { openAtomic: true, chromeosTmpfile: true }],
    ['readdirplus=false', { readdirplus: false }],
    ['unmap_guest_memory_on_fork', { unmapGuestMemoryOnFork: true }],
    [`cache='never'`, { cachePolicy: 'never' }],
    [`cache="never",timeout="2"`, { cachePolicy: 'never', ...timeouts(2) }],
    [`cache="ne\\"ver"`, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=-1', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=1s', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=1.', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=1.0123456789', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=4294967296', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['max_write=0', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['max_write=2048', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['max_write=12288', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['max_write=268435456', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['max_write=1M', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['max_dynamic_perm=65536', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['max_dynamic_perm=1.5', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['descriptors_max', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['killpriv', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['inode_file_handles=constructor', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['privileged_quota_uids=1 x', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['privileged_quota_uids=4294967295', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['privileged_quota_uids', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['writeback=yes', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['cache=Never', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    ['timeout=1,timeout=2', 'ERR_VIRTIOFS_CONFIG_KEY_DUPLICATE'],
    ['dax=false,use_dax=false', 'ERR_VIRTIOFS_CONFIG_KEY_DUPLICATE'],
    ['cache=auto,cache_policy=auto', 'ERR_VIRTIOFS_CONFIG_KEY_DUPLICATE'],
    ['timeot=1', 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    ['posix_acls', 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    ['negativeTimeout=1', 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    ['__proto__=1', 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    ['timeout=', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    ['timeout=1,', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [',timeout=1', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    ['=1', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [`cache='never`, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [`cache="never\\n"`, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [`cache=never'`, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    ['timeout=[1]', 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    ['timeout=1 ,cache=never', 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
  ])('%j', async (text, expected) => {
    if (typeof expected === 'string') expect(await codeOf(() => parseConfig(text))).toBe(expected);
    else expect(parseConfig(text)).toEqual({ ...DEFAULTS, ...expected });
  });

  test('the command line of an Android container works', () => {
    const text =
      'timeout=3600,cache=always,rewrite-security-xattrs=true,writeback=true,posix_acl=false,' + 'security_ctx=false';
    expect(parseConfig(text)).toEqual({
      ...DEFAULTS,
      ...timeouts(3600),
      cachePolicy: 'always',
      rewriteSecurityXattrs: true,
      writeback: true,
      posixAcl: false,
      securityCtx: false,
    });
  });

  test('an error names the key, the value and what is likely', () => {
    expect(messageOf(() => parseConfig('timeot=1'))).toContain('"timeot"; did you mean "timeout"?');
    expect(messageOf(() => parseConfig('cache=alwys'))).toMatch(/"cache" is "alwys".*did you mean "always"/);
    expect(messageOf(() => parseConfig('no_readdirplus'))).toContain('did you mean "readdirplus"?');
    expect(messageOf(() => parseConfig('killpriv=v3'))).toMatch(
      /"killpriv" is "v3", not one of auto, off, v2; did you mean/,
    );
    expect(messageOf(() => parseConfig('privileged_quota_uids=1 -1'))).toContain('is "1 -1": uid 2 is not an integer');
    expect(messageOf(() => parseConfig('max_write=5'))).toContain('not a power of two from 4096 to 134217728');
    expect(messageOf(() => parseConfig('qqqqqqqqqqqq=1'))).toContain('the keys are timeout,');
  });
});

describe('object', () => {
  test('undefined and an empty object mean the defaults', () => {
    expect(parseConfig(undefined)).toEqual(DEFAULTS);
    expect(parseConfig({})).toEqual(DEFAULTS);
  });

  test('every key', () => {
    const all = {
      timeout: 9,
      entryTimeout: 0.5,
      attrTimeout: 0.25,
      negativeTimeout: 2,
      cachePolicy: 'never',
      writeback: true,
      allowMmap: false,
      allowDirectIo: true,
      preserveNoatime: true,
      maxWrite: 4194304,
      readdirplus: false,
      readOnly: true,
      xattr: true,
      xattrmap: [{ type: 'ok', scope: 'all', key: '', prepend: '' }],
      rewriteSecurityXattrs: false,
      posixAcl: true,
      requirePosixAcl: false,
      securityCtx: false,
      requireSecurityCtx: false,
      killpriv: 'off',
      asciiCasefold: false,
      announceSubmounts: false,
      inodeFileHandles: 'mandatory',
      descriptorsMax: 1000,
      posixLocks: true,
      flock: true,
      translateUid: [],
      translateGid: [],
      ugidMap: [{ guestUid: 1, guestGid: 2, hostUid: 3, hostGid: 4, umask: 0o22, path: '/a' }],
      overrideStat: false,
      unmapGuestMemoryOnFork: true,
      useDax: false,
      maxDynamicPerm: 0,
      maxDynamicXattr: 0,
      privilegedQuotaUids: [],
      openAtomic: true,
      chromeosTmpfile: true,
      zeroMessageOpen: false,
    };
    expect(Object.keys(all)).toEqual(Object.keys(DEFAULTS));
    expect(parseConfig(all)).toEqual(all);
  });

  test('lists may be texts', () => {
    const lists = { translateUid: 'map:0:1000:1', xattrmap: ':ok:all:::' };
    expect(parseConfig(lists)).toMatchObject({
      translateUid: [{ type: 'map', guest: 0, host: 1000, count: 1 }],
      xattrmap: [{ type: 'ok', scope: 'all', key: '', prepend: '' }],
    });
  });

  test('an undefined value is a default', () => {
    expect(parseConfig({ timeout: undefined })).toEqual(DEFAULTS);
  });

  test.each([
    [{ timeout: '5' }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ timeout: NaN }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ timeout: -1 }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ writeback: 'true' }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ maxWrite: '4096' }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ maxDynamicPerm: -1 }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ privilegedQuotaUids: [1, '2'] }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ privilegedQuotaUids: 3 }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ translateUid: {} }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ ugidMap: null }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ xattrmap: 7 }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ killpriv: 2 }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ toString: 1 }, 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    [{ cachePolicy: null }, 'ERR_VIRTIOFS_CONFIG_VALUE_INVALID'],
    [{ cache_policy: 'never' }, 'ERR_VIRTIOFS_CONFIG_KEY_UNKNOWN'],
    [[], 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [5, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
    [null, 'ERR_VIRTIOFS_CONFIG_SYNTAX'],
  ])('%p is refused', async (object, code) => {
    expect(await codeOf(() => parseConfig(object))).toBe(code);
  });
});
