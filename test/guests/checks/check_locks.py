"""Locks between processes: fcntl's, open file descriptions' and flock's."""
import fcntl
import os
import signal
import struct
import time

from framework import Descriptor, Process, Signal, attempt, check, in_child, write

F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW = 36, 37, 38
# Long enough for a process that waits to be waiting.
A_MOMENT = 0.3


def record(kind, start=0, length=0, whence=os.SEEK_SET, pid=0):
    return struct.pack('hhqqi4x', kind, whence, start, length, pid)


def lock(fd, kind, start=0, length=0, command=fcntl.F_SETLK, whence=os.SEEK_SET):
    fcntl.fcntl(fd, command, record(kind, start, length, whence))


def holder(fd, kind, start=0, length=0, command=fcntl.F_GETLK, me=None):
    """Who stands in the way: type, range, and whether it is the process `me`."""
    result = struct.unpack('hhqqi4x', fcntl.fcntl(fd, command, record(kind, start, length)))
    kinds = {fcntl.F_RDLCK: 'read', fcntl.F_WRLCK: 'write', fcntl.F_UNLCK: 'none'}
    if result[0] == fcntl.F_UNLCK:
        return 'none'
    return [kinds[result[0]], result[2], result[3], result[4] == me if me is not None else result[4]]


def other(path, function, flags=os.O_RDWR):
    """The result of the function of a descriptor, in another process."""

    def run():
        with Descriptor(path, flags) as fd:
            return function(fd)

    return in_child(run)


@check('locks', 'fcntl: readers share, a writer excludes')
def _(directory):
    path = write(f'{directory}/file', b'0' * 100)

    def tries(fd):
        return [attempt(lock, fd, kind) for kind in (fcntl.F_RDLCK, fcntl.F_WRLCK)]

    with Descriptor(path) as fd:
        lock(fd, fcntl.F_RDLCK)
        read = other(path, tries)
        lock(fd, fcntl.F_WRLCK)
        written = other(path, tries)
        lock(fd, fcntl.F_UNLCK)
        return [read, written, other(path, tries)]


@check('locks', 'fcntl: who stands in the way')
def _(directory):
    path = write(f'{directory}/file', b'0' * 100)
    me = os.getpid()
    with Descriptor(path) as fd:
        lock(fd, fcntl.F_WRLCK, 10, 20)
        lock(fd, fcntl.F_RDLCK, 50, 0)
        return other(
            path,
            lambda fd: [
                holder(fd, fcntl.F_WRLCK, 0, 5, me=me),
                holder(fd, fcntl.F_RDLCK, 15, 1, me=me),
                holder(fd, fcntl.F_RDLCK, 60, 1, me=me),
                holder(fd, fcntl.F_WRLCK, 60, 1, me=me),
                holder(fd, fcntl.F_WRLCK, 0, 0, me=me),
            ],
        )


@check('locks', 'fcntl: ranges are split and joined')
def _(directory):
    path = write(f'{directory}/file', b'0' * 100)
    with Descriptor(path) as fd:
        lock(fd, fcntl.F_WRLCK, 0, 100)
        lock(fd, fcntl.F_UNLCK, 40, 20)
        split = other(path, lambda fd: [attempt(lock, fd, fcntl.F_WRLCK, at, 1) for at in (39, 40, 59, 60)])
        lock(fd, fcntl.F_WRLCK, 40, 20)
        return [split, other(path, lambda fd: [attempt(lock, fd, fcntl.F_WRLCK, at, 1) for at in (39, 40, 99, 100)])]


@check('locks', 'fcntl: from the end and from the position')
def _(directory):
    path = write(f'{directory}/file', b'0' * 100)
    with Descriptor(path) as fd:
        os.lseek(fd, 30, os.SEEK_SET)
        lock(fd, fcntl.F_WRLCK, -10, 5, whence=os.SEEK_CUR)
        lock(fd, fcntl.F_WRLCK, -10, 0, whence=os.SEEK_END)
        me = os.getpid()
        return other(path, lambda fd: [holder(fd, fcntl.F_WRLCK, at, 1, me=me) for at in (20, 50, 95)])


@check('locks', 'fcntl: what makes no sense')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path, os.O_RDONLY) as reader, Descriptor(path, os.O_WRONLY) as writer:
        return [
            attempt(lock, reader, fcntl.F_WRLCK),
            attempt(lock, writer, fcntl.F_RDLCK),
            attempt(lock, writer, 77),
            attempt(lock, writer, fcntl.F_WRLCK, -1, 1),
            attempt(lock, writer, fcntl.F_WRLCK, 10, -5),
            attempt(lock, writer, fcntl.F_WRLCK, 3, -5),
        ]


@check('locks', 'fcntl: closing any descriptor of the file lets go')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        lock(fd, fcntl.F_WRLCK)
        held = other(path, lambda fd: attempt(lock, fd, fcntl.F_WRLCK))
        os.close(os.open(path, os.O_RDONLY))
        return [held, other(path, lambda fd: attempt(lock, fd, fcntl.F_WRLCK))]


@check('locks', 'fcntl: the end of a process lets go')
def _(directory):
    path = write(f'{directory}/file')
    held, end = Signal(), Signal()

    def hold():
        fd = os.open(path, os.O_RDWR)
        lock(fd, fcntl.F_WRLCK)
        held.set()
        end.wait()

    process = Process(hold)
    held.wait()
    with Descriptor(path) as fd:
        before = attempt(lock, fd, fcntl.F_WRLCK)
        os.kill(process.pid, signal.SIGKILL)
        process.result()
        return [before, attempt(lock, fd, fcntl.F_WRLCK)]


def waits(path, take, release, hold):
    """Whether another process waits for what this one holds, and gets it when it is let go."""
    waiting = Signal()

    def wait():
        with Descriptor(path) as fd:
            waiting.set()
            started = time.monotonic()
            result = attempt(take, fd)
            return [result, time.monotonic() - started > A_MOMENT / 2]

    with Descriptor(path) as fd:
        hold(fd)
        process = Process(wait)
        waiting.wait()
        time.sleep(A_MOMENT)
        # The file can be used while somebody waits for the lock.
        os.pwrite(fd, b'x', 0)
        used = os.pread(fd, 1, 0)
        release(fd)
        return [process.result(), used]


@check('locks', 'fcntl: a process waits for another')
def _(directory):
    return waits(
        write(f'{directory}/file'),
        take=lambda fd: lock(fd, fcntl.F_WRLCK, command=fcntl.F_SETLKW),
        hold=lambda fd: lock(fd, fcntl.F_WRLCK),
        release=lambda fd: lock(fd, fcntl.F_UNLCK),
    )


@check('locks', 'flock: a process waits for another')
def _(directory):
    return waits(
        write(f'{directory}/file'),
        take=lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
        hold=lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
        release=lambda fd: fcntl.flock(fd, fcntl.LOCK_UN),
    )


@check('locks', 'open file descriptions: a process waits for another')
def _(directory):
    return waits(
        write(f'{directory}/file'),
        take=lambda fd: lock(fd, fcntl.F_WRLCK, command=F_OFD_SETLKW),
        hold=lambda fd: lock(fd, fcntl.F_WRLCK, command=F_OFD_SETLK),
        release=lambda fd: lock(fd, fcntl.F_UNLCK, command=F_OFD_SETLK),
    )


def interrupted(path, hold, take):
    """What a process sees that is interrupted by a signal while it waits."""
    waiting = Signal()

    class Interrupted(Exception):
        pass

    def handler(_number, _frame):
        raise Interrupted

    def wait():
        signal.signal(signal.SIGUSR1, handler)
        with Descriptor(path) as fd:
            waiting.set()
            try:
                return ['not interrupted', attempt(take, fd)]
            except Interrupted:
                return ['interrupted']

    with Descriptor(path) as fd:
        hold(fd)
        process = Process(wait)
        waiting.wait()
        time.sleep(A_MOMENT)
        os.kill(process.pid, signal.SIGUSR1)
        return process.result()


@check('locks', 'fcntl: a signal ends the waiting')
def _(directory):
    return interrupted(
        write(f'{directory}/file'),
        hold=lambda fd: lock(fd, fcntl.F_WRLCK),
        take=lambda fd: lock(fd, fcntl.F_WRLCK, command=fcntl.F_SETLKW),
    )


@check('locks', 'flock: a signal ends the waiting')
def _(directory):
    return interrupted(
        write(f'{directory}/file'),
        hold=lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
        take=lambda fd: fcntl.flock(fd, fcntl.LOCK_EX),
    )


@check('locks', 'fcntl: a killed waiter does not get the lock')
def _(directory):
    path = write(f'{directory}/file')
    waiting = Signal()

    def wait():
        with Descriptor(path) as fd:
            waiting.set()
            lock(fd, fcntl.F_WRLCK, command=fcntl.F_SETLKW)

    with Descriptor(path) as fd:
        lock(fd, fcntl.F_WRLCK)
        process = Process(wait)
        waiting.wait()
        time.sleep(A_MOMENT)
        os.kill(process.pid, signal.SIGKILL)
        process.result()
        lock(fd, fcntl.F_UNLCK)
        time.sleep(A_MOMENT)
        return other(path, lambda fd: attempt(lock, fd, fcntl.F_WRLCK))


@check('locks', 'open file descriptions: held by the description, not by the process')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as first, Descriptor(path) as second:
        lock(first, fcntl.F_WRLCK, command=F_OFD_SETLK)
        refused = attempt(lock, second, fcntl.F_WRLCK, command=F_OFD_SETLK)
        os.close(os.open(path, os.O_RDONLY))
        still = attempt(lock, second, fcntl.F_WRLCK, command=F_OFD_SETLK)
        inherited = in_child(lambda: attempt(lock, first, fcntl.F_WRLCK, command=F_OFD_SETLK))
        seen = holder(second, fcntl.F_WRLCK, command=F_OFD_GETLK)
        against_fcntl = other(path, lambda fd: attempt(lock, fd, fcntl.F_RDLCK))
        return [refused, still, inherited, seen, against_fcntl]


@check('locks', 'flock: shared and exclusive between processes')
def _(directory):
    path = write(f'{directory}/file')

    def tries(fd):
        return [
            attempt(fcntl.flock, fd, kind | fcntl.LOCK_NB) for kind in (fcntl.LOCK_SH, fcntl.LOCK_UN, fcntl.LOCK_EX)
        ]

    with Descriptor(path, os.O_RDONLY) as fd:
        seen = []
        for kind in (fcntl.LOCK_SH, fcntl.LOCK_EX, fcntl.LOCK_UN):
            fcntl.flock(fd, kind)
            seen.append(other(path, tries, os.O_RDONLY))
        return seen


@check('locks', 'flock: two descriptions of one process')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as first, Descriptor(path) as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        refused = attempt(fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        duplicate = os.dup(first)
        shared = attempt(fcntl.flock, duplicate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(duplicate)
        still = attempt(fcntl.flock, second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return [refused, shared, still]


@check('locks', 'flock: closing lets go, a child inherits')
def _(directory):
    path = write(f'{directory}/file')
    fd = os.open(path, os.O_RDWR)
    fcntl.flock(fd, fcntl.LOCK_EX)
    end = Signal()
    process = Process(end.wait)
    os.close(fd)
    with Descriptor(path) as mine:
        held = attempt(fcntl.flock, mine, fcntl.LOCK_EX | fcntl.LOCK_NB)
        end.set()
        process.result()
        return [held, attempt(fcntl.flock, mine, fcntl.LOCK_EX | fcntl.LOCK_NB)]


@check('locks', 'flock: exclusive becomes shared')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        fcntl.flock(fd, fcntl.LOCK_SH)
        return other(path, lambda fd: attempt(fcntl.flock, fd, fcntl.LOCK_SH | fcntl.LOCK_NB))


@check('locks', 'flock and fcntl do not meet')
def _(directory):
    path = write(f'{directory}/file')
    with Descriptor(path) as fd:
        fcntl.flock(fd, fcntl.LOCK_EX)
        return other(path, lambda fd: attempt(lock, fd, fcntl.F_WRLCK))


@check('locks', 'flock on a directory')
def _(directory):
    with Descriptor(directory, os.O_RDONLY) as fd:
        taken = attempt(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return [
            taken,
            other(directory, lambda fd: attempt(fcntl.flock, fd, fcntl.LOCK_EX | fcntl.LOCK_NB), os.O_RDONLY),
        ]


@check('locks', 'a deadlock is refused')
def _(directory):
    path = write(f'{directory}/file')
    held, waiting = Signal(), Signal()

    def child():
        with Descriptor(path) as fd:
            lock(fd, fcntl.F_WRLCK, 1, 1)
            held.set()
            waiting.wait()
            time.sleep(A_MOMENT)
            # The parent waits for byte 1 by now: waiting for byte 0 would never end.
            return attempt(lock, fd, fcntl.F_WRLCK, 0, 1, fcntl.F_SETLKW)

    with Descriptor(path) as fd:
        lock(fd, fcntl.F_WRLCK, 0, 1)
        process = Process(child)
        held.wait()
        waiting.set()
        result = attempt(lock, fd, fcntl.F_WRLCK, 1, 1, fcntl.F_SETLKW)
        return [result, process.result()]


@check('locks', 'a lock file as programs use it')
def _(directory):
    path = f'{directory}/lock'
    write(f'{directory}/counter', b'0')

    def work():
        for _ in range(20):
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            fcntl.lockf(fd, fcntl.LOCK_EX)
            with open(f'{directory}/counter', 'r+') as counter:
                value = int(counter.read())
                counter.seek(0)
                counter.write(str(value + 1))
            os.close(fd)

    processes = [Process(work) for _ in range(3)]
    return [[process.result() for process in processes], open(f'{directory}/counter').read()]
