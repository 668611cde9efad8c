"""POSIX access control lists, as the attributes that they are kept in."""
import os
import struct

from framework import as_user, attempt, check, mode_of, read, write

ACCESS = 'system.posix_acl_access'
DEFAULT = 'system.posix_acl_default'
NOBODY = 0xFFFFFFFF
TAGS = {'user': 1, 'named-user': 2, 'group': 4, 'named-group': 8, 'mask': 16, 'other': 32}


def acl(*entries):
    """The attribute for entries `(tag, permissions)` or `(tag, permissions, id)`."""
    packed = [struct.pack('<HHI', TAGS[tag], bits, *(who or (NOBODY,))) for tag, bits, *who in entries]
    return struct.pack('<I', 2) + b''.join(packed)


def entries_of(path, name):
    value = attempt(os.getxattr, path, name)
    if not isinstance(value, bytes):
        return value
    names = {number: tag for tag, number in TAGS.items()}
    entries = [struct.unpack_from('<HHI', value, at) for at in range(4, len(value), 8)]
    return [f'{names[tag]}:{"" if who == NOBODY else who}:{bits}' for tag, bits, who in entries]


NAMED = (('user', 6), ('named-user', 4, 1000), ('group', 0), ('named-group', 6, 2000), ('mask', 6), ('other', 0))


@check('acl', 'an access list comes back and sets the mode')
def _(directory):
    path = write(f'{directory}/file', mode=0o600)
    seen = [attempt(os.getxattr, path, ACCESS), attempt(os.setxattr, path, ACCESS, acl(*NAMED))]
    return seen + [entries_of(path, ACCESS), mode_of(path), sorted(os.listxattr(path))]


@check('acl', 'a list that says no more than the mode becomes the mode')
def _(directory):
    path = write(f'{directory}/file', mode=0o600)
    seen = attempt(os.setxattr, path, ACCESS, acl(('user', 7), ('group', 5), ('other', 4)))
    return [seen, mode_of(path), entries_of(path, ACCESS), os.listxattr(path)]


@check('acl', 'who is let in by it')
def _(directory):
    path = write(f'{directory}/file', b'secret', 0o600)
    os.setxattr(path, ACCESS, acl(*NAMED))

    def access():
        return [attempt(read, path), attempt(os.truncate, path, 6)]

    people = [(1000, 1000, ()), (1001, 1001, ()), (1001, 2000, ()), (1001, 1001, (2000,)), (1000, 2000, ())]
    return [as_user(access, *who) for who in people]


@check('acl', 'the mask limits')
def _(directory):
    path = write(f'{directory}/file', b'secret', 0o600)
    os.setxattr(path, ACCESS, acl(('user', 6), ('named-user', 6, 1000), ('group', 6), ('mask', 4), ('other', 0)))
    return as_user(lambda: [attempt(read, path), attempt(os.truncate, path, 6)])


@check('acl', 'chmod changes the mask')
def _(directory):
    path = write(f'{directory}/file', mode=0o600)
    os.setxattr(path, ACCESS, acl(*NAMED))
    os.chmod(path, 0o640)
    first = entries_of(path, ACCESS)
    os.chmod(path, 0o777)
    return [first, entries_of(path, ACCESS), mode_of(path)]


@check('acl', 'removing it leaves the mode')
def _(directory):
    path = write(f'{directory}/file', mode=0o600)
    os.setxattr(path, ACCESS, acl(*NAMED))
    return [attempt(os.removexattr, path, ACCESS), entries_of(path, ACCESS), mode_of(path), os.listxattr(path)]


INHERITED = (('user', 7), ('named-user', 7, 1000), ('group', 5), ('mask', 7), ('other', 5))


def inheriting(directory):
    path = f'{directory}/parent'
    os.mkdir(path, 0o755)
    os.setxattr(path, DEFAULT, acl(*INHERITED))
    return path


@check('acl', 'a default list comes back and changes no mode')
def _(directory):
    path = inheriting(directory)
    return [entries_of(path, DEFAULT), mode_of(path), entries_of(path, ACCESS)]


@check('acl', 'what is made in the directory inherits, and the umask does not count')
def _(directory):
    parent = inheriting(directory)
    os.umask(0o077)
    os.mkdir(f'{parent}/directory', 0o777)
    write(f'{parent}/file', mode=0o666)
    os.mkfifo(f'{parent}/fifo', 0o644)
    os.mknod(f'{parent}/node', 0o100640)
    os.symlink('file', f'{parent}/symlink')
    names = ('directory', 'file', 'fifo', 'node', 'symlink')
    return {
        name: [mode_of(f'{parent}/{name}')]
        + [entries_of(f'{parent}/{name}', each) for each in (ACCESS, DEFAULT) if name != 'symlink']
        for name in names
    }


@check('acl', 'a user who inherits rights uses them')
def _(directory):
    parent = inheriting(directory)
    os.mkdir(f'{parent}/directory', 0o777)
    write(f'{parent}/file', b'x', 0o666)
    made = as_user(lambda: [attempt(write, f'{parent}/directory/his'), attempt(os.truncate, f'{parent}/file', 0)])
    return [os.path.basename(made[0]), *made[1:]]


@check('acl', 'an unnamed file inherits')
def _(directory):
    from syscalls import AT_FDCWD, AT_SYMLINK_FOLLOW, linkat

    parent = inheriting(directory)
    os.umask(0o077)
    fd = os.open(parent, os.O_TMPFILE | os.O_RDWR, 0o666)
    linkat(AT_FDCWD, f'/proc/self/fd/{fd}', f'{parent}/named', AT_SYMLINK_FOLLOW)
    os.close(fd)
    return [mode_of(f'{parent}/named'), entries_of(f'{parent}/named', ACCESS)]


@check('acl', 'without a default list the umask counts')
def _(directory):
    os.umask(0o077)
    os.mkdir(f'{directory}/directory', 0o777)
    write(f'{directory}/file', mode=0o666)
    os.mkfifo(f'{directory}/fifo', 0o666)
    return [mode_of(f'{directory}/{name}') for name in ('directory', 'file', 'fifo')]


@check('acl', 'lists that make no sense are refused')
def _(directory):
    path = write(f'{directory}/file')
    without_mask = acl(('user', 6), ('named-user', 4, 1000), ('group', 0), ('other', 0))
    version = struct.pack('<I', 3) + acl(*NAMED)[4:]
    return [
        attempt(os.setxattr, path, ACCESS, value)
        for value in (
            without_mask,
            version,
            acl(*NAMED)[:-1],
            acl(('user', 6)),
            acl(('user', 9), ('group', 0), ('other', 0)),
        )
    ]


@check('acl', 'a default list on what is no directory')
def _(directory):
    path = write(f'{directory}/file')
    os.symlink('file', f'{directory}/link')
    return [
        attempt(os.setxattr, path, DEFAULT, acl(*NAMED)),
        attempt(os.getxattr, path, DEFAULT),
        attempt(os.removexattr, path, DEFAULT),
        attempt(os.setxattr, f'{directory}/link', ACCESS, acl(*NAMED), follow_symlinks=False),
    ]


@check('acl', 'only the owner changes it')
def _(directory):
    path = write(f'{directory}/file', mode=0o666)
    stranger = as_user(lambda: [attempt(os.setxattr, path, ACCESS, acl(*NAMED)), attempt(os.removexattr, path, ACCESS)])
    os.chown(path, 1000, 1000)
    owner = as_user(lambda: attempt(os.setxattr, path, ACCESS, acl(*NAMED)))
    return [stranger, owner, entries_of(path, ACCESS)]


@check('acl', 'setting a list clears set-group-id for an owner outside the group')
def _(directory):
    path = write(f'{directory}/file')
    os.chown(path, 1000, 2000)
    os.chmod(path, 0o2755)
    as_user(lambda: attempt(os.setxattr, path, ACCESS, acl(*NAMED)))
    outside = mode_of(path)
    os.chmod(path, 0o2755)
    as_user(lambda: attempt(os.setxattr, path, ACCESS, acl(*NAMED)), groups=(2000,))
    return [outside, mode_of(path)]
