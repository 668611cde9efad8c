// Goes every way to what a policy hides or forbids, and prints a line for each: name, tab, and the errno with which it
// has failed, or "ok".
//   ways [-u UID] list FILE      the ways of a list, one a line: call, two paths and how, parted by tabs
//   ways [-u UID] GROUP          paths, descriptors, names, mounts
// With -u as that user; what only root may mount he tries in a user namespace of his own.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ways.h"

#define WAY_SECONDS 60
// In place of an errno.
#define BEGUN_NOT 100000

long closing(int fd, long result) {
  const int error = errno;
  close(fd);
  errno = error;
  return result;
}

long removing(const char* path, long result) {
  const int error = errno;
  unlink(path);
  errno = error;
  return result;
}

int make_file(const char* path, const char* content, int mode) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, mode);
  if (fd < 0) return -1;
  const int written = write(fd, content, strlen(content)) == (ssize_t)strlen(content);
  return (int)closing(fd, written ? 0 : -1);
}

static int become(uid_t uid) {
  return uid == 0 ? 0 : setgroups(0, NULL) | setresgid(uid, uid, uid) | setresuid(uid, uid, uid);
}

// What the way mounts is gone with its process.
static int leave_mounts(int flags) { return unshare(flags) | mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL); }

static int mounts(const Way* way) { return way >= mount_ways.ways && way < mount_ways.ways + mount_ways.count; }

// Either `line` or `way` is to be gone. A program that was executed instead closes the pipe without a word.
static void report(const char* name, uid_t uid, char* line, const Way* way) {
  int ends[2];
  int error = -1;
  fflush(stdout);
  if (pipe2(ends, O_CLOEXEC) != 0) exit(2);
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(WAY_SECONDS);
    if (leave_mounts(CLONE_NEWNS) != 0 || become(uid) != 0) _exit(2);
    if (uid != 0 && way != NULL && mounts(way) && leave_mounts(CLONE_NEWUSER | CLONE_NEWNS) != 0) _exit(2);
    if (chdir(SHARE) != 0) _exit(2);
    errno = 0;
    const long result = way == NULL ? walk_line(line) : way->walk();
    error = result == NOT_BEGUN ? BEGUN_NOT : result < 0 ? errno : 0;
    if (write(ends[1], &error, sizeof error) < 0) _exit(2);
    _exit(0);
  }
  close(ends[1]);
  if (read(ends[0], &error, sizeof error) != sizeof error) error = -1;
  close(ends[0]);
  waitpid(pid, NULL, 0);
  const char* outcome = error == 0           ? "ok"
                        : error == BEGUN_NOT ? "not begun"
                        : error < 0          ? "ended"
                                             : strerrorname_np(error);
  printf("%s\t%s\n", name, outcome == NULL ? "unknown" : outcome);
}

static int go_list(const char* file, uid_t uid) {
  char line[1024];
  char name[1024];
  FILE* list = fopen(file, "re");
  if (list == NULL) return 2;
  for (int number = 0; fgets(line, sizeof line, list) != NULL; number++) {
    line[strcspn(line, "\n")] = '\0';
    snprintf(name, sizeof name, "%d", number);
    report(name, uid, line, NULL);
  }
  fclose(list);
  return 0;
}

static int go_group(const char* group, uid_t uid) {
  static const struct {
    const char* name;
    const Ways* ways;
  } GROUPS[] = {
      {"paths", &path_ways}, {"descriptors", &descriptor_ways}, {"names", &name_ways}, {"mounts", &mount_ways}};
  for (size_t i = 0; i < sizeof GROUPS / sizeof GROUPS[0]; i++) {
    if (strcmp(GROUPS[i].name, group) != 0) continue;
    const Ways* ways = GROUPS[i].ways;
    for (size_t each = 0; each < ways->count; each++) {
      report(ways->ways[each].name, uid, NULL, &ways->ways[each]);
    }
    return 0;
  }
  return 2;
}

int main(int count, char** arguments) {
  uid_t uid = 0;
  if (count > 2 && strcmp(arguments[1], "-u") == 0) {
    uid = (uid_t)strtoul(arguments[2], NULL, 10);
    arguments += 2;
    count -= 2;
  }
  umask(022);
  mkdir(SCRATCH, 0777);
  if (count == 3 && strcmp(arguments[1], "list") == 0) return go_list(arguments[2], uid);
  return count == 2 ? go_group(arguments[1], uid) : 2;
}
