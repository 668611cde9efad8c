"""Control of inode flags, projects, encryption and verity."""
import fcntl
import os
import struct

from framework import Descriptor, as_user, attempt, check, read, write

FS_IOC_GETFLAGS, FS_IOC_SETFLAGS = 0x80086601, 0x40086602
FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR = 0x801C581F, 0x401C5820
FS_IOC_GET_ENCRYPTION_POLICY, FS_IOC_GET_ENCRYPTION_POLICY_EX = 0x400C6615, 0xC0096616
FS_IOC_SET_ENCRYPTION_POLICY = 0x800C6613
FS_IOC_ENABLE_VERITY, FS_IOC_MEASURE_VERITY = 0x40806685, 0xC0046686
FICLONE = 0x40049409
IMMUTABLE, APPEND, NODUMP, NOATIME, SYNC, JOURNALLED = 0x10, 0x20, 0x40, 0x80, 0x8, 0x4000
SHOWN = IMMUTABLE | APPEND | NODUMP | NOATIME | SYNC
XFLAG_IMMUTABLE, XFLAG_APPEND, XFLAG_NOATIME, XFLAG_NODUMP = 0x8, 0x10, 0x40, 0x80


def flags_of(path, mask=SHOWN):
    with Descriptor(path, os.O_RDONLY) as fd:
        result = attempt(fcntl.ioctl, fd, FS_IOC_GETFLAGS, bytes(8))
        return struct.unpack('l', result)[0] & mask if isinstance(result, bytes) else result


def set_flags(path, flags, keep=~SHOWN):
    """Sets the flags that checks look at and leaves the file system's own alone."""
    with Descriptor(path, os.O_RDONLY) as fd:
        old = attempt(fcntl.ioctl, fd, FS_IOC_GETFLAGS, bytes(8))
        old = struct.unpack('l', old)[0] & keep if isinstance(old, bytes) else 0
        result = attempt(fcntl.ioctl, fd, FS_IOC_SETFLAGS, struct.pack('l', old | flags))
        return 'ok' if isinstance(result, bytes) else result


def extended(path):
    """Flags and project of FSGETXATTR."""
    with Descriptor(path, os.O_RDONLY) as fd:
        result = attempt(fcntl.ioctl, fd, FS_IOC_FSGETXATTR, bytes(28))
    if not isinstance(result, bytes):
        return result
    flags, size, extents, project, cow = struct.unpack('5I8x', result)
    return [flags & 0xD8, size, project, cow]


def set_extended(path, flags, project=0):
    with Descriptor(path, os.O_RDONLY) as fd:
        result = attempt(fcntl.ioctl, fd, FS_IOC_FSSETXATTR, struct.pack('5I8x', flags, 0, 0, project, 0))
        return 'ok' if isinstance(result, bytes) else result


@check('ioctl', 'flags of a file come back')
def _(directory):
    path = write(f'{directory}/file')
    seen = [flags_of(path)]
    for flags in (NODUMP, NOATIME, NODUMP | SYNC, 0):
        seen.append([set_flags(path, flags), flags_of(path)])
    return seen


@check('ioctl', 'flags of a directory come back and are inherited')
def _(directory):
    path = f'{directory}/folder'
    os.mkdir(path)
    seen = [set_flags(path, NODUMP | NOATIME), flags_of(path)]
    write(f'{path}/file')
    os.mkdir(f'{path}/folder')
    return seen + [flags_of(f'{path}/file'), flags_of(f'{path}/folder')]


@check('ioctl', 'an immutable file')
def _(directory):
    path = write(f'{directory}/file', b'kept')
    seen = [set_flags(path, IMMUTABLE), flags_of(path)]
    seen += [
        attempt(write, path, b'new'),
        attempt(os.truncate, path, 0),
        attempt(os.chmod, path, 0o600),
        attempt(os.chown, path, 1, 1),
        attempt(os.utime, path, (1, 1)),
        attempt(os.link, path, f'{directory}/link'),
        attempt(os.rename, path, f'{directory}/renamed'),
        attempt(os.unlink, path),
        attempt(os.setxattr, path, 'user.a', b'v'),
        read(path),
    ]
    return seen + [set_flags(path, 0), attempt(os.unlink, path)]


@check('ioctl', 'an append-only file')
def _(directory):
    path = write(f'{directory}/file', b'first')
    seen = [set_flags(path, APPEND), flags_of(path), attempt(os.open, path, os.O_WRONLY), attempt(os.truncate, path, 0)]
    try:
        with Descriptor(path, os.O_WRONLY | os.O_APPEND) as fd:
            seen.append(attempt(os.write, fd, b' second'))
        seen += [attempt(os.unlink, path), read(path)]
    finally:
        seen.append(set_flags(path, 0))
    return seen


@check('ioctl', 'an immutable directory')
def _(directory):
    path = f'{directory}/folder'
    os.mkdir(path)
    write(f'{path}/file', b'x')
    seen = [set_flags(path, IMMUTABLE), attempt(write, f'{path}/new'), attempt(os.unlink, f'{path}/file')]
    seen += [attempt(os.mkdir, f'{path}/sub'), attempt(os.rename, f'{path}/file', f'{directory}/out')]
    with Descriptor(f'{path}/file') as fd:
        seen.append(attempt(os.write, fd, b'written'))
    return seen + [set_flags(path, 0)]


@check('ioctl', 'the extended form says the same')
def _(directory):
    path = write(f'{directory}/file')
    seen = [extended(path), set_flags(path, NODUMP | NOATIME), extended(path)]
    seen += [set_extended(path, XFLAG_APPEND), flags_of(path), extended(path)]
    return seen + [set_extended(path, 0), flags_of(path)]


@check('ioctl', 'what other users may do')
def _(directory):
    path = write(f'{directory}/file', mode=0o644)

    def tries():
        return [flags_of(path), set_flags(path, NODUMP), extended(path), set_extended(path, XFLAG_NODUMP)]

    stranger = as_user(tries)
    os.chown(path, 1000, 1000)
    return [stranger, as_user(tries), as_user(lambda: set_flags(path, IMMUTABLE))]


@check('ioctl', 'encryption, verity and clones where the file system has none')
def _(directory):
    path = write(f'{directory}/file', b'x' * 4096)
    target = write(f'{directory}/target')
    os.mkdir(f'{directory}/folder')
    with Descriptor(path, os.O_RDONLY) as fd, Descriptor(target) as out:
        with Descriptor(f'{directory}/folder', os.O_RDONLY) as folder:
            return [
                attempt(fcntl.ioctl, out, FICLONE, fd),
                attempt(fcntl.ioctl, fd, FS_IOC_MEASURE_VERITY, struct.pack('HH64x', 0, 64)),
                attempt(fcntl.ioctl, folder, FS_IOC_ENABLE_VERITY, bytes(128)),
            ]


@check('ioctl', 'encryption policy of a directory')
def _(directory):
    with Descriptor(directory, os.O_RDONLY) as fd:
        return [
            attempt(fcntl.ioctl, fd, FS_IOC_GET_ENCRYPTION_POLICY, bytes(12)),
            attempt(fcntl.ioctl, fd, FS_IOC_GET_ENCRYPTION_POLICY_EX, struct.pack('Q', 24) + bytes(24)),
            attempt(fcntl.ioctl, fd, FS_IOC_SET_ENCRYPTION_POLICY, bytes(12)),
        ]


@check('ioctl', 'one that nobody knows')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd, Descriptor(directory, os.O_RDONLY) as folder:
        return [
            attempt(fcntl.ioctl, each, number, bytes(8))
            for each in (fd, folder)
            for number in (0x40087A7A, 0x5401, 0x7A7A)
        ]


@check('ioctl', 'of a fifo and a symbolic link')
def _(directory):
    os.mkfifo(f'{directory}/fifo')
    os.symlink('x', f'{directory}/link')
    with Descriptor(f'{directory}/fifo', os.O_RDWR) as fd, Descriptor(
        f'{directory}/link', os.O_PATH | os.O_NOFOLLOW
    ) as link:
        return [attempt(fcntl.ioctl, each, FS_IOC_GETFLAGS, bytes(8)) for each in (fd, link)]
