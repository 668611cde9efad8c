// The ways that come as a list: those that an embedded guest goes, too.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ways.h"

static char buffer[4096];

static int open_flags(const char* how) {
  if (strcmp(how, "r") == 0) return O_RDONLY;
  if (strcmp(how, "r+") == 0) return O_RDWR;
  if (strcmp(how, "a") == 0) return O_WRONLY | O_CREAT | O_APPEND;
  if (strcmp(how, "w") == 0) return O_WRONLY | O_CREAT | O_TRUNC;
  if (strcmp(how, "wx") == 0) return O_WRONLY | O_CREAT | O_TRUNC | O_EXCL;
  fprintf(stderr, "open as %s?\n", how);
  exit(2);
}

static long go_open(const char* path, const char* second, const char* how) {
  (void)second;
  const int fd = open(path, open_flags(how), 0666);
  return fd < 0 ? fd : closing(fd, 0);
}

static long go_opendir(const char* path, const char* second, const char* how) {
  (void)second, (void)how;
  const int fd = open(path, O_RDONLY | O_DIRECTORY);
  return fd < 0 ? fd : closing(fd, 0);
}

static int access_mode(const char* how) { return how[0] == 'r' ? R_OK : how[0] == 'w' ? W_OK : X_OK; }

// A call of one line: `path` and `second` below the share, and `how`.
#define GOES(name, call)                                                         \
  static long go_##name(const char* path, const char* second, const char* how) { \
    (void)path, (void)second, (void)how;                                         \
    return call;                                                                 \
  }

static struct stat status;
static struct statfs file_system;
static const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1}};

GOES(stat, stat(path, &status))
GOES(lstat, lstat(path, &status))
GOES(access, access(path, access_mode(how)))
GOES(readlink, readlink(path, buffer, sizeof buffer))
GOES(unlink, unlink(path))
GOES(rmdir, rmdir(path))
GOES(rename, rename(path, second))
GOES(exchange, renameat2(AT_FDCWD, path, AT_FDCWD, second, RENAME_EXCHANGE))
GOES(link, link(path, second))
GOES(symlink, symlink(path, second))
GOES(mkdir, mkdir(path, 0777))
GOES(mkfifo, mkfifo(path, 0644))
GOES(mknod, mknod(path, S_IFCHR | 0644, makedev(1, 3)))
GOES(truncate, truncate(path, 0))
GOES(chmod, chmod(path, (mode_t)strtoul(how, NULL, 8)))
GOES(chown, chown(path, 1, 1))
GOES(utimes, utimensat(AT_FDCWD, path, times, 0))
GOES(getxattr, getxattr(path, "user.x", buffer, sizeof buffer))
GOES(setxattr, setxattr(path, "user.x", "value", 5, 0))
GOES(listxattr, listxattr(path, buffer, sizeof buffer))
GOES(statfs, statfs(path, &file_system))

static const struct {
  const char* call;
  long (*go)(const char* path, const char* second, const char* how);
} CALLS[] = {
    {"stat", go_stat},         {"lstat", go_lstat},         {"open", go_open},     {"opendir", go_opendir},
    {"access", go_access},     {"readlink", go_readlink},   {"unlink", go_unlink}, {"rmdir", go_rmdir},
    {"rename", go_rename},     {"exchange", go_exchange},   {"link", go_link},     {"symlink", go_symlink},
    {"mkdir", go_mkdir},       {"mkfifo", go_mkfifo},       {"mknod", go_mknod},   {"truncate", go_truncate},
    {"chmod", go_chmod},       {"chown", go_chown},         {"utimes", go_utimes}, {"getxattr", go_getxattr},
    {"setxattr", go_setxattr}, {"listxattr", go_listxattr}, {"statfs", go_statfs},
};

// The path in the share; what a symbolic link leads to is taken as it is.
static const char* in_share(char* space, size_t size, const char* path) {
  if (path[0] != '/') return path;
  snprintf(space, size, SHARE "%s", path);
  return space;
}

long walk_line(char* line) {
  char first[512];
  char second[512];
  const char* call = strsep(&line, "\t");
  const char* path = strsep(&line, "\t");
  const char* other = strsep(&line, "\t");
  const char* how = strsep(&line, "\t");
  if (how == NULL) return NOT_BEGUN;
  for (size_t i = 0; i < sizeof CALLS / sizeof CALLS[0]; i++) {
    if (strcmp(CALLS[i].call, call) != 0) continue;
    return CALLS[i].go(in_share(first, sizeof first, path), in_share(second, sizeof second, other), how);
  }
  return NOT_BEGUN;
}
