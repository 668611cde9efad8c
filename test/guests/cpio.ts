/** Writes the archive format that Linux unpacks as its initial file system: cpio "newc" (driver-api/early-userspace in its documentation). */

export interface CpioEntry {
  /** Relative to the root, without a leading slash; its parents must come before it. */
  readonly name: string;
  /** File type and permissions, as in st_mode. */
  readonly mode: number;
  readonly content?: Uint8Array;
  /** Of a device node. */
  readonly device?: { readonly major: number; readonly minor: number };
}

export const MODE_DIRECTORY = 0o40755;
export const MODE_PROGRAM = 0o100755;
export const MODE_FILE = 0o100644;
export const MODE_CHARACTER_DEVICE = 0o20600;

const MAGIC = '070701';
const ALIGNMENT = 4;

function padding(length: number): Buffer {
  return Buffer.alloc((ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT);
}

function encode({ name, mode, content = new Uint8Array(), device }: CpioEntry, inode: number): Buffer {
  const nameBytes = Buffer.from(`${name}\0`);
  const uid = 0;
  const gid = 0;
  const links = 1;
  const modified = 0;
  const checksum = 0;
  const ownDevice = [0, 0];
  const nodeDevice = [device?.major ?? 0, device?.minor ?? 0];
  const numbers = [inode, mode, uid, gid, links, modified, content.length, ...ownDevice, ...nodeDevice];
  const fields = [...numbers, nameBytes.length, checksum].map((value) => value.toString(16).padStart(8, '0'));
  const header = Buffer.concat([Buffer.from(MAGIC + fields.join('')), nameBytes]);
  return Buffer.concat([header, padding(header.length), content, padding(content.length)]);
}

export function cpioArchive(entries: readonly CpioEntry[]): Buffer {
  const encoded = entries.map((entry, index) => encode(entry, index + 1));
  return Buffer.concat([...encoded, encode({ name: 'TRAILER!!!', mode: 0 }, 0)]);
}
