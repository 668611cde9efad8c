"""Names: renaming, linking, looking up, odd ones."""
import os
import stat

from framework import Descriptor, as_user, attempt, check, in_child, read, write
from syscalls import AT_FDCWD, AT_SYMLINK_FOLLOW, RENAME_EXCHANGE, RENAME_NOREPLACE, RENAME_WHITEOUT
from syscalls import linkat, openat2, renameat2

RESOLVE_NO_XDEV, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH, RESOLVE_IN_ROOT = 1, 4, 8, 16


def outline(directory):
    """What lies below a directory, by name: type, and content of files."""
    seen = {}
    for name in sorted(os.listdir(directory)):
        path = f'{directory}/{name}'
        status = os.lstat(path)
        kind = stat.filemode(status.st_mode)[0]
        if kind == 'c':
            seen[name] = f'c{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}'
        elif kind == 'd':
            seen[name] = outline(path)
        else:
            seen[name] = os.readlink(path) if kind == 'l' else read(path) if kind == '-' else kind
    return seen


def prepared(directory):
    """Files a and b, directories full and empty, a symbolic link."""
    write(f'{directory}/a', b'A')
    write(f'{directory}/b', b'B')
    os.makedirs(f'{directory}/full/inner')
    os.mkdir(f'{directory}/empty')
    os.symlink('a', f'{directory}/link')


PAIRS = [
    ('a', 'new'),
    ('a', 'b'),
    ('a', 'a'),
    ('a', 'empty'),
    ('full', 'empty'),
    ('empty', 'full'),
    ('full', 'a'),
    ('full', 'full/inner/x'),
    ('full', 'full/inner'),
    ('full/inner', 'full'),
    ('link', 'b'),
    ('b', 'link'),
    ('missing', 'a'),
    ('a', 'missing/x'),
    ('a/x', 'b'),
    ('empty/.', 'x'),
    ('full/..', 'x'),
    ('a', 'new/'),
    ('empty', 'new/'),
]
FLAGS = {
    'rename': 0,
    'rename without replacing': RENAME_NOREPLACE,
    'exchange': RENAME_EXCHANGE,
    'rename and leave a whiteout': RENAME_WHITEOUT,
    'rename without replacing and leave a whiteout': RENAME_NOREPLACE | RENAME_WHITEOUT,
    'exchange and leave a whiteout': RENAME_EXCHANGE | RENAME_WHITEOUT,
    'exchange without replacing': RENAME_EXCHANGE | RENAME_NOREPLACE,
    'rename with an unknown flag': 8,
}

for flags_name, flags in FLAGS.items():
    for source, target in PAIRS:

        @check('rename', f'{flags_name}: {source} to {target}')
        def _(directory, flags=flags, source=source, target=target):
            prepared(directory)
            result = attempt(renameat2, f'{directory}/{source}', f'{directory}/{target}', flags)
            return [result, outline(directory)]


@check('rename', 'two names of one file')
def _(directory):
    write(f'{directory}/a', b'A')
    os.link(f'{directory}/a', f'{directory}/b')
    results = [attempt(renameat2, f'{directory}/a', f'{directory}/b', flags) for flags in (0, 1, 2, 4)]
    return [results, outline(directory)]


@check('rename', 'over a file that is open')
def _(directory):
    prepared(directory)
    with Descriptor(f'{directory}/b') as fd:
        os.rename(f'{directory}/a', f'{directory}/b')
        os.write(fd, b'still')
        return [os.pread(fd, 10, 0), os.fstat(fd).st_nlink, read(f'{directory}/b')]


@check('rename', 'a directory while somebody is in it')
def _(directory):
    prepared(directory)
    os.chdir(f'{directory}/full/inner')
    os.rename(f'{directory}/full', f'{directory}/moved')
    write('file', b'x')
    return [
        os.getcwd().removeprefix(directory),
        read(f'{directory}/moved/inner/file'),
        os.stat('..').st_ino == os.stat(f'{directory}/moved').st_ino,
    ]


@check('rename', 'a directory into another changes its parent')
def _(directory):
    prepared(directory)
    os.rename(f'{directory}/full', f'{directory}/empty/full')
    inner = f'{directory}/empty/full/inner'
    return [
        os.stat(f'{inner}/../..').st_ino == os.stat(f'{directory}/empty').st_ino,
        os.stat(directory).st_nlink,
        os.stat(f'{directory}/empty').st_nlink,
    ]


@check('links', 'every name is one file')
def _(directory):
    write(f'{directory}/a', b'A')
    os.mkdir(f'{directory}/folder')
    os.link(f'{directory}/a', f'{directory}/folder/b')
    one, two = os.stat(f'{directory}/a'), os.stat(f'{directory}/folder/b')
    with Descriptor(f'{directory}/a') as first, Descriptor(f'{directory}/folder/b') as second:
        os.write(first, b'written')
        through = os.pread(second, 10, 0)
        os.fchmod(second, 0o600)
        mode = oct(os.fstat(first).st_mode)
    os.unlink(f'{directory}/a')
    return [one.st_ino == two.st_ino, one.st_nlink, through, mode, os.stat(f'{directory}/folder/b').st_nlink]


@check('links', 'what can be linked')
def _(directory):
    prepared(directory)
    os.mkfifo(f'{directory}/fifo')
    results = [
        attempt(os.link, f'{directory}/{source}', f'{directory}/{target}', follow_symlinks=False)
        for source, target in (
            ('a', 'b'),
            ('empty', 'x'),
            ('link', 'link2'),
            ('fifo', 'fifo2'),
            ('missing', 'x'),
            ('a', 'missing/x'),
            ('a', 'a/x'),
            ('a', 'new/'),
        )
    ]
    results.append(attempt(linkat, AT_FDCWD, f'{directory}/link', f'{directory}/followed', AT_SYMLINK_FOLLOW))
    return [results, outline(directory), os.stat(f'{directory}/a').st_nlink]


@check('links', 'many names of one file')
def _(directory):
    write(f'{directory}/a')
    for number in range(200):
        os.link(f'{directory}/a', f'{directory}/name-{number}')
    count = os.stat(f'{directory}/name-100').st_nlink
    for number in range(0, 200, 2):
        os.unlink(f'{directory}/name-{number}')
    return [count, os.stat(f'{directory}/a').st_nlink, len(os.listdir(directory))]


@check('links', 'symbolic ones of every kind')
def _(directory):
    write(f'{directory}/a', b'A')
    targets = {
        'dangling': 'nowhere',
        'long': 'x' * 4095,
        'dots': './../' * 3 + 'a',
        'bytes': b'\xff\xfe\x01',
        'loop': 'loop',
    }
    for name, target in targets.items():
        os.symlink(os.fsdecode(target), f'{directory}/{name}')
    return [
        {
            name: [
                os.fsencode(os.readlink(f'{directory}/{name}')) == os.fsencode(target),
                os.lstat(f'{directory}/{name}').st_size,
            ]
            for name, target in targets.items()
        },
        attempt(os.stat, f'{directory}/dangling'),
        attempt(os.stat, f'{directory}/loop'),
        attempt(os.symlink, 'x' * 4096, f'{directory}/longer'),
        attempt(os.symlink, '', f'{directory}/nothing'),
        attempt(os.symlink, 'x', f'{directory}/a'),
        attempt(os.readlink, f'{directory}/a'),
        attempt(os.readlink, directory),
    ]


@check('links', 'a symbolic link that is replaced is read anew')
def _(directory):
    os.symlink('one', f'{directory}/link')
    first = os.readlink(f'{directory}/link')
    os.symlink('two', f'{directory}/new')
    os.rename(f'{directory}/new', f'{directory}/link')
    return [first, os.readlink(f'{directory}/link')]


ODD = [
    b'\xff\xfe\xfd',
    b'\x01\x7f',
    b'a b\tc\n',
    b'-rf',
    b'*?[',
    b'"\'\\',
    'ä-файл-文'.encode(),
    b'...',
    b' ',
    b'.hidden',
    b'con',
    b'A',
    b'a',
]


@check('names', 'odd ones, also such that are not UTF-8')
def _(directory):
    place = os.fsencode(directory)
    for name in ODD:
        write(place + b'/' + name, name)
    listed = sorted(os.listdir(place)) == sorted(ODD)
    same = all(read(place + b'/' + name) == name for name in ODD)
    for name in ODD:
        os.rename(place + b'/' + name, place + b'/' + name + b'\xc3')
    renamed = sorted(os.listdir(place)) == sorted(name + b'\xc3' for name in ODD)
    for name in ODD:
        os.unlink(place + b'/' + name + b'\xc3')
    return [listed, same, renamed, os.listdir(place)]


@check('names', 'at and beyond the longest')
def _(directory):
    longest = 'n' * 255
    write(f'{directory}/{longest}')
    deep = directory + '/d' * 30
    os.makedirs(deep)
    return [
        os.listdir(directory).count(longest),
        [
            attempt(action)
            for action in (
                lambda: write(f'{directory}/{longest}n'),
                lambda: os.mkdir(f'{directory}/{longest}n'),
                lambda: os.stat(f'{directory}/{longest}n'),
                lambda: os.symlink('x', f'{directory}/{longest}n'),
                lambda: os.rename(f'{directory}/{longest}', f'{directory}/{longest}n'),
                lambda: os.stat(f'{directory}/' + 'x/' * 2100),
            )
        ],
        os.path.isdir(deep),
    ]


@check('names', 'a tree deeper than the longest path')
def _(directory):
    os.chdir(directory)
    for _ in range(30):
        os.mkdir('n' * 200)
        os.chdir('n' * 200)
    write('bottom', b'deep')
    content = read('bottom')
    os.unlink('bottom')
    for _ in range(30):
        os.chdir('..')
        os.rmdir('n' * 200)
    return [content, os.listdir(directory)]


@check('names', 'the errors of looking up, making and removing')
def _(directory):
    prepared(directory)
    at = lambda name: f'{directory}/{name}'  # noqa: E731
    actions = {
        'stat of what is missing': lambda: os.stat(at('missing')),
        'stat through a file': lambda: os.stat(at('a/x')),
        'stat of a file with a slash': lambda: os.stat(at('a/')),
        'mkdir of what exists': lambda: os.mkdir(at('a')),
        'mkdir of dot': lambda: os.mkdir(at('empty/.')),
        'mkdir below what is missing': lambda: os.mkdir(at('missing/x')),
        'rmdir of a file': lambda: os.rmdir(at('a')),
        'rmdir of a link': lambda: os.rmdir(at('link')),
        'rmdir of what is full': lambda: os.rmdir(at('full')),
        'rmdir of dot': lambda: os.rmdir(at('empty/.')),
        'rmdir of dot dot': lambda: os.rmdir(at('full/inner/..')),
        'unlink of a directory': lambda: os.unlink(at('empty')),
        'unlink of what is missing': lambda: os.unlink(at('missing')),
        'unlink of a file with a slash': lambda: os.unlink(at('a/')),
        'mknod of what exists': lambda: os.mknod(at('a')),
        'mknod of a directory': lambda: os.mknod(at('x'), 0o40755),
        'chdir to a file': lambda: os.chdir(at('a')),
        'rmdir': lambda: os.rmdir(at('empty')),
        'unlink': lambda: os.unlink(at('link')),
    }
    return {
        name: attempt(action) if name.split()[0] != 'stat' else attempt(lambda action=action: (action(), 'found')[1])
        for name, action in actions.items()
    }


@check('names', 'one that comes from another process is seen at once')
def _(directory):
    missing = attempt(os.stat, f'{directory}/later')
    in_child(lambda: write(f'{directory}/later', b'x'))
    there = os.path.exists(f'{directory}/later')
    in_child(lambda: os.unlink(f'{directory}/later'))
    return [missing, there, attempt(os.stat, f'{directory}/later')]


@check('names', 'paths that must stay beneath')
def _(directory):
    prepared(directory)
    os.symlink('/etc', f'{directory}/full/absolute')
    os.symlink('../a', f'{directory}/full/outside')
    with Descriptor(f'{directory}/full', os.O_RDONLY) as fd:

        def tries(path, resolve):
            result = attempt(openat2, path, os.O_RDONLY, 0, resolve, fd)
            if isinstance(result, int):
                os.close(result)
                return 'opened'
            return result

        return [
            tries(path, resolve)
            for resolve in (RESOLVE_BENEATH, RESOLVE_IN_ROOT, RESOLVE_NO_SYMLINKS, RESOLVE_NO_XDEV)
            for path in ('inner', '../a', 'outside', 'absolute', '..')
        ]


@check('special', 'a fifo carries data between processes')
def _(directory):
    path = f'{directory}/fifo'
    os.mkfifo(path)
    from framework import Process

    writer = Process(lambda: write_fifo(path, b'through the pipe'))
    with Descriptor(path, os.O_RDONLY) as fd:
        content = os.read(fd, 100)
        end = os.read(fd, 100)
    return [content, end, writer.result()]


def write_fifo(path, data):
    with Descriptor(path, os.O_WRONLY) as fd:
        return os.write(fd, data)


@check('special', 'a fifo that nobody reads')
def _(directory):
    path = f'{directory}/fifo'
    os.mkfifo(path)
    refused = attempt(os.open, path, os.O_WRONLY | os.O_NONBLOCK)
    with Descriptor(path, os.O_RDONLY | os.O_NONBLOCK) as fd:
        return [refused, attempt(os.read, fd, 10), attempt(os.lseek, fd, 0, 0), os.fstat(fd).st_size]


@check('special', 'device nodes are what they say')
def _(directory):
    os.mknod(f'{directory}/null', 0o20666, os.makedev(1, 3))
    os.mknod(f'{directory}/zero', 0o20666, os.makedev(1, 5))
    os.mknod(f'{directory}/none', 0o60666, os.makedev(250, 7777))
    with Descriptor(f'{directory}/zero') as fd:
        zeros = os.read(fd, 4)
    with Descriptor(f'{directory}/null') as fd:
        swallowed = os.write(fd, b'gone')
    status = os.stat(f'{directory}/none')
    return [
        zeros,
        swallowed,
        oct(status.st_mode),
        os.major(status.st_rdev),
        os.minor(status.st_rdev),
        as_user(lambda: attempt(os.mknod, f'{directory}/x', 0o20666, 259)),
    ]


@check('special', 'a socket takes connections')
def _(directory):
    import socket

    os.chdir(directory)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind('socket')
        server.listen()

        def talk():
            with socket.socket(socket.AF_UNIX) as client:
                client.connect('socket')
                client.sendall(b'hello')

        from framework import Process

        process = Process(talk)
        connection, _ = server.accept()
        said = connection.recv(10)
        connection.close()
        process.result()
        again = attempt(socket.socket(socket.AF_UNIX).bind, 'socket')
    refused = attempt(os.open, 'socket', os.O_RDONLY)
    kind = oct(os.lstat('socket').st_mode)
    os.unlink('socket')
    return [said, again, refused, kind]


@check('special', 'a program runs from here, also while it cannot be written')
def _(directory):
    import subprocess

    path = write(f'{directory}/program', read('/bin/true'), 0o755)
    plain = subprocess.run([path]).returncode
    script = write(f'{directory}/script', b'#!/bin/sh\necho $0 ran\n', 0o755)
    printed = subprocess.run([script], capture_output=True).stdout.replace(os.fsencode(directory), b'')
    with Descriptor(path, os.O_WRONLY):
        busy = attempt(os.execv, path, [path])
    os.chmod(path, 0o644)
    return [plain, printed, busy, attempt(os.execv, path, [path])]
