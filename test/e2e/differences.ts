/**
 * Where a share behaves otherwise than a local file system, on purpose: every entry has its reason. All are limits of the
 * guests' kernels, which a device cannot lift.
 */
import type { Difference } from './transcript.js';

const NO_TMPFILE = 'Linux sends FUSE_TMPFILE since 6.2.';
const NO_STATX = 'Linux sends FUSE_STATX since 6.6.';
const NO_MOVED_RANGES = 'fuse_file_fallocate refuses to move ranges before it asks the device.';

function tmpfile(check: string): Difference {
  return { check, guests: ['uml-6.1'], share: '"ENOTSUP"', reason: NO_TMPFILE };
}

/** What a mode of fallocate does to the file of that check: nothing. */
function refused(check: string): Difference {
  const each = '["ENOTSUP", 16, 16, "ABCDEFGHIJKLMNOP"]';
  return { check, share: `[${each}, ${each}, ${each}]`, reason: NO_MOVED_RANGES };
}

export const DIFFERENCES: readonly Difference[] = [
  tmpfile('tmpfile/an unnamed file is written, read and gone'),
  tmpfile('tmpfile/it gets a name'),
  tmpfile('tmpfile/an existing name is refused'),
  tmpfile('tmpfile/with O_EXCL it never gets a name'),
  tmpfile('tmpfile/the umask and the owner'),
  tmpfile('acl/an unnamed file inherits'),
  {
    check: 'statx/the time of birth is that of creation and stays',
    guests: ['uml-6.1'],
    share: '[false, false, true, false]',
    reason: NO_STATX,
  },
  {
    check: 'statx/the time of birth of every type',
    guests: ['uml-6.1'],
    share: '[false, false, false]',
    reason: NO_STATX,
  },
  {
    check: 'statx/attributes of an immutable file',
    share: '[true, false, false]',
    reason: 'Of a reply to FUSE_STATX Linux hands on the basic fields and the time of birth.',
  },
  refused('fallocate/collapsing'),
  refused('fallocate/inserting'),
  {
    check: 'seek/other ways',
    share: '[5, 8, 8, 100, "EINVAL", "EINVAL", "EINVAL", 9223372036854775807, 17592186044416]',
    reason: 'The last two are beyond the largest file of ext4, and FUSE knows no such limit.',
  },
];
