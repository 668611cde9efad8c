"""Reading directories: positions, changes meanwhile, big ones."""
import os

from framework import Descriptor, attempt, check, in_child, write
from syscalls import DirStream


def filled(directory, count):
    for number in range(count):
        os.mknod(f'{directory}/name-{number:05}')
    return {b'name-%05d' % number for number in range(count)}


@check('directories', 'every name once, with dot and dot dot and types')
def _(directory):
    write(f'{directory}/file')
    os.mkdir(f'{directory}/directory')
    os.symlink('x', f'{directory}/symlink')
    os.mkfifo(f'{directory}/fifo')
    os.mknod(f'{directory}/device', 0o20644, os.makedev(1, 3))
    with DirStream(directory) as stream:
        entries = []
        while (entry := stream.entry()) is not None:
            entries.append(list(entry))
    return sorted(entries)


@check('directories', 'inode numbers of entries are those of the files')
def _(directory):
    filled(directory, 20)
    return {entry.inode() == os.lstat(entry.path).st_ino for entry in os.scandir(directory)} == {True}


@check('directories', 'dot and dot dot are the right ones')
def _(directory):
    os.makedirs(f'{directory}/one/two')
    return [
        os.stat(f'{directory}/one/two/..').st_ino == os.stat(f'{directory}/one').st_ino,
        os.stat(f'{directory}/one/two/.').st_ino == os.stat(f'{directory}/one/two').st_ino,
        sorted(os.listdir(f'{directory}/one')),
    ]


@check('directories', 'many names')
def _(directory):
    names = filled(directory, 800)
    seen = os.listdir(os.fsencode(directory))
    return [len(seen), set(seen) == names]


@check('directories', 'going back to a position gives the same names')
def _(directory):
    filled(directory, 1000)
    with DirStream(directory) as stream:
        for _ in range(350):
            stream.entry()
        position = stream.tell()
        first = stream.names()
        stream.seek(position)
        second = stream.names()
        stream.rewind()
        whole = stream.names()
    return [len(first), first == second, len(whole), len(set(whole))]


@check('directories', 'every position leads back to its entry')
def _(directory):
    filled(directory, 300)
    with DirStream(directory) as stream:
        positions = []
        while True:
            position = stream.tell()
            entry = stream.entry()
            if entry is None:
                break
            positions.append((position, entry))
        wrong = 0
        for position, entry in reversed(positions):
            stream.seek(position)
            wrong += stream.entry() != entry
    return [len(positions), wrong]


@check('directories', 'a position is good after names went away')
def _(directory):
    filled(directory, 500)
    with DirStream(directory) as stream:
        before = [stream.entry()[0] for _ in range(250)]
        position = stream.tell()
        for name in before:
            if name not in (b'.', b'..'):
                os.unlink(os.fsencode(directory) + b'/' + name)
        stream.seek(position)
        rest = stream.names()
    return [len(rest), len(set(rest) & set(before))]


@check('directories', 'reading while names go away skips none that stays')
def _(directory):
    names = filled(directory, 800)
    seen = []
    with DirStream(directory) as stream:
        for turn in range(800):
            entry = stream.entry()
            if entry is None:
                break
            seen.append(entry[0])
            if turn % 10 == 0:
                os.unlink(f'{directory}/name-{turn:05}')
        seen += stream.names()
    gone = {b'name-%05d' % turn for turn in range(0, 800, 10)}
    return [names - gone <= set(seen), len(seen) == len(set(seen))]


@check('directories', 'reading while names come sees each old name once')
def _(directory):
    names = filled(directory, 800)
    seen = []
    with DirStream(directory) as stream:
        for turn in range(200):
            seen.append(stream.entry()[0])
            os.mknod(f'{directory}/other-{turn}')
        seen += stream.names()
    old = [name for name in seen if name in names]
    return [set(old) == names, len(old) == len(names)]


@check('directories', 'removed while it is read as programs do')
def _(directory):
    filled(directory, 1000)
    count = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            os.unlink(entry.path)
            count += 1
    return [count, os.listdir(directory)]


@check('directories', 'rewinding shows what is new')
def _(directory):
    with DirStream(directory) as stream:
        before = stream.names()
        in_child(lambda: write(f'{directory}/new'))
        stream.rewind()
        return [sorted(before), sorted(stream.names())]


@check('directories', 'one that is gone but open')
def _(directory):
    path = f'{directory}/gone'
    os.mkdir(path)
    with Descriptor(path, os.O_RDONLY) as fd:
        os.rmdir(path)
        return [
            os.listdir(fd),
            os.fstat(fd).st_nlink,
            attempt(os.open, 'x', os.O_CREAT | os.O_WRONLY, dir_fd=fd),
            attempt(os.mkdir, 'x', dir_fd=fd),
            attempt(os.fchmod, fd, 0o700),
        ]


@check('directories', 'reading and writing one as a file')
def _(directory):
    with Descriptor(directory, os.O_RDONLY) as fd:
        return [
            attempt(os.read, fd, 10),
            attempt(os.write, fd, b'x'),
            attempt(os.ftruncate, fd, 0),
            attempt(os.lseek, fd, 0, 0),
        ]


@check('directories', 'without permission to read or to search')
def _(directory):
    from framework import as_user

    os.chmod(directory, 0o755)
    for name, mode in (('read', 0o744), ('search', 0o711), ('none', 0o700)):
        os.mkdir(f'{directory}/{name}')
        write(f'{directory}/{name}/file')
        os.chmod(f'{directory}/{name}', mode)

    def tries():
        return [
            [attempt(os.listdir, f'{directory}/{name}'), attempt(os.access, f'{directory}/{name}/file', os.F_OK)]
            for name in ('read', 'search', 'none')
        ]

    return as_user(tries)
