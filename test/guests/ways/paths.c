// Other spellings, directions and links to the same place.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ways.h"

static long open_only(const char* path, int flags) {
  const int fd = open(path, flags, 0644);
  return fd < 0 ? fd : closing(fd, 0);
}

static long open_resolved(const char* path, uint64_t flags, uint64_t resolve) {
  struct open_how how = {.flags = flags, .resolve = resolve};
  const long fd = syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  return fd < 0 ? fd : closing((int)fd, 0);
}

static long open_at(const char* directory, const char* path, int flags) {
  const int at = open(directory, O_PATH | O_DIRECTORY);
  if (at < 0) return at;
  const int fd = openat(at, path, flags, 0644);
  return closing(at, fd < 0 ? fd : closing(fd, 0));
}

// A way that opens a path with these flags.
#define OPENS(function, path, flags) \
  static long function(void) { return open_only(path, flags); }
#define RESOLVES(function, path, flags, resolve) \
  static long function(void) { return open_resolved(path, flags, resolve); }
#define OPENS_AT(function, directory, path, flags) \
  static long function(void) { return open_at(directory, path, flags); }
#define CALLS(function, call) \
  static long function(void) { return call; }

OPENS(slash, ".env/", O_RDONLY)
OPENS(slash_dot, ".env/.", O_RDONLY)
OPENS(dots, "././/./.env", O_RDONLY)
OPENS(up_down, "src/../out/../.env", O_RDONLY)
OPENS(above_root, "/../../mnt/../mnt/.env", O_RDONLY)
OPENS(through_hidden, "vault/../src/main.c", O_RDONLY)
OPENS(hidden_dot, "vault/.", O_RDONLY | O_DIRECTORY)
OPENS(hidden_dotdot, "vault/..", O_RDONLY | O_DIRECTORY)
OPENS(hidden_slashes, "vault///", O_RDONLY | O_DIRECTORY)
OPENS(below_file, "src/main.c/../key.pem", O_RDONLY)
OPENS(as_path, ".env", O_PATH)
OPENS(as_path_no_follow, ".env", O_PATH | O_NOFOLLOW)
OPENS(as_directory, "vault", O_PATH | O_DIRECTORY)
OPENS(unknown_access, ".env", O_WRONLY | O_RDWR)
OPENS(direct, "src/key.pem", O_RDONLY | O_DIRECT)
OPENS(made_if_missing, "src/key.pem", O_RDWR | O_CREAT)
OPENS(truncated, ".git/config", O_RDONLY | O_TRUNC)
OPENS(temporary_in_hidden, "vault", O_TMPFILE | O_RDWR)
OPENS(temporary_in_read_only, "src", O_TMPFILE | O_RDWR)
OPENS(no_follow_link, "src/to-env", O_RDONLY | O_NOFOLLOW)
OPENS(proc_cwd, "/proc/self/cwd/.env", O_RDONLY)
OPENS(proc_root, "/proc/self/root/mnt/vault/gold", O_RDONLY)
OPENS(proc_task, "/proc/thread-self/cwd/src/key.pem", O_RDONLY)
OPENS(upper_case, ".ENV", O_RDONLY)
OPENS(mixed_case, "src/KEY.Pem", O_RDONLY)
OPENS(upper_directory, "VAULT/gold", O_RDONLY)
OPENS(made_upper_case, "out/NEW.PEM", O_RDONLY | O_NOFOLLOW)
OPENS(full_width,
      "\xef\xbc\x8e"
      "env",
      O_RDONLY)
OPENS(zero_width, ".e\xe2\x80\x8bnv", O_RDONLY)
OPENS(combining, ".env\xcc\x81", O_RDONLY)
OPENS(overlong,
      "\xc0\xae"
      "env",
      O_RDONLY)
OPENS(overlong_slash, "vault\xc0\xafgold", O_RDONLY)
OPENS(backslash, "vault\\gold", O_RDONLY)
OPENS(percent, "%2eenv", O_RDONLY)
OPENS(trailing_space, ".env ", O_RDONLY)
OPENS(trailing_dot, ".env.", O_RDONLY)
OPENS(newline, ".env\n", O_RDONLY)
OPENS(stream, ".env::$DATA", O_RDONLY)
OPENS(pattern, ".en?", O_RDONLY)

RESOLVES(beneath, ".env", O_RDONLY, RESOLVE_BENEATH)
RESOLVES(in_root, "/../.env", O_RDONLY, RESOLVE_IN_ROOT)
RESOLVES(no_mounts, "vault/gold", O_PATH, RESOLVE_NO_XDEV)
RESOLVES(no_magic, "src/to-env", O_RDONLY, RESOLVE_NO_MAGICLINKS)
RESOLVES(no_links, "src/to-env", O_RDONLY, RESOLVE_NO_SYMLINKS)

OPENS_AT(from_below, "out/full", "../../vault/gold", O_RDONLY)
OPENS_AT(from_beside, "src", "../.env", O_RDONLY)
OPENS_AT(from_inside, ".git", "config", O_RDONLY)
OPENS_AT(made_from_inside, ".git", "config", O_WRONLY | O_CREAT)
OPENS_AT(from_file, "src/main.c", "../.env", O_RDONLY)

static struct stat status;
static struct statx status_x;
static struct statfs file_system;
static char buffer[4096];

CALLS(statx_synced, statx(AT_FDCWD, ".env", AT_STATX_FORCE_SYNC, STATX_ALL, &status_x))
CALLS(statx_cached, statx(AT_FDCWD, ".env", AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &status_x))
CALLS(statx_inode_only, statx(AT_FDCWD, "src/innocent", 0, STATX_INO, &status_x))
CALLS(stat_unmounted, fstatat(AT_FDCWD, "vault", &status, AT_NO_AUTOMOUNT | AT_SYMLINK_NOFOLLOW))
CALLS(access_effective, syscall(SYS_faccessat2, AT_FDCWD, ".env", F_OK, AT_EACCESS))
CALLS(access_link, syscall(SYS_faccessat2, AT_FDCWD, "src/key.pem", F_OK, AT_SYMLINK_NOFOLLOW))
CALLS(statfs_file, statfs("vault/gold", &file_system))
CALLS(read_link, readlink("vault", buffer, sizeof buffer))
CALLS(xattr_acl, getxattr(".env", "system.posix_acl_access", buffer, sizeof buffer))
CALLS(xattr_capability, lgetxattr("src/key.pem", "security.capability", buffer, sizeof buffer))
CALLS(xattr_list, llistxattr("vault", buffer, sizeof buffer))
CALLS(xattr_remove, removexattr(".env", "user.x"))
CALLS(xattr_remove_read_only, removexattr("src/main.c", "user.x"))
CALLS(execute, execl("src/key.pem", "key.pem", NULL))
CALLS(execute_through_link, execl("src/to-env", "env", NULL))
CALLS(execute_denied, execl("out/sealed", "sealed", NULL))
CALLS(change_directory, chdir("vault"))
CALLS(change_below, chdir("vault/sub"))

static long from_working_directory(void) { return chdir(".git") != 0 ? NOT_BEGUN : open_only("config", O_RDONLY); }

static long watched(void) {
  const int fd = inotify_init1(0);
  return fd < 0 ? fd : closing(fd, inotify_add_watch(fd, ".env", IN_ALL_EVENTS));
}

static long watched_by_other_name(void) {
  const int fd = inotify_init1(0);
  return fd < 0 ? fd : closing(fd, inotify_add_watch(fd, "out/copy", IN_OPEN));
}

static long connected(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "vault/gold"};
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return fd < 0 ? fd : closing(fd, connect(fd, (struct sockaddr*)&address, sizeof address));
}

static int is_hidden(const char* name) {
  static const char* const names[] = {".env", "key.pem", "config", "vault", "gold"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp(name, names[i]) == 0) return 1;
  }
  return 0;
}

// Reads a listing from a position; 0 if something hidden is in it, else ENOENT. `from` is no position of this
// directory.
static long listed_from(const char* directory, off_t from) {
  struct Entry {
    uint64_t inode;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[];
  };
  _Alignas(8) char entries[2048];
  const int fd = open(directory, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fd;
  long found = -1;
  long size = 0;
  lseek(fd, from, SEEK_SET);
  while ((size = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
    for (long at = 0; at < size;) {
      const struct Entry* entry = (const struct Entry*)(entries + at);
      if (is_hidden(entry->name)) found = 0;
      at += entry->length;
    }
  }
  errno = ENOENT;
  return closing(fd, found);
}

static long listed(void) {
  static const char* const directories[] = {".", ".git", "src", "out", "out/full"};
  for (size_t i = 0; i < sizeof directories / sizeof directories[0]; i++) {
    if (listed_from(directories[i], 0) == 0) return 0;
  }
  errno = ENOENT;
  return -1;
}

static long listed_from_anywhere(void) {
  for (off_t from = 1; from < 64; from++) {
    if (listed_from(".", from) == 0 || listed_from("src", from) == 0) return 0;
  }
  for (int shift = 6; shift < 63; shift++) {
    if (listed_from(".", (off_t)1 << shift) == 0 || listed_from("src", ((off_t)1 << shift) - 1) == 0) return 0;
  }
  errno = ENOENT;
  return -1;
}

static const Way WAYS[] = {
    {"open .env/", slash},
    {"open .env/.", slash_dot},
    {"open ././/./.env", dots},
    {"open src/../out/../.env", up_down},
    {"open from above the root", above_root},
    {"open a visible file through a hidden directory", through_hidden},
    {"open vault/.", hidden_dot},
    {"open vault/..", hidden_dotdot},
    {"open vault///", hidden_slashes},
    {"open below a file", below_file},
    {"open O_PATH", as_path},
    {"open O_PATH O_NOFOLLOW", as_path_no_follow},
    {"open O_PATH O_DIRECTORY", as_directory},
    {"open with access mode 3", unknown_access},
    {"open O_DIRECT", direct},
    {"open O_CREAT a hidden file", made_if_missing},
    {"open O_TRUNC a hidden file", truncated},
    {"open O_TMPFILE in a hidden directory", temporary_in_hidden},
    {"open O_TMPFILE where nothing may be written", temporary_in_read_only},
    {"open O_NOFOLLOW a link", no_follow_link},
    {"open /proc/self/cwd/.env", proc_cwd},
    {"open /proc/self/root", proc_root},
    {"open /proc/thread-self/cwd", proc_task},
    {"spelling .ENV", upper_case},
    {"spelling KEY.Pem", mixed_case},
    {"spelling VAULT", upper_directory},
    {"spelling NEW.PEM", made_upper_case},
    {"spelling with a full-width dot", full_width},
    {"spelling with a zero-width space", zero_width},
    {"spelling with a combining accent", combining},
    {"spelling with an overlong dot", overlong},
    {"spelling with an overlong slash", overlong_slash},
    {"spelling with a backslash", backslash},
    {"spelling with a percent sign", percent},
    {"spelling with a space behind", trailing_space},
    {"spelling with a dot behind", trailing_dot},
    {"spelling with a newline behind", newline},
    {"spelling with a stream", stream},
    {"spelling with a wildcard", pattern},
    {"openat2 RESOLVE_BENEATH", beneath},
    {"openat2 RESOLVE_IN_ROOT", in_root},
    {"openat2 RESOLVE_NO_XDEV", no_mounts},
    {"openat2 RESOLVE_NO_MAGICLINKS", no_magic},
    {"openat2 RESOLVE_NO_SYMLINKS", no_links},
    {"openat ../../vault/gold", from_below},
    {"openat ../.env", from_beside},
    {"openat config of .git", from_inside},
    {"openat O_CREAT config of .git", made_from_inside},
    {"openat of a file", from_file},
    {"statx AT_STATX_FORCE_SYNC", statx_synced},
    {"statx AT_STATX_DONT_SYNC", statx_cached},
    {"statx for the inode number alone", statx_inode_only},
    {"fstatat AT_NO_AUTOMOUNT", stat_unmounted},
    {"faccessat2 AT_EACCESS", access_effective},
    {"faccessat2 AT_SYMLINK_NOFOLLOW", access_link},
    {"statfs of a hidden file", statfs_file},
    {"readlink of a hidden directory", read_link},
    {"getxattr of the ACL", xattr_acl},
    {"getxattr of the capability", xattr_capability},
    {"llistxattr of a hidden directory", xattr_list},
    {"removexattr of a hidden file", xattr_remove},
    {"removexattr where nothing may be written", xattr_remove_read_only},
    {"execve a hidden file", execute},
    {"execve a link to a hidden file", execute_through_link},
    {"execve what may not be read", execute_denied},
    {"chdir to a hidden directory", change_directory},
    {"chdir below a hidden directory", change_below},
    {"open from the working directory", from_working_directory},
    {"inotify a hidden file", watched},
    {"inotify another name of a hidden file", watched_by_other_name},
    {"connect to a hidden file", connected},
    {"getdents of every directory", listed},
    {"getdents from positions that nobody gave", listed_from_anywhere},
};

const Ways path_ways = WAYS_OF(WAYS);
