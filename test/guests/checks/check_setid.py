"""When set-user-id and set-group-id go away, and when they do not."""
import os

from framework import Descriptor, as_user, attempt, check, mode_of, write
from syscalls import FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE, fallocate

MODES = (0o6777, 0o4777, 0o2777, 0o2767, 0o6767)


def change_by_write(path):
    with Descriptor(path, os.O_WRONLY) as fd:
        os.write(fd, b'x')


def change_by_append(path):
    with Descriptor(path, os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b'x')


def change_by_ftruncate(path):
    with Descriptor(path, os.O_WRONLY) as fd:
        os.ftruncate(fd, 2)


def change_by_fallocate(path):
    with Descriptor(path, os.O_WRONLY) as fd:
        fallocate(fd, 0, 0, 8192)


def change_by_punching(path):
    with Descriptor(path, os.O_WRONLY) as fd:
        fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 0, 4)


def change_by_copying(path):
    with Descriptor(path, os.O_RDONLY) as source, Descriptor(path, os.O_WRONLY) as target:
        os.copy_file_range(source, target, 2, 0, 4)


CHANGES = {
    'a write': change_by_write,
    'an appending write': change_by_append,
    'truncate': lambda path: os.truncate(path, 2),
    'ftruncate': change_by_ftruncate,
    'opening with O_TRUNC': lambda path: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)),
    'opening for writing alone': lambda path: os.close(os.open(path, os.O_WRONLY)),
    'fallocate': change_by_fallocate,
    'punching a hole': change_by_punching,
    'copy_file_range': change_by_copying,
    'a new time': lambda path: os.utime(path),
}


def after(directory, change, owner, run):
    """The modes that files of several modes and of this owner have after a change."""
    paths = [f'{directory}/{mode:o}' for mode in MODES]
    for path, mode in zip(paths, MODES):
        write(path, b'0123456789' * 1000)
        os.chown(path, *owner)
        os.chmod(path, mode)
    results = run(lambda: [attempt(change, path) for path in paths])
    modes = [mode_of(path) for path in paths]
    for path in paths:
        os.unlink(path)
    return [results, modes]


for name, change in CHANGES.items():

    @check('setid', f'{name} by the owner')
    def _(directory, change=change):
        return after(directory, change, (1000, 1000), as_user)

    @check('setid', f'{name} by another user')
    def _(directory, change=change):
        return after(directory, change, (0, 0), as_user)

    @check('setid', f'{name} by root')
    def _(directory, change=change):
        return after(directory, change, (1000, 1000), lambda function: function())


@check('setid', 'chown by root')
def _(directory):
    return [
        after(directory, lambda path, who=who: os.chown(path, *who), (1000, 1000), lambda function: function())
        for who in ((5, 5), (5, -1), (-1, 5), (-1, -1), (1000, 1000))
    ]


@check('setid', 'chown by the owner to another group of his')
def _(directory):
    def run(function):
        return as_user(function, groups=(2000,))

    return after(directory, lambda path: os.chown(path, -1, 2000), (1000, 1000), run)


@check('setid', 'chown of a directory keeps them')
def _(directory):
    path = f'{directory}/directory'
    os.mkdir(path)
    os.chmod(path, 0o6755)
    os.chown(path, 5, 5)
    return mode_of(path)


@check('setid', 'lchown of a symbolic link leaves its target alone')
def _(directory):
    path = write(f'{directory}/file')
    os.chmod(path, 0o4755)
    os.symlink('file', f'{directory}/link')
    os.lchown(f'{directory}/link', 5, 6)
    link, target = os.lstat(f'{directory}/link'), os.stat(path)
    return [link.st_uid, link.st_gid, target.st_uid, target.st_gid, mode_of(path)]


@check('setid', 'chmod with set-group-id outside the group')
def _(directory):
    path = write(f'{directory}/file')
    os.chown(path, 1000, 2000)
    as_user(lambda: attempt(os.chmod, path, 0o2755))
    outside = mode_of(path)
    as_user(lambda: attempt(os.chmod, path, 0o2755), groups=(2000,))
    return [outside, mode_of(path)]


@check('setid', 'a set-group-id directory hands its group on')
def _(directory):
    parent = f'{directory}/parent'
    os.mkdir(parent)
    os.chown(parent, 0, 2000)
    os.chmod(parent, 0o2777)

    def make():
        os.umask(0)
        os.mkdir(f'{parent}/directory', 0o777)
        write(f'{parent}/file', mode=0o2755)
        os.mkfifo(f'{parent}/fifo', 0o644)
        os.symlink('file', f'{parent}/link')

    result = as_user(make)
    names = ('directory', 'file', 'fifo', 'link')
    return [result] + [[mode_of(f'{parent}/{name}'), os.lstat(f'{parent}/{name}').st_gid] for name in names]


@check('setid', 'a member of the group may make set-group-id files in such a directory')
def _(directory):
    parent = f'{directory}/parent'
    os.mkdir(parent)
    os.chown(parent, 0, 2000)
    os.chmod(parent, 0o2777)

    def make():
        os.umask(0)
        write(f'{parent}/file', mode=0o2755)
        os.mkdir(f'{parent}/directory', 0o755)

    result = as_user(make, groups=(2000,))
    return [result, mode_of(f'{parent}/file'), mode_of(f'{parent}/directory'), os.stat(f'{parent}/file').st_gid]


@check('setid', 'a file made with O_CREAT keeps set-user-id until it is written')
def _(directory):
    os.umask(0)
    path = f'{directory}/file'
    os.chmod(directory, 0o777)

    def make():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o4755)
        before = mode_of(path)
        os.write(fd, b'x')
        return [before, mode_of(path)]

    return as_user(make)


@check('setid', 'a shared mapping of the owner')
def _(directory):
    import mmap

    path = write(f'{directory}/file', b'0' * 4096)
    os.chown(path, 1000, 1000)
    os.chmod(path, 0o4755)

    def change():
        with Descriptor(path) as fd, mmap.mmap(fd, 4096) as memory:
            memory[0:1] = b'1'

    return [as_user(change), open(path, 'rb').read(2)]
