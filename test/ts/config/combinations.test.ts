import { describe, expect, test } from '@jest/globals';
import { config } from '../support/internal.js';
import { codeOf, messageOf } from '../support/with-fake.js';

const { parseConfig } = config;

describe('keys that exclude each other', () => {
  test.each([
    ['ascii_casefold,negative_timeout=1', 'ascii_casefold', 'negative_timeout'],
    ['xattr=false,posix_acl', 'posix_acl', 'xattr'],
    ['xattr=false,security_ctx', 'security_ctx', 'xattr'],
    ['xattr=false,rewrite_security_xattrs', 'rewrite_security_xattrs', 'xattr'],
    ['xattr=false,override_stat', 'override_stat', 'xattr'],
    ['xattr=false,xattrmap=:ok:all:::', 'xattrmap', 'xattr'],
    ['rewrite_security_xattrs,xattrmap=:ok:all:::', 'rewrite_security_xattrs', 'xattrmap'],
    ['posix_acl,xattrmap=:map::user.virtiofs.:', 'posix_acl', 'xattrmap'],
    ['posix_acl,xattrmap=:bad:client:system.::/ok/all///', 'posix_acl', 'xattrmap'],
    ['posix_acl,xattrmap=:ok:client:user.::', 'posix_acl', 'xattrmap'],
    ['security_ctx,xattrmap=:bad:all:security.selinux:::ok:all:::', 'security_ctx', 'xattrmap'],
    ['posix_acl,translate_uid=map:0:1:1', 'posix_acl', 'translate_uid'],
    ['posix_acl,translate_gid=map:0:1:1', 'posix_acl', 'translate_gid'],
    ['override_stat,translate_uid=map:0:1:1', 'override_stat', 'translate_uid'],
    ['override_stat,translate_gid=map:0:1:1', 'override_stat', 'translate_gid'],
    ['ugid_map=0 0 0 0 0 /,translate_uid=map:0:1:1', 'ugid_map', 'translate_uid'],
    ['ugid_map=0 0 0 0 0 /,translate_gid=map:0:1:1', 'ugid_map', 'translate_gid'],
    ['override_stat,posix_acl', 'override_stat', 'posix_acl'],
    ['override_stat,ugid_map=0 0 0 0 0 /', 'override_stat', 'ugid_map'],
  ])('%s', async (text, one, other) => {
    expect(await codeOf(() => parseConfig(text))).toBe('ERR_VIRTIOFS_CONFIG_CONFLICT');
    expect(messageOf(() => parseConfig(text))).toContain(`: "${one}" and "${other}": `);
  });

  test('an object hears the names of its properties', () => {
    const object = { asciiCasefold: true, negativeTimeout: 1 };
    expect(messageOf(() => parseConfig(object))).toContain('"asciiCasefold" and "negativeTimeout": ');
  });

  test.each([
    'ascii_casefold,negative_timeout=0',
    'xattr=false,posix_acl=false,security_ctx=false',
    'posix_acl,xattrmap=:map:trusted.:user.virtiofs.:',
    'security_ctx,xattrmap=:map:security.selinux:trusted.virtiofs.:',
    'posix_acl,ugid_map=0 0 0 0 0 /',
    'posix_acl=false,translate_uid=map:0:1:1',
    'killpriv=v2,writeback',
    'cache=always,zero_message_open,writeback,posix_locks',
    'max_dynamic_perm=1,ugid_map=0 0 0 0 0 /',
    'max_dynamic_xattr=65535,privileged_quota_uids=0 1000 0x2',
  ])('%s is possible', (text) => {
    expect(parseConfig(text)).toMatchObject({ useDax: false });
  });
});

describe('defaults that yield to other keys', () => {
  test.each([
    ['posix_acl', 'translate_uid=map:0:1:1', { posixAcl: false, securityCtx: true }],
    ['posix_acl', 'translate_gid=squash-host:0:1:9', { posixAcl: false, securityCtx: true }],
    ['posix_acl', 'override_stat', { posixAcl: false, securityCtx: true }],
    ['posix_acl', 'xattrmap=:map:system.:user.:', { posixAcl: false, securityCtx: true }],
    [
      'security_ctx',
      'xattrmap=:unsupported:all:security.:security.:/ok/all///',
      { posixAcl: true, securityCtx: false },
    ],
    ['security_ctx', 'max_dynamic_xattr=1', { posixAcl: true, securityCtx: false }],
    ['both', 'xattr=false', { posixAcl: false, securityCtx: false }],
    ['none', 'xattrmap=:map:security.selinux:trusted.virtiofs.:', { posixAcl: true, securityCtx: true }],
    ['none', 'rewrite_security_xattrs', { posixAcl: true, securityCtx: true }],
  ])('%s, with %s', (_yielding, text, expected) => {
    expect(parseConfig(text)).toMatchObject(expected);
  });
});

describe('what is not there', () => {
  test.each([
    ['dax', 'use_dax'],
    ['use_dax=true', 'use_dax'],
  ])('%s is refused by name', async (text, key) => {
    expect(await codeOf(() => parseConfig(text))).toBe('ERR_VIRTIOFS_NOT_SUPPORTED');
    expect(messageOf(() => parseConfig(text))).toMatch(new RegExp(`"${key}": .* is not there`));
  });

  test('its default is accepted', () => {
    expect(parseConfig('dax=false')).toEqual(parseConfig(''));
  });

  test('so it is in an object', async () => {
    expect(await codeOf(() => parseConfig({ useDax: true }))).toBe('ERR_VIRTIOFS_NOT_SUPPORTED');
  });
});
