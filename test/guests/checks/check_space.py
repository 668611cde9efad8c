"""Allocation, holes, sizes and free space."""
import os

from framework import Descriptor, attempt, check, read, write
from syscalls import FALLOC_COLLAPSE_RANGE, FALLOC_INSERT_RANGE, FALLOC_KEEP_SIZE, FALLOC_PUNCH_HOLE
from syscalls import FALLOC_UNSHARE_RANGE, FALLOC_ZERO_RANGE, fallocate

BLOCK = 4096


def filled(directory, blocks=16):
    """A file of blocks of A, B, C …"""
    return write(f'{directory}/file', b''.join(bytes([65 + index]) * BLOCK for index in range(blocks)))


def outline(path):
    """The letter of each block, `.` for zeros."""
    content = read(path)
    parts = [set(content[at : at + BLOCK]) for at in range(0, len(content), BLOCK)]
    return ''.join('?' if len(part) != 1 else '.' if part == {0} else chr(min(part)) for part in parts)


def blocks(fd):
    os.fsync(fd)
    return os.fstat(fd).st_blocks * 512 // BLOCK


MODES = {
    'plainly': 0,
    'keeping the size': FALLOC_KEEP_SIZE,
    'punching': FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE,
    'zeroing': FALLOC_ZERO_RANGE,
    'zeroing and keeping the size': FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE,
    'collapsing': FALLOC_COLLAPSE_RANGE,
    'inserting': FALLOC_INSERT_RANGE,
    'unsharing': FALLOC_UNSHARE_RANGE,
    'punching without keeping the size': FALLOC_PUNCH_HOLE,
    'punching and zeroing': FALLOC_PUNCH_HOLE | FALLOC_ZERO_RANGE | FALLOC_KEEP_SIZE,
    'with an unknown mode': 0x4000,
}

for name, mode in MODES.items():

    @check('fallocate', name)
    def _(directory, mode=mode):
        seen = []
        for start, length in ((2, 3), (14, 6), (20, 4)):
            path = filled(directory)
            with Descriptor(path) as fd:
                os.fsync(fd)
                result = attempt(fallocate, fd, mode, start * BLOCK, length * BLOCK)
                seen.append([result, os.fstat(fd).st_size // BLOCK, blocks(fd), outline(path)])
            os.unlink(path)
        return seen


@check('fallocate', 'in the middle of blocks')
def _(directory):
    path = filled(directory, 3)
    with Descriptor(path) as fd:
        punched = attempt(fallocate, fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 100, 6000)
        content = read(path)
        zeroed = attempt(fallocate, fd, FALLOC_ZERO_RANGE, 3 * BLOCK - 10, 30)
        size = os.fstat(fd).st_size
    return [punched, content[:100], set(content[100:6100]), content[6100:6110], zeroed, size, read(path)[-32:]]


@check('fallocate', 'what is refused')
def _(directory):
    path = filled(directory, 1)
    os.mkfifo(f'{directory}/fifo')
    with Descriptor(path, os.O_RDONLY) as reader, Descriptor(path) as fd, Descriptor(directory, os.O_RDONLY) as folder:
        with Descriptor(f'{directory}/fifo') as fifo:
            return [
                attempt(fallocate, reader, 0, 0, 10),
                attempt(fallocate, fd, 0, 0, 0),
                attempt(fallocate, fd, 0, -1, 10),
                attempt(fallocate, fd, 0, 10, -1),
                attempt(fallocate, fd, 0, 2**62, 2**62),
                attempt(fallocate, fd, 0, 2**50, 10),
                attempt(fallocate, folder, 0, 0, 10),
                attempt(fallocate, fifo, 0, 0, 10),
            ]


@check('fallocate', 'on a file without a name')
def _(directory):
    path = filled(directory, 2)
    with Descriptor(path) as fd:
        os.unlink(path)
        return [attempt(fallocate, fd, 0, 0, 10 * BLOCK), os.fstat(fd).st_size, blocks(fd)]


@check('fallocate', 'as a library does it')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        os.posix_fallocate(fd, 1000, 100_000)
        return [os.fstat(fd).st_size, blocks(fd) >= 24]


@check('seek', 'data and holes')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        os.pwrite(fd, b'd' * BLOCK * 16, 0)
        os.pwrite(fd, b'd' * BLOCK * 16, BLOCK * 64)
        os.ftruncate(fd, BLOCK * 128)
        os.fsync(fd)
        positions = (0, 100, BLOCK * 16, BLOCK * 20, BLOCK * 70, BLOCK * 100, BLOCK * 128 - 1, BLOCK * 128, -1)
        return {
            name: [attempt(os.lseek, fd, at, whence) for at in positions]
            for name, whence in (('data', os.SEEK_DATA), ('hole', os.SEEK_HOLE))
        }


@check('seek', 'data and holes after punching')
def _(directory):
    path = filled(directory)
    with Descriptor(path) as fd:
        os.fsync(fd)
        fallocate(fd, FALLOC_PUNCH_HOLE | FALLOC_KEEP_SIZE, 4 * BLOCK, 4 * BLOCK)
        os.fsync(fd)
        return [
            os.lseek(fd, 0, os.SEEK_HOLE) // BLOCK,
            os.lseek(fd, 4 * BLOCK, os.SEEK_DATA) // BLOCK,
            blocks(fd),
        ]


@check('seek', 'data that is not on the disk yet')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        os.pwrite(fd, b'fresh', 10 * BLOCK)
        return [os.lseek(fd, 10 * BLOCK, os.SEEK_DATA), os.lseek(fd, 10 * BLOCK, os.SEEK_HOLE)]


@check('seek', 'other ways')
def _(directory):
    path = write(f'{directory}/file', b'0123456789')
    with Descriptor(path) as fd:
        return [
            attempt(os.lseek, fd, *where)
            for where in ((5, 0), (3, 1), (-2, 2), (100, 0), (-1, 0), (-200, 1), (0, 9), (2**63 - 1, 0), (2**44, 0))
        ]


@check('space', 'a hole takes no blocks and a written block does')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        os.ftruncate(fd, 100 * BLOCK)
        empty = blocks(fd)
        os.pwrite(fd, b'x', 50 * BLOCK)
        return [empty, blocks(fd), os.fstat(fd).st_blksize]


@check('space', 'free space goes down when a file is written')
def _(directory):
    before = os.statvfs(directory)
    path = write(f'{directory}/file', os.urandom(4 << 20))
    with Descriptor(path) as fd:
        os.fsync(fd)
    after = os.statvfs(path)
    return [
        before.f_bavail <= before.f_bfree <= before.f_blocks,
        before.f_files > before.f_ffree > 0,
        before.f_namemax,
        before.f_bsize,
        before.f_frsize,
        after.f_blocks == before.f_blocks,
    ]
