"""System calls that Python's os module does not have, each with an OSError for its errno."""
import ctypes
import os
import struct
from ctypes import c_char_p, c_int, c_int64, c_long, c_uint, c_void_p

_libc = ctypes.CDLL(None, use_errno=True)

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_SYMLINK_FOLLOW = 0x400
AT_SYMLINK_NOFOLLOW = 0x100

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4

FALLOC_KEEP_SIZE = 1
FALLOC_PUNCH_HOLE = 2
FALLOC_COLLAPSE_RANGE = 8
FALLOC_ZERO_RANGE = 16
FALLOC_INSERT_RANGE = 32
FALLOC_UNSHARE_RANGE = 64

SYS_STATX = 332
SYS_OPENAT2 = 437
STATX_BASIC_STATS = 0x7FF
STATX_BTIME = 0x800
STATX_MNT_ID = 0x1000

XATTR_CREATE = 1
XATTR_REPLACE = 2


def _function(name, *argument_types, result=c_int):
    # Not getattr, which gives the same object each time: `syscall` is here with several signatures.
    function = _libc[name]
    function.argtypes = argument_types
    function.restype = result

    def call(*args):
        value = function(*args)
        if value == -1:
            number = ctypes.get_errno()
            raise OSError(number, f'{name}: {os.strerror(number)}')
        return value

    return call


def _bytes(path):
    return os.fsencode(path)


_renameat2 = _function('renameat2', c_int, c_char_p, c_int, c_char_p, c_uint)
_fallocate = _function('fallocate', c_int, c_int, c_int64, c_int64)
_syncfs = _function('syncfs', c_int)
_linkat = _function('linkat', c_int, c_char_p, c_int, c_char_p, c_int)
_syscall = _function('syscall', c_long, c_long, c_void_p, c_long, c_long, c_void_p, result=c_long)
_openat2 = _function('syscall', c_long, c_int, c_char_p, c_void_p, c_long, result=c_long)
_setxattr = _function('lsetxattr', c_char_p, c_char_p, c_char_p, ctypes.c_size_t, c_int)
_utimensat = _function('utimensat', c_int, c_char_p, c_void_p, c_int)


def renameat2(source, target, flags):
    _renameat2(AT_FDCWD, _bytes(source), AT_FDCWD, _bytes(target), flags)


def fallocate(fd, mode, offset, length):
    _fallocate(fd, mode, offset, length)


def syncfs(fd):
    _syncfs(fd)


def linkat(old_directory, old, new, flags):
    _linkat(old_directory, _bytes(old), AT_FDCWD, _bytes(new), flags)


def setxattr(path, name, value, flags=0):
    """Does not follow symbolic links; takes a name of any bytes."""
    _setxattr(_bytes(path), _bytes(name), value, len(value), flags)


def utimensat(path, access, modification, flags=0):
    """Each time is a pair of seconds and nanoseconds, and these may be UTIME_NOW and UTIME_OMIT."""
    _utimensat(AT_FDCWD, _bytes(path), struct.pack('4q', *access, *modification), flags)


def openat2(path, flags, mode=0, resolve=0, directory=AT_FDCWD):
    how = struct.pack('QQQ', flags, mode, resolve)
    return _openat2(SYS_OPENAT2, directory, _bytes(path), how, len(how))


class Statx:
    """struct statx, as far as the checks look at it."""

    def __init__(self, path, mask=STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, flags=AT_SYMLINK_NOFOLLOW):
        buffer = ctypes.create_string_buffer(256)
        name = ctypes.create_string_buffer(_bytes(path))
        _syscall(SYS_STATX, AT_FDCWD, ctypes.addressof(name), flags, mask, ctypes.addressof(buffer))
        (self.mask, self.block_size, self.attributes, self.links) = struct.unpack_from('IIQI', buffer, 0)
        (self.uid, self.gid, self.mode) = struct.unpack_from('IIH', buffer, 20)
        (self.inode, self.size, self.blocks, self.attributes_mask) = struct.unpack_from('4Q', buffer, 32)
        times = [struct.unpack_from('qI', buffer, 64 + 16 * index) for index in range(4)]
        (self.atime, self.btime, self.ctime, self.mtime) = [seconds * 10**9 + part for seconds, part in times]
        (self.mount,) = struct.unpack_from('Q', buffer, 144)


class DirStream:
    """opendir and its family, with positions."""

    class _Dirent(ctypes.Structure):
        _fields_ = [
            ('inode', ctypes.c_uint64),
            ('offset', c_int64),
            ('length', ctypes.c_ushort),
            ('type', ctypes.c_ubyte),
            ('name', ctypes.c_char * 256),
        ]

    _opendir = _libc.opendir
    _opendir.argtypes = [c_char_p]
    _opendir.restype = c_void_p
    _readdir = _libc.readdir
    _readdir.argtypes = [c_void_p]
    _readdir.restype = ctypes.POINTER(_Dirent)
    _telldir = _libc.telldir
    _telldir.argtypes = [c_void_p]
    _telldir.restype = c_long
    _seekdir = _libc.seekdir
    _seekdir.argtypes = [c_void_p, c_long]
    _rewinddir = _libc.rewinddir
    _rewinddir.argtypes = [c_void_p]
    _closedir = _libc.closedir
    _closedir.argtypes = [c_void_p]

    def __init__(self, path):
        self._stream = self._opendir(_bytes(path))
        if not self._stream:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    def entry(self):
        """The next name with its type, or None at the end."""
        ctypes.set_errno(0)
        found = self._readdir(self._stream)
        if not found:
            if ctypes.get_errno() != 0:
                raise OSError(ctypes.get_errno(), 'readdir')
            return None
        return (found.contents.name, found.contents.type)

    def names(self):
        """The names that are left."""
        names = []
        while (entry := self.entry()) is not None:
            names.append(entry[0])
        return names

    def tell(self):
        return self._telldir(self._stream)

    def seek(self, position):
        self._seekdir(self._stream, position)

    def rewind(self):
        self._rewinddir(self._stream)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._closedir(self._stream)
