"""Contents: reading, writing, appending, mapping, copying, unnamed files."""
import mmap
import os
import threading

from framework import Descriptor, Process, attempt, check, in_child, mode_of, read, write
from syscalls import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW, linkat

PAGE = 4096


def pattern(length, seed=1):
    return bytes((index * 7 + index // 256 * 13 + seed) & 0xFF for index in range(length))


@check('data', 'two appending processes lose nothing')
def _(directory):
    path = write(f'{directory}/file')

    def append(letter):
        with Descriptor(path, os.O_WRONLY | os.O_APPEND) as fd:
            for _ in range(100):
                os.write(fd, letter * 10 + b'\n')

    processes = [Process(lambda letter=letter: append(letter)) for letter in (b'a', b'b')]
    for process in processes:
        process.result()
    lines = read(path).split(b'\n')[:-1]
    return [len(lines), sorted(set(lines))]


@check('data', 'an appending descriptor ignores the position')
def _(directory):
    path = write(f'{directory}/file', b'0123456789')
    with Descriptor(path, os.O_RDWR | os.O_APPEND) as fd:
        os.lseek(fd, 3, os.SEEK_SET)
        os.write(fd, b'A')
        position = os.lseek(fd, 0, os.SEEK_CUR)
        os.pwrite(fd, b'B', 0)
        return [position, read(path), os.pread(fd, 4, 2)]


@check('data', 'append is switched on and off')
def _(directory):
    import fcntl

    path = write(f'{directory}/file', b'0123')
    with Descriptor(path) as fd:
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
        os.write(fd, b'end')
        fcntl.fcntl(fd, fcntl.F_SETFL, 0)
        os.pwrite(fd, b'X', 0)
    return read(path)


@check('data', 'a file opened for writing alone is written in parts of pages')
def _(directory):
    path = write(f'{directory}/file', pattern(3 * PAGE))
    with Descriptor(path, os.O_WRONLY) as fd:
        os.pwrite(fd, b'middle', PAGE - 3)
        os.pwrite(fd, b'end', 3 * PAGE - 1)
        refused = attempt(os.read, fd, 1)
    expected = bytearray(pattern(3 * PAGE))
    expected[PAGE - 3 : PAGE + 3] = b'middle'
    expected[3 * PAGE - 1 :] = b'end'
    return [refused, read(path) == bytes(expected)]


@check('data', 'one process reads what another has just written')
def _(directory):
    path = write(f'{directory}/file', b'old')
    with Descriptor(path) as fd:
        os.read(fd, 3)
        in_child(lambda: write(path, b'newer'))
        return [os.pread(fd, 10, 0), os.fstat(fd).st_size]


@check('data', 'vectors, positions and the end of the file')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        written = os.pwritev(fd, [b'one', b'', b'two', b'three' * 1000], 5)
        parts = [bytearray(4), bytearray(7)]
        return [
            written,
            os.preadv(fd, parts, 3),
            parts[0],
            parts[1],
            os.pread(fd, 10, 10**9),
            os.pread(fd, 0, 0),
            attempt(os.pread, fd, 1, -1),
            attempt(os.pwrite, fd, b'x', 2**63 - 1),
            attempt(os.ftruncate, fd, -1),
            attempt(os.ftruncate, fd, 2**63 - 1),
        ]


@check('data', 'beyond four gigabytes')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        for position in (2**31 - 2, 2**32 - 2, 2**40):
            os.pwrite(fd, b'edge', position)
        seen = [os.pread(fd, 4, position) for position in (2**31 - 2, 2**32 - 2, 2**40)]
        return [seen, os.fstat(fd).st_size]


@check('data', 'a direct descriptor reads and writes whole blocks')
def _(directory):
    path = write(f'{directory}/file', pattern(4 * PAGE))
    fd = attempt(os.open, path, os.O_RDWR | os.O_DIRECT)
    if not isinstance(fd, int):
        return fd
    block = mmap.mmap(-1, PAGE)
    block.write(b'D' * PAGE)
    written = attempt(os.pwritev, fd, [block], PAGE)
    seen = os.preadv(fd, [block], 2 * PAGE)
    same = bytes(block) == pattern(4 * PAGE)[2 * PAGE : 3 * PAGE]
    os.close(fd)
    return [written, seen, same, read(path)[PAGE : 2 * PAGE] == b'D' * PAGE]


@check('data', 'sync flags and every kind of flush')
def _(directory):
    from syscalls import syncfs

    path = f'{directory}/file'
    with Descriptor(path, os.O_RDWR | os.O_CREAT | os.O_SYNC) as fd:
        os.write(fd, b'synced')
        results = [attempt(os.fsync, fd), attempt(os.fdatasync, fd), attempt(syncfs, fd)]
    with Descriptor(directory, os.O_RDONLY) as fd:
        results += [attempt(os.fsync, fd), attempt(syncfs, fd)]
    with Descriptor(path, os.O_RDONLY) as fd:
        results += [attempt(os.fsync, fd), attempt(os.posix_fadvise, fd, 0, 0, os.POSIX_FADV_DONTNEED)]
    return results + [read(path)]


@check('data', 'truncation and growth leave zeros')
def _(directory):
    path = write(f'{directory}/file', pattern(10000))
    os.truncate(path, 5000)
    os.truncate(path, 9000)
    content = read(path)
    return [len(content), content[:5000] == pattern(10000)[:5000], set(content[5000:])]


@check('data', 'opening with O_TRUNC, O_EXCL and O_CREAT')
def _(directory):
    path = write(f'{directory}/file', b'content')
    create = os.O_WRONLY | os.O_CREAT
    results = [attempt(lambda flags=flags: os.close(os.open(path, flags))) for flags in (create | os.O_EXCL, create)]
    kept = read(path)
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
    os.symlink('nowhere', f'{directory}/dangling')
    results += [
        attempt(os.open, f'{directory}/dangling', create | os.O_EXCL),
        attempt(lambda: os.close(os.open(f'{directory}/dangling', create))),
        attempt(os.open, directory, os.O_WRONLY),
        attempt(os.open, directory, os.O_RDONLY | os.O_CREAT),
        attempt(os.open, f'{path}/', os.O_RDONLY),
        attempt(os.open, path, os.O_RDONLY | os.O_DIRECTORY),
        attempt(os.open, f'{directory}/dangling', os.O_RDONLY | os.O_NOFOLLOW),
    ]
    return [results, kept, read(path), sorted(os.listdir(directory))]


@check('data', 'a descriptor for the path alone')
def _(directory):
    path = write(f'{directory}/file', b'content', 0o000)
    with Descriptor(path, os.O_PATH) as fd:
        return [
            attempt(os.read, fd, 1),
            attempt(os.fchmod, fd, 0o600),
            os.fstat(fd).st_size,
            attempt(lambda: read(f'/proc/self/fd/{fd}')),
            attempt(linkat, fd, '', f'{directory}/linked', AT_EMPTY_PATH),
            os.stat(path).st_nlink,
        ]


@check('data', 'a file without a name is still a file')
def _(directory):
    path = write(f'{directory}/file', b'before')
    with Descriptor(path) as fd:
        os.unlink(path)
        os.write(fd, b'after')
        os.ftruncate(fd, 20)
        os.fchmod(fd, 0o640)
        os.fchown(fd, 5, 6)
        os.utime(fd, (1, 2))
        status = os.fstat(fd)
        # A second open by the descriptor works without a name, and a new name does not.
        with Descriptor(f'/proc/self/fd/{fd}', os.O_RDONLY) as again:
            content = os.read(again, 100)
        named = attempt(linkat, AT_FDCWD, f'/proc/self/fd/{fd}', f'{directory}/again', AT_SYMLINK_FOLLOW)
        times = [int(status.st_atime), int(status.st_mtime)]
        return [
            status.st_nlink,
            status.st_uid,
            status.st_gid,
            oct(status.st_mode),
            status.st_size,
            times,
            content,
            named,
        ]


@check('data', 'a name that is used again is another file')
def _(directory):
    path = write(f'{directory}/file', b'first')
    with Descriptor(path) as fd:
        os.unlink(path)
        write(path, b'second')
        os.write(fd, b'FIRST')
        return [os.pread(fd, 10, 0), read(path), os.fstat(fd).st_ino != os.stat(path).st_ino]


@check('data', 'shared mappings of two processes')
def _(directory):
    path = write(f'{directory}/file', b'.' * PAGE * 3)
    with Descriptor(path) as fd, mmap.mmap(fd, PAGE * 3) as memory:

        def other():
            with Descriptor(path) as fd, mmap.mmap(fd, PAGE * 3) as memory:
                memory[PAGE : PAGE + 5] = b'child'
                return memory[0:6]

        memory[0:6] = b'parent'
        seen = in_child(other)
        memory.flush()
        return [seen, memory[PAGE : PAGE + 5], read(path)[:6], read(path)[PAGE : PAGE + 5]]


@check('data', 'a shared mapping and plain writes see each other')
def _(directory):
    path = write(f'{directory}/file', b'.' * PAGE)
    with Descriptor(path) as fd, mmap.mmap(fd, PAGE) as memory:
        os.pwrite(fd, b'written', 10)
        by_write = memory[10:17]
        memory[100:106] = b'mapped'
        return [by_write, os.pread(fd, 6, 100)]


@check('data', 'a private mapping changes nothing')
def _(directory):
    path = write(f'{directory}/file', b'.' * PAGE)
    with Descriptor(path, os.O_RDONLY) as fd:
        with mmap.mmap(fd, PAGE, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
            memory[0:7] = b'private'
            return [memory[0:7], read(path)[:7]]


@check('data', 'mappings and the rights of the descriptor')
def _(directory):
    path = write(f'{directory}/file', b'.' * PAGE)

    def tries(flags, sharing, protection):
        with Descriptor(path, flags) as fd:
            return attempt(lambda: mmap.mmap(fd, PAGE, sharing, protection).close())

    both = mmap.PROT_READ | mmap.PROT_WRITE
    return [
        tries(os.O_RDONLY, mmap.MAP_SHARED, both),
        tries(os.O_RDONLY, mmap.MAP_SHARED, mmap.PROT_READ),
        tries(os.O_WRONLY, mmap.MAP_SHARED, both),
        tries(os.O_WRONLY, mmap.MAP_PRIVATE, mmap.PROT_READ),
        tries(os.O_RDWR, mmap.MAP_SHARED, both),
        tries(os.O_RDONLY, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC),
    ]


@check('data', 'a mapping of a file that has no name any more')
def _(directory):
    path = write(f'{directory}/file', b'.' * PAGE * 2)
    with Descriptor(path) as fd, mmap.mmap(fd, PAGE * 2) as memory:
        os.unlink(path)
        memory[PAGE : PAGE + 4] = b'gone'
        memory.flush()
        return [os.pread(fd, 4, PAGE), memory[0:2]]


@check('data', 'a mapping outlives its descriptor')
def _(directory):
    path = write(f'{directory}/file', b'.' * PAGE)
    fd = os.open(path, os.O_RDWR)
    memory = mmap.mmap(fd, PAGE)
    os.close(fd)
    memory[0:4] = b'late'
    memory.close()
    return read(path)[:4]


@check('data', 'reading beyond the end of a mapped file kills')
def _(directory):
    path = write(f'{directory}/file', b'.' * PAGE * 2)
    with Descriptor(path) as fd:
        memory = mmap.mmap(fd, PAGE * 2)
        os.ftruncate(fd, 10)
        return [memory[0:12], in_child(lambda: memory[PAGE])]


@check('data', 'threads read and write one descriptor')
def _(directory):
    path = write(f'{directory}/file', b'0' * 64 * 40)
    with Descriptor(path) as fd:

        def work(number):
            for turn in range(40):
                os.pwrite(fd, b'%064d' % number, 64 * turn)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    content = read(path)
    return {
        content[at : at + 64] in {b'%064d' % number for number in range(4)} for at in range(0, len(content), 64)
    } == {True}


@check('data', 'sendfile and splice')
def _(directory):
    source, target = write(f'{directory}/source', pattern(200_000)), write(f'{directory}/target')
    with Descriptor(source, os.O_RDONLY) as fd, Descriptor(target) as out:
        sent = 0
        while count := os.sendfile(out, fd, sent, 200_000 - sent):
            sent += count
        reader, writer = os.pipe()
        moved = os.splice(fd, writer, 4000, offset_src=100)
        piped = os.read(reader, 5000)
        returned = os.write(writer, b'through the pipe')
        spliced = os.splice(reader, out, 16, offset_dst=0)
        os.close(reader)
        os.close(writer)
    content = read(target)
    return [
        sent,
        content[16:] == pattern(200_000)[16:],
        moved,
        piped == pattern(200_000)[100:4100],
        returned,
        spliced,
        content[:16],
    ]


def copy_all(source, target, length, at=0, to=0):
    done = 0
    while done < length:
        count = os.copy_file_range(source, target, length - done, at + done, to + done)
        if count == 0:
            break
        done += count
    return done


@check('data', 'copy_file_range copies, in one file too')
def _(directory):
    source, target = write(f'{directory}/source', pattern(300_000)), write(f'{directory}/target', b'-' * 100)
    with Descriptor(source) as fd, Descriptor(target) as out:
        copied = copy_all(fd, out, 250_000, 1000, 50)
        beyond = os.copy_file_range(fd, out, 10, 10**6, 0)
        within = copy_all(fd, fd, 5000, 0, 100_000)
        overlapping = attempt(os.copy_file_range, fd, fd, 100, 0, 50)
    content = read(target)
    return [
        copied,
        content[:50] == b'-' * 50,
        content[50:] == pattern(300_000)[1000:251_000],
        beyond,
        within,
        read(source)[100_000:105_000] == pattern(300_000)[:5000],
        overlapping,
    ]


@check('data', 'copy_file_range moves positions and respects descriptors')
def _(directory):
    source, target = write(f'{directory}/source', b'0123456789'), write(f'{directory}/target')
    with Descriptor(source, os.O_RDONLY) as fd, Descriptor(target, os.O_WRONLY) as out:
        os.lseek(fd, 2, os.SEEK_SET)
        copied = os.copy_file_range(fd, out, 5)
        positions = [os.lseek(each, 0, os.SEEK_CUR) for each in (fd, out)]
        refused = [attempt(os.copy_file_range, out, fd, 1)]
    with Descriptor(source, os.O_RDONLY) as fd, Descriptor(target, os.O_WRONLY | os.O_APPEND) as out:
        refused.append(attempt(os.copy_file_range, fd, out, 1))
    with Descriptor(directory, os.O_RDONLY) as fd, Descriptor(target, os.O_WRONLY) as out:
        refused.append(attempt(os.copy_file_range, fd, out, 1))
    return [copied, positions, refused, read(target)]


@check('data', 'copy_file_range to another file system')
def _(directory):
    import tempfile

    source = write(f'{directory}/source', pattern(50_000))
    with tempfile.TemporaryFile(dir='/dev') as other, Descriptor(source) as fd:
        out = attempt(os.copy_file_range, fd, other.fileno(), 50_000, 0, 0)
        return out if isinstance(out, str) else out > 0


def unnamed(directory, flags=os.O_RDWR, mode=0o640):
    return os.open(directory, os.O_TMPFILE | flags, mode)


@check('tmpfile', 'an unnamed file is written, read and gone')
def _(directory):
    fd = unnamed(directory)
    os.write(fd, b'content')
    status = os.fstat(fd)
    seen = [os.pread(fd, 10, 0), status.st_nlink, oct(status.st_mode), status.st_size, os.listdir(directory)]
    os.close(fd)
    return seen


@check('tmpfile', 'it gets a name')
def _(directory):
    fd = unnamed(directory)
    os.write(fd, b'content')
    path = f'{directory}/named'
    linked = attempt(linkat, AT_FDCWD, f'/proc/self/fd/{fd}', path, AT_SYMLINK_FOLLOW)
    again = attempt(linkat, fd, '', f'{directory}/second', AT_EMPTY_PATH)
    os.write(fd, b' more')
    links = os.fstat(fd).st_nlink
    os.close(fd)
    return [linked, again, links, read(path), mode_of(path), sorted(os.listdir(directory))]


@check('tmpfile', 'an existing name is refused')
def _(directory):
    write(f'{directory}/taken', b'old')
    fd = unnamed(directory)
    refused = attempt(linkat, AT_FDCWD, f'/proc/self/fd/{fd}', f'{directory}/taken', AT_SYMLINK_FOLLOW)
    os.close(fd)
    return [refused, read(f'{directory}/taken')]


@check('tmpfile', 'with O_EXCL it never gets a name')
def _(directory):
    fd = unnamed(directory, os.O_RDWR | os.O_EXCL)
    refused = attempt(linkat, AT_FDCWD, f'/proc/self/fd/{fd}', f'{directory}/named', AT_SYMLINK_FOLLOW)
    os.close(fd)
    return refused


@check('tmpfile', 'what it refuses')
def _(directory):
    path = write(f'{directory}/file')
    return [
        attempt(unnamed, directory, os.O_RDONLY),
        attempt(unnamed, path),
        attempt(unnamed, f'{directory}/missing'),
    ]


@check('tmpfile', 'the umask and the owner')
def _(directory):
    from framework import as_user

    os.chmod(directory, 0o777)

    def make():
        os.umask(0o027)
        fd = unnamed(directory, os.O_WRONLY, 0o666)
        linkat(AT_FDCWD, f'/proc/self/fd/{fd}', f'{directory}/his', AT_SYMLINK_FOLLOW)

    result = as_user(make)
    status = attempt(os.stat, f'{directory}/his')
    return result if isinstance(status, str) else [result, oct(status.st_mode), status.st_uid, status.st_gid]
