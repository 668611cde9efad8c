// Making, replacing and moving names.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ways.h"

#define CALLS(function, call) \
  static long function(void) { return call; }
#define RENAMES(function, from, to, flags) CALLS(function, renameat2(AT_FDCWD, from, AT_FDCWD, to, flags))

RENAMES(no_replace_hidden, "out/result", "out/x.pem", RENAME_NOREPLACE)
RENAMES(no_replace_border, "out/result", "src/result", RENAME_NOREPLACE)
RENAMES(whiteout, "out/result", "out/other", RENAME_WHITEOUT)
RENAMES(whiteout_hidden, ".env", "out/other", RENAME_WHITEOUT)
RENAMES(exchange_sealed, "out/result", "out/sealed", RENAME_EXCHANGE)
RENAMES(exchange_hidden_name, "out/result", "out/x.pem", RENAME_EXCHANGE)
RENAMES(exchange_directories, "out/full", "src", RENAME_EXCHANGE)
RENAMES(exchange_parents, ".git", "out/full", RENAME_EXCHANGE)
RENAMES(over_sealed, "out/result", "out/sealed", 0)
RENAMES(over_hidden_directory, "out/full", "vault", 0)
RENAMES(into_hidden, "out/result", "vault/result", 0)
RENAMES(out_of_hidden, "vault/gold", "out/gold", 0)
RENAMES(parent_with_slash, ".git/", "out/git/", 0)
RENAMES(parent_beside, ".git", ".git2", 0)
RENAMES(allowed_root, "out", "out2", 0)
RENAMES(into_itself, "out", "out/full/out", 0)
RENAMES(read_only_parent, "src", "vault2", 0)
RENAMES(hidden_by_other_name, "src/innocent", "src/.env", 0)

CALLS(link_follow, linkat(AT_FDCWD, "src/to-env", AT_FDCWD, "out/stolen", AT_SYMLINK_FOLLOW))
CALLS(link_itself, linkat(AT_FDCWD, "src/to-env", AT_FDCWD, "out/stolen", 0))
CALLS(link_directory, link("vault", "out/stolen"))
CALLS(mkdir_slash, mkdir("vault/", 0755))
CALLS(mkdir_inside, mkdir("vault/new", 0755))
CALLS(mkdir_hidden_slash, mkdir("out/.env/", 0755))
CALLS(unlink_sealed, unlink("out/sealed"))
CALLS(unlink_slash, unlink(".env/"))
CALLS(rmdir_git, rmdir(".git"))
CALLS(remove_by_flag, unlinkat(AT_FDCWD, "vault", AT_REMOVEDIR))
CALLS(block_device, mknod("out/disk", S_IFBLK | 0600, 0x100))
CALLS(whiteout_device, mknod("out/whiteout", S_IFCHR, 0))
CALLS(regular_node, mknod("out/x.pem", S_IFREG | 0644, 0))
CALLS(regular_node_read_only, mknod("src/new", S_IFREG | 0644, 0))
CALLS(symlink_read_only, symlink("../.env", "src/new"))
CALLS(symlink_over_hidden, symlink("result", "out/copy"))
CALLS(chmod_setgid, chmod("out/result", 02755))
CALLS(chown_sealed, lchown("out/sealed", 1, 1))
CALLS(chmod_sealed, chmod("out/sealed", 0777))
CALLS(utimes_sealed, utimensat(AT_FDCWD, "out/sealed", NULL, 0))

static long bound(const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return fd < 0 ? fd : closing(fd, bind(fd, (struct sockaddr*)&address, sizeof address));
}

static long bind_hidden(void) { return bound("out/x.pem"); }
static long bind_read_only(void) { return bound("src/socket"); }

// What the guest's own symbolic link leads to.
static long through_link(const char* target, const char* path, int flags) {
  if (symlink(target, "out/link") != 0) return NOT_BEGUN;
  const int fd = open(path, flags, 0644);
  return removing("out/link", fd < 0 ? fd : closing(fd, 0));
}

static long own_link(void) { return through_link("../.env", "out/link", O_RDONLY); }
static long own_link_absolute(void) { return through_link("/mnt/src/key.pem", "out/link", O_RDONLY); }
static long own_link_to_directory(void) { return through_link("../vault", "out/link/gold", O_RDONLY); }
static long own_link_to_root(void) { return through_link("..", "out/link/.env", O_RDONLY); }
static long own_link_to_proc(void) { return through_link("/proc/self/cwd", "out/link/vault/gold", O_RDONLY); }
static long own_link_creates(void) { return through_link("../.env", "out/link", O_WRONLY | O_CREAT); }
static long own_link_truncates(void) { return through_link("../src/main.c", "out/link", O_WRONLY | O_TRUNC); }

static long chain_of_links(void) {
  if (symlink("link", "out/first") != 0) return NOT_BEGUN;
  return removing("out/first", through_link("../src/to-vault", "out/first/gold", O_RDONLY));
}

// The kernel itself would open the interpreter.
static long interpreter(void) {
  if (make_file("out/script", "#!/mnt/vault/gold\n", 0755) != 0) return NOT_BEGUN;
  return removing("out/script", execl("out/script", "script", NULL));
}

// Takes a name for a directory in the one moment and for a link to what is hidden in the other, while one opens it.
static long race(void) {
  enum { TRIES = 400 };
  if (mkdir("out/real", 0755) != 0 || symlink("../vault", "out/turn") != 0) return NOT_BEGUN;
  const pid_t swapper = fork();
  if (swapper == 0) {
    for (;;) renameat2(AT_FDCWD, "out/real", AT_FDCWD, "out/turn", RENAME_EXCHANGE);
  }
  long result = -1;
  int error = ENOENT;
  for (int i = 0; i < TRIES && result < 0; i++) {
    const int fd = open("out/turn/gold", O_RDONLY);
    if (fd >= 0)
      result = closing(fd, 0);
    else if (errno != ENOENT)
      error = errno;
    sched_yield();
  }
  kill(swapper, SIGKILL);
  waitpid(swapper, NULL, 0);
  // Which of the two is the directory now?
  const char* const names[] = {"out/real", "out/turn"};
  for (int i = 0; i < 2; i++) {
    if (unlink(names[i]) != 0) rmdir(names[i]);
  }
  errno = error;
  return result;
}

static const Way WAYS[] = {
    {"renameat2 RENAME_NOREPLACE to a hidden name", no_replace_hidden},
    {"renameat2 RENAME_NOREPLACE across the border", no_replace_border},
    {"renameat2 RENAME_WHITEOUT", whiteout},
    {"renameat2 RENAME_WHITEOUT of a hidden file", whiteout_hidden},
    {"exchange with what may not be read", exchange_sealed},
    {"exchange with a hidden name", exchange_hidden_name},
    {"exchange directories across the border", exchange_directories},
    {"exchange the parent of what is hidden", exchange_parents},
    {"rename over what may not be written", over_sealed},
    {"rename a directory over a hidden one", over_hidden_directory},
    {"rename into a hidden directory", into_hidden},
    {"rename out of a hidden directory", out_of_hidden},
    {"rename the parent of what is hidden, with slashes", parent_with_slash},
    {"rename the parent of what is hidden", parent_beside},
    {"rename the directory where writing is allowed", allowed_root},
    {"rename a directory into itself", into_itself},
    {"rename a directory that is read only", read_only_parent},
    {"rename another name over the hidden one", hidden_by_other_name},
    {"linkat AT_SYMLINK_FOLLOW through a link", link_follow},
    {"linkat of the link itself across the border", link_itself},
    {"link a hidden directory", link_directory},
    {"mkdir vault/", mkdir_slash},
    {"mkdir in a hidden directory", mkdir_inside},
    {"mkdir out/.env/", mkdir_hidden_slash},
    {"unlink what may not be removed", unlink_sealed},
    {"unlink .env/", unlink_slash},
    {"rmdir the parent of what is hidden", rmdir_git},
    {"unlinkat AT_REMOVEDIR a hidden directory", remove_by_flag},
    {"mknod a block device", block_device},
    {"mknod a whiteout", whiteout_device},
    {"mknod a file of a hidden name", regular_node},
    {"mknod a file where only reading is allowed", regular_node_read_only},
    {"symlink to a hidden file where only reading is allowed", symlink_read_only},
    {"symlink over another name of a hidden file", symlink_over_hidden},
    {"chmod 2755", chmod_setgid},
    {"lchown of what may not be written", chown_sealed},
    {"chmod of what may not be written", chmod_sealed},
    {"utimensat of what may not be written", utimes_sealed},
    {"bind a socket to a hidden name", bind_hidden},
    {"bind a socket where only reading is allowed", bind_read_only},
    {"open through one's own link", own_link},
    {"open through one's own absolute link", own_link_absolute},
    {"open through one's own link to a hidden directory", own_link_to_directory},
    {"open through one's own link to the root", own_link_to_root},
    {"open through one's own link to /proc/self/cwd", own_link_to_proc},
    {"open O_CREAT through one's own link", own_link_creates},
    {"open O_TRUNC through one's own link", own_link_truncates},
    {"open through a chain of links", chain_of_links},
    {"execve with a hidden interpreter", interpreter},
    {"open while a name changes between a directory and a link", race},
};

const Ways name_ways = WAYS_OF(WAYS);
