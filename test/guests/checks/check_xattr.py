"""Extended attributes on every type of file."""
import os
import socket
import struct

from framework import Descriptor, as_user, attempt, check, write
from syscalls import XATTR_CREATE, XATTR_REPLACE, setxattr

CAPABILITY = struct.pack('<5I', 0x02000001, 1 << 10, 0, 0, 0)


def everything(directory):
    """A path of every type of file."""
    paths = {
        name: os.path.join(directory, name) for name in ('file', 'directory', 'symlink', 'fifo', 'device', 'socket')
    }
    write(paths['file'])
    os.mkdir(paths['directory'])
    os.symlink('file', paths['symlink'])
    os.mkfifo(paths['fifo'])
    os.mknod(paths['device'], 0o20644, os.makedev(1, 3))
    here = os.getcwd()
    os.chdir(directory)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind('socket')
    os.chdir(here)
    return paths


def on_everything(namespace):
    def run(directory):
        results = {}
        for kind, path in everything(directory).items():
            name = f'{namespace}.one'
            results[kind] = [
                attempt(os.setxattr, path, name, b'value', follow_symlinks=False),
                attempt(os.getxattr, path, name, follow_symlinks=False),
                attempt(lambda path=path: sorted(os.listxattr(path, follow_symlinks=False))),
                attempt(os.removexattr, path, name, follow_symlinks=False),
                attempt(os.getxattr, path, name, follow_symlinks=False),
            ]
        return results

    return run


for namespace in ('user', 'trusted', 'security', 'system', 'unknown', ''):
    check('xattr', f'{namespace or "nameless"} attributes on every type of file')(on_everything(namespace))


@check('xattr', 'every byte of a value comes back')
def _(directory):
    path = write(f'{directory}/file')
    value = bytes(range(256)) * 8
    os.setxattr(path, 'user.bytes', value)
    return os.getxattr(path, 'user.bytes') == value


@check('xattr', 'an empty value exists')
def _(directory):
    path = write(f'{directory}/file')
    os.setxattr(path, 'user.empty', b'')
    return [os.getxattr(path, 'user.empty'), os.listxattr(path)]


@check('xattr', 'create and replace flags')
def _(directory):
    path = write(f'{directory}/file')
    return [
        attempt(setxattr, path, 'user.a', b'1', XATTR_REPLACE),
        attempt(setxattr, path, 'user.a', b'2', XATTR_CREATE),
        attempt(setxattr, path, 'user.a', b'3', XATTR_CREATE),
        attempt(setxattr, path, 'user.a', b'4', XATTR_REPLACE),
        attempt(setxattr, path, 'user.a', b'5', XATTR_CREATE | XATTR_REPLACE),
        attempt(setxattr, path, 'user.a', b'5', 4),
        os.getxattr(path, 'user.a'),
    ]


@check('xattr', 'a value shrinks and grows')
def _(directory):
    path = write(f'{directory}/file')
    seen = []
    for size in (10, 1000, 1, 2000, 0):
        os.setxattr(path, 'user.size', b'x' * size)
        seen.append(len(os.getxattr(path, 'user.size')))
    return seen


@check('xattr', 'names and values at the limits')
def _(directory):
    path = write(f'{directory}/file')
    return [
        attempt(setxattr, path, 'user.' + 'n' * 250, b'v'),
        attempt(setxattr, path, 'user.' + 'n' * 251, b'v'),
        attempt(setxattr, path, 'user.', b'v'),
        attempt(setxattr, path, 'user.big', b'v' * 65537),
        attempt(setxattr, path, b'user.\xff\xfe', b'v'),
        attempt(os.getxattr, path, b'user.\xff\xfe'),
    ]


@check('xattr', 'a buffer that is too small')
def _(directory):
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    path = os.fsencode(write(f'{directory}/file'))
    os.setxattr(path, 'user.long', b'0123456789')
    small = ctypes.create_string_buffer(5)
    results = []
    for size in (0, 5):
        results.append(libc.getxattr(path, b'user.long', small if size else None, size))
        results.append(ctypes.get_errno())
        results.append(libc.listxattr(path, small if size else None, size))
        results.append(ctypes.get_errno())
        ctypes.set_errno(0)
    return results


@check('xattr', 'many attributes are all listed')
def _(directory):
    path = write(f'{directory}/file')
    for number in range(60):
        os.setxattr(path, f'user.number-{number}', b'%d' % number)
    return [len(os.listxattr(path)), sorted(os.listxattr(path))[:3], os.getxattr(path, 'user.number-59')]


@check('xattr', 'through an open file, also one that has no name any more')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        os.setxattr(fd, 'user.open', b'1')
        os.unlink(path)
        os.setxattr(fd, 'user.gone', b'2')
        return [sorted(os.listxattr(fd)), os.getxattr(fd, 'user.open'), attempt(os.removexattr, fd, 'user.open')]


@check('xattr', 'hard links share them and a rename keeps them')
def _(directory):
    path = write(f'{directory}/file')
    os.setxattr(path, 'user.shared', b'yes')
    os.link(path, f'{directory}/link')
    os.rename(path, f'{directory}/renamed')
    return [os.getxattr(f'{directory}/link', 'user.shared'), os.getxattr(f'{directory}/renamed', 'user.shared')]


@check('xattr', 'a symbolic link is followed or not')
def _(directory):
    write(f'{directory}/file')
    os.symlink('file', f'{directory}/link')
    os.setxattr(f'{directory}/link', 'user.target', b'file')
    os.setxattr(f'{directory}/link', 'trusted.own', b'link', follow_symlinks=False)
    return [
        os.listxattr(f'{directory}/file'),
        os.listxattr(f'{directory}/link', follow_symlinks=False),
        attempt(os.getxattr, f'{directory}/link', 'trusted.own'),
    ]


@check('xattr', 'what another user may do')
def _(directory):
    path = write(f'{directory}/file')
    os.setxattr(path, 'user.seen', b'v')
    os.setxattr(path, 'trusted.hidden', b'v')
    return as_user(
        lambda: [
            attempt(os.getxattr, path, 'user.seen'),
            attempt(os.setxattr, path, 'user.seen', b'w'),
            attempt(os.removexattr, path, 'user.seen'),
            attempt(os.getxattr, path, 'trusted.hidden'),
            attempt(os.setxattr, path, 'trusted.new', b'w'),
            attempt(os.setxattr, path, 'security.new', b'w'),
            os.listxattr(path),
        ]
    )


@check('xattr', 'an owner without read permission')
def _(directory):
    path = write(f'{directory}/file', mode=0o200)
    os.chown(path, 1000, 1000)
    return as_user(lambda: [attempt(os.setxattr, path, 'user.a', b'v'), attempt(os.getxattr, path, 'user.a')])


@check('xattr', 'in a sticky directory of another user')
def _(directory):
    path = f'{directory}/sticky'
    os.mkdir(path)
    os.chmod(path, 0o1777)
    return as_user(lambda: attempt(os.setxattr, path, 'user.a', b'v'))


@check('xattr', 'a changed attribute changes the change time')
def _(directory):
    path = write(f'{directory}/file')
    before = os.stat(path)
    import time

    time.sleep(0.05)
    os.setxattr(path, 'user.a', b'v')
    after = os.stat(path)
    return [after.st_ctime_ns > before.st_ctime_ns, after.st_mtime_ns == before.st_mtime_ns]


@check('xattr', 'file capabilities are kept, shown and taken away by a write')
def _(directory):
    path = write(f'{directory}/file', b'#!/bin/true\n', 0o755)
    seen = [attempt(os.setxattr, path, 'security.capability', CAPABILITY)]
    seen.append(attempt(os.getxattr, path, 'security.capability'))
    seen.append(attempt(os.setxattr, path, 'security.capability', b'nonsense'))
    os.chmod(path, 0o777)
    with Descriptor(path, os.O_WRONLY) as fd:
        os.write(fd, b'x')
    seen.append(attempt(os.getxattr, path, 'security.capability'))
    return seen


@check('xattr', 'file capabilities are taken away by truncation and by a new owner')
def _(directory):
    seen = []
    for change in (lambda path: os.truncate(path, 1), lambda path: os.chown(path, 5, 5)):
        path = write(f'{directory}/file', b'content', 0o755)
        os.setxattr(path, 'security.capability', CAPABILITY)
        change(path)
        seen.append(attempt(os.getxattr, path, 'security.capability'))
        os.unlink(path)
    return seen
