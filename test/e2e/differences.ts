/**
 * Where a share behaves otherwise than a local file system, on purpose: every entry has its reason. All are limits of the
 * guests' kernels, which a device cannot lift.
 */
import type { Difference } from './transcript.js';

const NO_STATX = 'Linux sends FUSE_STATX since 6.6.';
const NO_MOVED_RANGES = 'fuse_file_fallocate refuses to move ranges before it asks the device.';

/** What setting, reading, listing and removing one twice says of each type. */
function userAttributes(types: Readonly<Record<string, boolean>>): string {
  const one = (allowed: boolean): string =>
    allowed ? `["ok", "b'value'", ["user.one"], "ok", "ENODATA"]` : '["EPERM", "ENODATA", [], "EPERM", "ENODATA"]';
  const all = Object.entries(types).map(([type, allowed]) => `"${type}": ${one(allowed)}`);
  return `{${all.join(', ')}}`;
}

/** What a mode of fallocate does to the file of that check: nothing. */
function refused(check: string): Difference {
  const each = '["ENOTSUP", 16, 16, "ABCDEFGHIJKLMNOP"]';
  return { check, share: `[${each}, ${each}, ${each}]`, reason: NO_MOVED_RANGES };
}

/** A share with locks of the host. */
function notInterrupted(check: string): Difference {
  const reason =
    "Linux's virtio-fs driver sends no FUSE_INTERRUPT: who waits for a lock sees his signals when he has it.";
  return { check, config: 'posix_locks', share: 'did not end', reason };
}

/** A share on which the guest collects writes. */
function collected(check: string, share: string, reason: string): Difference {
  return { check, config: 'writeback', share, reason };
}

const WHOLE_FILES_ARE_DATA =
  'The host does not know what the guest has collected, so it is not asked for holes, and all of a file is data.';
const OWN_TIMES = 'A guest that collects writes has the last word on times of files, and keeps what it has.';

export const DIFFERENCES: readonly Difference[] = [
  notInterrupted('locks/fcntl: a signal ends the waiting'),
  notInterrupted('locks/flock: a signal ends the waiting'),
  notInterrupted('locks/fcntl: a killed waiter does not get the lock'),
  collected(
    'seek/data and holes',
    '{"data": [0, 100, 65536, 81920, 286720, 409600, 524287, "ENXIO", "ENXIO"], "hole": [524288, 524288, 524288, 524288, 524288, 524288, 524288, "ENXIO", "ENXIO"]}',
    WHOLE_FILES_ARE_DATA,
  ),
  collected('seek/data and holes after punching', '[16, 4, 12]', WHOLE_FILES_ARE_DATA),
  collected(
    'space/a hole takes no blocks and a written block does',
    '[0, 0, 4096]',
    'What the guest has collected takes no space on the host yet.',
  ),
  collected(
    'times/a read of a file changes its access time as relatime says',
    '["done", []]',
    'The host changes the access time, and a guest that may keep attributes for an hour does not ask.',
  ),
  collected(
    'times/before 1970 and far ahead',
    '[["ok", -999999995], ["ok", -2147483647999999995], ["ok", 4294967296000000005], ["ok", 8589934592000000005], ["ok", 17179869184000000005], ["ok", 1099511627776000000005]]',
    `${OWN_TIMES} FUSE has no limits for them, and the host's file system has.`,
  ),
  collected(
    'times/what changes which time of a file',
    '{"nothing": ["done", []], "write": ["done", ["mtime", "ctime"]], "write nothing": ["done", []], "truncate": ["done", ["mtime", "ctime"]], "truncate to the same size": ["done", []], "open with O_TRUNC": ["done", ["mtime", "ctime"]], "open an empty file with O_TRUNC": ["done", ["mtime", "ctime"]], "chmod": ["done", ["ctime"]], "chown": ["done", ["ctime"]], "link": ["done", ["ctime"]], "unlink of another name": ["done", ["ctime"]], "rename": ["done", ["ctime"]], "stat": ["done", []], "map": ["done", ["mtime", "ctime"]]}',
    `${OWN_TIMES} Truncating to the same size is no change to it.`,
  ),
  {
    check: 'setid/a member of the group may make set-group-id files in such a directory',
    guests: ['uml-6.1'],
    share: '["ok", "0755", "2755", 2000]',
    reason: 'Linux says which of its groups makes the caller a member since 6.3 (CREATE_SUPP_GROUP).',
  },
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
  {
    check: 'ioctl/encryption policy of a directory',
    share: '["ENOTTY", "ENOTSUP", "ENOTTY"]',
    reason:
      'By their numbers the first only writes and the third only reads, which is the wrong way round, and Linux sends what the numbers say.',
  },
  {
    check: 'xattr/user attributes on every type of file',
    guests: ['uml-sid'],
    share: userAttributes({ file: true, directory: true, symlink: false, fifo: false, device: false, socket: false }),
    reason: 'Sockets have user attributes since Linux 7, and the kernel of the host, which decides, may be older.',
  },
  refused('fallocate/collapsing'),
  refused('fallocate/inserting'),
  {
    check: 'seek/other ways',
    share: '[5, 8, 8, 100, "EINVAL", "EINVAL", "EINVAL", 9223372036854775807, 17592186044416]',
    reason: 'The last two are beyond the largest file of ext4, and FUSE knows no such limit.',
  },
];
