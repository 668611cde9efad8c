"""What stat and statx say: times, birth, links, modes."""
import os
import time

from framework import Descriptor, as_user, attempt, check, mode_of, read, write
from syscalls import AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, STATX_BTIME, STATX_MNT_ID, Statx, utimensat

UTIME_NOW, UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2
A_MOMENT = 0.05
AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC = 0x2000, 0x4000


def changed(path, action, follow=True):
    """Which of the three times an action changes."""
    os.utime(path, (10**9, 10**9), follow_symlinks=follow)
    before = os.stat(path, follow_symlinks=follow)
    time.sleep(A_MOMENT)
    result = attempt(action)
    after = os.stat(path, follow_symlinks=follow)
    names = [
        name
        for name in ('atime', 'mtime', 'ctime')
        if getattr(before, f'st_{name}_ns') != getattr(after, f'st_{name}_ns')
    ]
    return [result if isinstance(result, str) and result.isupper() else 'done', names]


@check('times', 'what changes which time of a file')
def _(directory):
    path = write(f'{directory}/file', b'content')
    os.mkdir(f'{directory}/folder')

    def write_more():
        with Descriptor(path, os.O_WRONLY) as fd:
            os.write(fd, b'more')

    def map_shared():
        import mmap

        with Descriptor(path) as fd, mmap.mmap(fd, 4) as memory:
            memory[0:1] = b'm'
            memory.flush()
            os.fsync(fd)

    actions = {
        'nothing': lambda: None,
        'write': write_more,
        'write nothing': lambda: os.close(os.open(path, os.O_WRONLY)),
        'truncate': lambda: os.truncate(path, 3),
        'truncate to the same size': lambda: os.truncate(path, 3),
        'open with O_TRUNC': lambda: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)),
        'open an empty file with O_TRUNC': lambda: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)),
        'chmod': lambda: os.chmod(path, 0o600),
        'chown': lambda: os.chown(path, 0, 0),
        'link': lambda: os.link(path, f'{directory}/link'),
        'unlink of another name': lambda: os.unlink(f'{directory}/link'),
        'rename': lambda: (os.rename(path, f'{directory}/other'), os.rename(f'{directory}/other', path)),
        'stat': lambda: os.stat(path),
        'map': lambda: (write_more(), map_shared()),
    }
    return {name: changed(path, action) for name, action in actions.items()}


@check('times', 'what changes which time of a directory')
def _(directory):
    path = f'{directory}/folder'
    os.mkdir(path)
    actions = {
        'create': lambda: write(f'{path}/file'),
        'write into the file': lambda: write(f'{path}/file', b'x'),
        'make a directory': lambda: os.mkdir(f'{path}/sub'),
        'create in the directory below': lambda: write(f'{path}/sub/file'),
        'symlink': lambda: os.symlink('x', f'{path}/symlink'),
        'link': lambda: os.link(f'{path}/file', f'{path}/link'),
        'rename': lambda: os.rename(f'{path}/link', f'{path}/renamed'),
        'unlink': lambda: os.unlink(f'{path}/renamed'),
        'failed creation': lambda: os.mkdir(f'{path}/sub'),
        'chmod': lambda: os.chmod(path, 0o700),
    }
    return {name: changed(path, action) for name, action in actions.items()}


@check('times', 'set to the nanosecond')
def _(directory):
    path = write(f'{directory}/file')
    os.utime(path, ns=(1_234_567_890_123_456_789, 987_654_321_987_654_321))
    status = os.stat(path)
    return [status.st_atime_ns, status.st_mtime_ns]


@check('times', 'before 1970 and far ahead')
def _(directory):
    path = write(f'{directory}/file')
    seen = []
    for seconds in (-1, -(2**31), 2**32, 2**33, 2**34, 2**40):
        result = attempt(os.utime, path, ns=(seconds * 10**9, seconds * 10**9 + 5))
        seen.append([result, os.stat(path).st_mtime_ns])
    return seen


@check('times', 'now, and left as it is')
def _(directory):
    path = write(f'{directory}/file')
    os.utime(path, (100, 200))
    utimensat(path, (0, UTIME_OMIT), (300, 7))
    omitted = [os.stat(path).st_atime, os.stat(path).st_mtime_ns]
    utimensat(path, (0, UTIME_NOW), (0, UTIME_OMIT))
    status = os.stat(path)
    now = [abs(status.st_atime - time.time()) < 60, status.st_mtime_ns]
    return [omitted, now, attempt(utimensat, path, (0, 10**9), (0, 0))]


@check('times', 'of a symbolic link itself')
def _(directory):
    path = write(f'{directory}/file')
    os.utime(path, (5, 6))
    os.symlink('file', f'{directory}/link')
    utimensat(f'{directory}/link', (100, 0), (200, 9), AT_SYMLINK_NOFOLLOW)
    return [os.lstat(f'{directory}/link').st_mtime_ns, os.stat(path).st_mtime]


@check('times', 'set by others')
def _(directory):
    path = write(f'{directory}/file', mode=0o666)

    def tries():
        return [attempt(os.utime, path), attempt(os.utime, path, (1, 2)), attempt(os.utime, directory)]

    return [as_user(tries), int(os.stat(path).st_mtime) != 2]


@check('times', 'a read of a file changes its access time as relatime says')
def _(directory):
    path = write(f'{directory}/file', b'content')
    return changed(path, lambda: len(read(path)))


@check('statx', 'the time of birth is that of creation and stays')
def _(directory):
    before = time.time_ns()
    path = write(f'{directory}/file', b'x')
    first = Statx(path)
    time.sleep(A_MOMENT)
    write(path, b'more')
    os.chmod(path, 0o600)
    os.utime(path, (1, 1))
    os.rename(path, f'{directory}/renamed')
    second = Statx(f'{directory}/renamed')
    near = abs(first.btime - before) < 60 * 10**9
    return [bool(first.mask & STATX_BTIME), near, first.btime == second.btime, second.btime > second.mtime]


@check('statx', 'the time of birth of every type')
def _(directory):
    os.mkdir(f'{directory}/directory')
    os.symlink('x', f'{directory}/symlink')
    os.mkfifo(f'{directory}/fifo')
    return [bool(Statx(f'{directory}/{name}').mask & STATX_BTIME) for name in ('directory', 'symlink', 'fifo')]


@check('statx', 'says what stat says')
def _(directory):
    path = write(f'{directory}/file', b'content', 0o640)
    os.chown(path, 5, 6)
    os.link(path, f'{directory}/link')
    known, status = Statx(path), os.stat(path)
    return [
        known.mask & STATX_BASIC_STATS,
        bool(known.mask & STATX_MNT_ID),
        [known.uid, known.gid, oct(known.mode), known.links, known.size],
        known.inode == status.st_ino,
        known.blocks == status.st_blocks,
        [known.atime, known.mtime, known.ctime] == [status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns],
        Statx(path, flags=AT_STATX_FORCE_SYNC).size,
        Statx(path, flags=AT_STATX_DONT_SYNC).size,
    ]


@check('statx', 'all names are on one mount')
def _(directory):
    path = write(f'{directory}/file')
    os.mkdir(f'{directory}/folder')
    return len({Statx(each).mount for each in (path, directory, f'{directory}/folder')})


@check('statx', 'attributes of an immutable file')
def _(directory):
    import fcntl
    import struct

    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        set_flags = attempt(fcntl.ioctl, fd, 0x40086602, struct.pack('l', 0x10))
        try:
            known = Statx(path)
        finally:
            attempt(fcntl.ioctl, fd, 0x40086602, struct.pack('l', 0))
    return [isinstance(set_flags, bytes), bool(known.attributes & 0x10), bool(known.attributes_mask & 0x10)]


@check('status', 'modes as they are given, and the umask')
def _(directory):
    seen = []
    for number, (mask, mode) in enumerate(
        ((0o000, 0o777), (0o022, 0o777), (0o077, 0o666), (0o777, 0o777), (0o022, 0o7777))
    ):
        os.umask(mask)
        write(f'{directory}/file{number}', mode=mode)
        os.mkdir(f'{directory}/directory{number}', mode)
        os.mknod(f'{directory}/node{number}', 0o100000 | mode)
        seen.append([mode_of(f'{directory}/{kind}{number}') for kind in ('file', 'directory', 'node')])
    return seen


@check('status', 'the owner of what is made')
def _(directory):
    os.chmod(directory, 0o777)

    def make():
        write(f'{directory}/file')
        os.mkdir(f'{directory}/folder')
        os.symlink('x', f'{directory}/link')
        os.mkfifo(f'{directory}/fifo')

    as_user(make, 1000, 2000, (3000,))
    return [
        [os.lstat(f'{directory}/{name}').st_uid, os.lstat(f'{directory}/{name}').st_gid]
        for name in ('file', 'folder', 'link', 'fifo')
    ]


@check('status', 'a supplementary group lets in')
def _(directory):
    os.mkdir(f'{directory}/folder')
    os.chown(f'{directory}/folder', 0, 3000)
    os.chmod(f'{directory}/folder', 0o770)
    os.chmod(directory, 0o755)
    inside = as_user(lambda: attempt(write, f'{directory}/folder/his') != 'EACCES', 1000, 1000, (3000,))
    return [inside, as_user(lambda: attempt(os.listdir, f'{directory}/folder'), 1000, 1000)]


@check('status', 'permissions of other users')
def _(directory):
    os.chmod(directory, 0o755)
    path = write(f'{directory}/file', b'x', 0o640)
    os.chown(path, 0, 2000)
    os.mkdir(f'{directory}/closed', 0o711)
    write(f'{directory}/closed/known', b'y')

    def tries():
        return [
            attempt(read, path),
            attempt(os.truncate, path, 0),
            attempt(os.chmod, path, 0o777),
            attempt(os.chown, path, 1000, -1),
            attempt(os.listdir, f'{directory}/closed'),
            attempt(read, f'{directory}/closed/known'),
            attempt(os.unlink, path),
            attempt(write, f'{directory}/new'),
            attempt(os.link, path, f'{directory}/link'),
            os.access(path, os.R_OK),
            os.access(path, os.W_OK),
        ]

    return [as_user(tries), as_user(tries, 1000, 2000)]


@check('status', 'a sticky directory protects')
def _(directory):
    os.chmod(directory, 0o1777)
    write(f'{directory}/root', b'x', 0o666)
    as_user(lambda: write(f'{directory}/his'))
    return as_user(
        lambda: [
            attempt(os.unlink, f'{directory}/root'),
            attempt(os.rename, f'{directory}/root', f'{directory}/mine'),
            attempt(os.rename, f'{directory}/his', f'{directory}/root'),
            attempt(os.unlink, f'{directory}/his'),
        ]
    )


@check('status', 'links are counted')
def _(directory):
    os.mkdir(f'{directory}/folder')
    counts = [os.stat(f'{directory}/folder').st_nlink]
    os.mkdir(f'{directory}/folder/sub')
    counts.append(os.stat(f'{directory}/folder').st_nlink)
    os.rmdir(f'{directory}/folder/sub')
    return counts + [os.stat(f'{directory}/folder').st_nlink]
