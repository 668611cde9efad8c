// What can be made of a descriptor that one may have.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ways.h"

#define READ_ONLY "src/main.c"

// The path by which the kernel reopens a descriptor.
static const char* reopened(int fd) {
  static char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  return path;
}

static long reopen(const char* path, int first, int second) {
  const int fd = open(path, first);
  if (fd < 0) return fd;
  const int other = open(reopened(fd), second);
  return closing(fd, other < 0 ? other : closing(other, 0));
}

#define REOPENS(function, path, first, second) \
  static long function(void) { return reopen(path, first, second); }
// A way that opens a path with these flags and makes a call with `fd`.
#define WITH(function, path, flags, call)   \
  static long function(void) {              \
    const int fd = open(path, flags, 0644); \
    return fd < 0 ? fd : closing(fd, call); \
  }

REOPENS(reopen_sealed, "out/sealed", O_PATH, O_RDONLY)
REOPENS(reopen_sealed_to_write, "out/sealed", O_PATH, O_WRONLY)
REOPENS(reopen_to_write, READ_ONLY, O_RDONLY, O_RDWR)
REOPENS(reopen_path_to_write, READ_ONLY, O_PATH, O_WRONLY)
REOPENS(reopen_to_truncate, READ_ONLY, O_RDONLY, O_RDONLY | O_TRUNC)
REOPENS(reopen_to_append, READ_ONLY, O_RDONLY, O_WRONLY | O_APPEND)
REOPENS(reopen_directory, "src", O_RDONLY, O_TMPFILE | O_RDWR)

static int flags = FS_NODUMP_FL;
static struct fsxattr extended = {.fsx_xflags = FS_XFLAG_NODUMP};
static const struct timespec times[2];
static char bytes[64];

WITH(truncate_reopened, READ_ONLY, O_PATH, truncate(reopened(fd), 0))
WITH(chmod_reopened, READ_ONLY, O_PATH, chmod(reopened(fd), 0777))
WITH(xattr_reopened, READ_ONLY, O_PATH, setxattr(reopened(fd), "user.x", "v", 1, 0))
WITH(rename_reopened, READ_ONLY, O_PATH, rename(reopened(fd), "out/stolen"))
WITH(link_reopened, READ_ONLY, O_PATH, linkat(AT_FDCWD, reopened(fd), AT_FDCWD, "out/stolen", AT_SYMLINK_FOLLOW))
WITH(link_sealed, "out/sealed", O_PATH, linkat(AT_FDCWD, reopened(fd), AT_FDCWD, "out/stolen", AT_SYMLINK_FOLLOW))
WITH(link_taken, "out/result", O_PATH, linkat(AT_FDCWD, reopened(fd), AT_FDCWD, "out/x.pem", AT_SYMLINK_FOLLOW))
WITH(below_descriptor, "src", O_PATH, open("/proc/self/fd/../cwd/src/key.pem", O_RDONLY))
WITH(fchmod_file, READ_ONLY, O_RDONLY, fchmod(fd, 0777))
WITH(fchmod_setuid, "out/result", O_RDWR, fchmod(fd, 04755))
WITH(fchown_file, READ_ONLY, O_RDONLY, fchown(fd, getuid(), getgid()))
WITH(fchown_empty, READ_ONLY, O_PATH, fchownat(fd, "", getuid(), getgid(), AT_EMPTY_PATH))
WITH(futimens_file, READ_ONLY, O_RDONLY, futimens(fd, times))
WITH(futimens_now, READ_ONLY, O_RDONLY, futimens(fd, NULL))
WITH(fsetxattr_file, READ_ONLY, O_RDONLY, fsetxattr(fd, "user.x", "v", 1, 0))
WITH(fremovexattr_file, READ_ONLY, O_RDONLY, fremovexattr(fd, "user.x"))
WITH(capability, "out/result", O_RDONLY,
     fsetxattr(fd, "security.capability", "\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20, 0))
WITH(write_file, READ_ONLY, O_RDONLY, write(fd, "x", 1))
WITH(ftruncate_file, READ_ONLY, O_RDONLY, ftruncate(fd, 0))
WITH(fallocate_file, READ_ONLY, O_RDONLY, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8))
WITH(map_file, READ_ONLY, O_RDONLY, mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0)
WITH(set_flags, READ_ONLY, O_RDONLY, ioctl(fd, FS_IOC_SETFLAGS, &flags))
WITH(set_extended, READ_ONLY, O_RDONLY, ioctl(fd, FS_IOC_FSSETXATTR, &extended))
WITH(set_flags_directory, "src", O_RDONLY, ioctl(fd, FS_IOC_SETFLAGS, &flags))
WITH(read_path, "out/sealed", O_PATH, read(fd, bytes, sizeof bytes))
WITH(lock_path, "out/sealed", O_PATH, flock(fd, LOCK_EX | LOCK_NB))
WITH(xattr_path, "out/sealed", O_PATH, fsetxattr(fd, "user.x", "v", 1, 0))
WITH(xattr_sealed, "out/sealed", O_PATH, setxattr(reopened(fd), "user.x", "v", 1, 0))

static long protect_map(void) {
  const int fd = open(READ_ONLY, O_RDONLY);
  if (fd < 0) return fd;
  void* map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
  const long result = map == MAP_FAILED ? NOT_BEGUN : mprotect(map, 4096, PROT_READ | PROT_WRITE);
  const int error = errno;
  if (map != MAP_FAILED) munmap(map, 4096);
  errno = error;
  return closing(fd, result);
}

typedef long (*Copy)(int from, int to);

static long copied(int from, int to) { return copy_file_range(from, NULL, to, NULL, 4, 0); }
static long sent(int from, int to) { return sendfile(to, from, NULL, 4); }
static long cloned(int from, int to) { return ioctl(to, FICLONE, from); }

static long copy_into(Copy copy) {
  const int to = open(READ_ONLY, O_RDONLY);
  const int from = open("out/result", O_RDONLY);
  return closing(to, closing(from, copy(from, to)));
}

static long copy_range(void) { return copy_into(copied); }
static long send_file(void) { return copy_into(sent); }
static long clone_file(void) { return copy_into(cloned); }

// A file without a name gets one.
static long link_temporary(const char* name, int by_descriptor) {
  const int fd = open("out", O_TMPFILE | O_RDWR, 0644);
  if (fd < 0) return fd;
  const long result = by_descriptor ? linkat(fd, "", AT_FDCWD, name, AT_EMPTY_PATH)
                                    : linkat(AT_FDCWD, reopened(fd), AT_FDCWD, name, AT_SYMLINK_FOLLOW);
  return closing(fd, result);
}

static long temporary_hidden(void) { return link_temporary("out/x.pem", 0); }
static long temporary_hidden_empty(void) { return link_temporary("out/x.pem", 1); }
static long temporary_vault(void) { return link_temporary("vault", 0); }
static long temporary_read_only(void) { return link_temporary("src/new", 0); }
static long temporary_in_git(void) { return link_temporary(".git/config", 0); }

static long link_empty(void) {
  const int fd = open(READ_ONLY, O_PATH);
  return fd < 0 ? fd : closing(fd, linkat(fd, "", AT_FDCWD, "out/stolen", AT_EMPTY_PATH));
}

// A descriptor of a directory, and the way up from there.
static long up_from_descriptor(void) {
  const int fd = open("out/full", O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fd;
  if (fchdir(fd) != 0) return NOT_BEGUN;
  return closing(fd, open("../../.env", O_RDONLY));
}

static const Way WAYS[] = {
    {"reopen O_PATH of what may not be read", reopen_sealed},
    {"reopen O_PATH of what may not be written", reopen_sealed_to_write},
    {"reopen O_RDWR", reopen_to_write},
    {"reopen O_PATH O_WRONLY", reopen_path_to_write},
    {"reopen O_TRUNC", reopen_to_truncate},
    {"reopen O_APPEND", reopen_to_append},
    {"reopen a directory O_TMPFILE", reopen_directory},
    {"truncate by /proc/self/fd", truncate_reopened},
    {"chmod by /proc/self/fd", chmod_reopened},
    {"setxattr by /proc/self/fd", xattr_reopened},
    {"rename by /proc/self/fd", rename_reopened},
    {"linkat by /proc/self/fd out of where only reading is allowed", link_reopened},
    {"linkat by /proc/self/fd of what may not be read", link_sealed},
    {"linkat by /proc/self/fd to a hidden name", link_taken},
    {"open by /proc/self/fd/..", below_descriptor},
    {"linkat AT_EMPTY_PATH", link_empty},
    {"fchmod", fchmod_file},
    {"fchmod 4755", fchmod_setuid},
    {"fchown", fchown_file},
    {"fchownat AT_EMPTY_PATH", fchown_empty},
    {"futimens", futimens_file},
    {"futimens now", futimens_now},
    {"fsetxattr", fsetxattr_file},
    {"fremovexattr", fremovexattr_file},
    {"fsetxattr security.capability", capability},
    {"write to a descriptor for reading", write_file},
    {"ftruncate a descriptor for reading", ftruncate_file},
    {"fallocate a descriptor for reading", fallocate_file},
    {"mmap for writing", map_file},
    {"mprotect for writing", protect_map},
    {"ioctl FS_IOC_SETFLAGS", set_flags},
    {"ioctl FS_IOC_FSSETXATTR", set_extended},
    {"ioctl FS_IOC_SETFLAGS of a directory", set_flags_directory},
    {"read a descriptor of O_PATH", read_path},
    {"flock a descriptor of O_PATH", lock_path},
    {"fsetxattr a descriptor of O_PATH", xattr_path},
    {"setxattr of what may not be written by /proc/self/fd", xattr_sealed},
    {"copy_file_range to a descriptor for reading", copy_range},
    {"sendfile to a descriptor for reading", send_file},
    {"ioctl FICLONE to a descriptor for reading", clone_file},
    {"O_TMPFILE and linkat to a hidden name", temporary_hidden},
    {"O_TMPFILE and linkat AT_EMPTY_PATH to a hidden name", temporary_hidden_empty},
    {"O_TMPFILE and linkat to a hidden directory", temporary_vault},
    {"O_TMPFILE and linkat to where only reading is allowed", temporary_read_only},
    {"O_TMPFILE and linkat to .git/config", temporary_in_git},
    {"fchdir and ../../.env", up_from_descriptor},
};

const Ways descriptor_ways = WAYS_OF(WAYS);
