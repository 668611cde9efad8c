"""What a check is, and what it may use: every system call, other users, other processes.

A check is a function of one argument, the path of an empty directory of its own, and returns what it saw: numbers,
texts, lists. What it returns must be the same on every file system that behaves as Linux's own do, so it never holds
inode numbers, times or sizes of directories, only how they relate. A system call that fails is a result too: the name
of its errno.
"""
import errno
import json
import os
import shutil
import signal
import traceback

GROUPS = {}
CHECK_SECONDS = 60


def check(group, name):
    """Registers a check under `group/name`."""

    def register(function):
        checks = GROUPS.setdefault(group, {})
        assert name not in checks, f'two checks {group}/{name}'
        checks[name] = function
        return function

    return register


def attempt(function, *args, **kwargs):
    """What the function returns, or the name of the errno that it fails with. None counts as 'ok'."""
    try:
        result = function(*args, **kwargs)
    except OSError as error:
        return errno.errorcode.get(error.errno, error.errno)
    return 'ok' if result is None else result


def shown(value):
    """The value as JSON text; bytes are written as Python writes them."""

    def other(value):
        if isinstance(value, (bytes, bytearray)):
            return repr(bytes(value))
        if isinstance(value, (set, frozenset)):
            return sorted(value)
        raise TypeError(f'{value!r} cannot be shown')

    return json.dumps(value, default=other)


class Timeout(Exception):
    pass


def _alarm(_number, _frame):
    raise Timeout


def run_check(function, directory):
    """The line that a check prints. An exception that it did not expect is its result too."""
    os.mkdir(directory)
    before = os.getcwd()
    mask = os.umask(0o022)
    signal.signal(signal.SIGALRM, _alarm)
    signal.alarm(CHECK_SECONDS)
    try:
        return shown(attempt(function, directory))
    except Timeout:
        return 'did not end'
    except Exception as error:
        return f'raised {type(error).__name__}: {error}'.replace('\n', ' ')
    finally:
        signal.alarm(0)
        os.umask(mask)
        os.chdir(before)
        shutil.rmtree(directory, ignore_errors=True)


def run_group(group, directory):
    for number, (name, function) in enumerate(GROUPS[group].items()):
        print(f'{group}/{name}: {run_check(function, os.path.join(directory, f"{group}-{number}"))}', flush=True)


class Process:
    """A child that runs a function as somebody else, and hands its result back. `uid` None: as we are."""

    def __init__(self, function, uid=None, gid=None, groups=()):
        self._result, write = os.pipe()
        self.pid = os.fork()
        if self.pid != 0:
            os.close(write)
            return
        try:
            signal.alarm(CHECK_SECONDS)
            os.close(self._result)
            if uid is not None:
                os.setgroups(list(groups))
                os.setresgid(gid, gid, gid)
                os.setresuid(uid, uid, uid)
            os.write(write, shown(attempt(function)).encode())
        except BaseException:
            os.write(write, json.dumps(traceback.format_exc()).encode())
        finally:
            os._exit(0)

    def result(self):
        text = b''
        while part := os.read(self._result, 65536):
            text += part
        os.close(self._result)
        os.waitpid(self.pid, 0)
        return json.loads(text) if text else 'ended without a result'


def as_user(function, uid=1000, gid=1000, groups=()):
    """The result of the function when a process without privileges runs it."""
    return Process(function, uid, gid, groups).result()


def in_child(function):
    """The result of the function when another process of ours runs it."""
    return Process(function).result()


class Signal:
    """Lets one process wait for another: `set` in one ends `wait` in the other."""

    def __init__(self):
        self._read, self._write = os.pipe()

    def set(self):
        os.write(self._write, b'.')

    def wait(self):
        os.read(self._read, 1)


def write(path, data=b'', mode=0o644):
    """Makes a file, or empties it, and writes to it; returns its path."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
    return path


def read(path):
    with open(path, 'rb') as file:
        return file.read()


def mode_of(path):
    """Permission bits, as octal text."""
    return f'{os.lstat(path).st_mode & 0o7777:04o}'


class Descriptor:
    """`with Descriptor(path, flags) as fd`"""

    def __init__(self, path, flags=os.O_RDWR, mode=0o644):
        self.fd = os.open(path, flags, mode)

    def __enter__(self):
        return self.fd

    def __exit__(self, *_):
        os.close(self.fd)
