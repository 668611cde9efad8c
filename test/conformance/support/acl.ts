/** POSIX ACLs as they stand in system.posix_acl_access and system.posix_acl_default (acl(5), version 2). */

const TAGS = { user: 0x01, namedUser: 0x02, group: 0x04, namedGroup: 0x08, mask: 0x10, other: 0x20 } as const;

/** `[tag, permissions, id?]`, in the order of the tags. */
export type AclEntry = readonly [tag: keyof typeof TAGS, permissions: number, id?: number];

export const ACCESS_ACL = 'system.posix_acl_access';
export const DEFAULT_ACL = 'system.posix_acl_default';

export function encodeAcl(entries: readonly AclEntry[]): Buffer {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, permissions, id]] of entries.entries()) {
    const at = 4 + 8 * index;
    bytes.writeUInt16LE(TAGS[tag], at);
    bytes.writeUInt16LE(permissions, at + 2);
    bytes.writeUInt32LE(id ?? 0xffff_ffff, at + 4);
  }
  return bytes;
}
