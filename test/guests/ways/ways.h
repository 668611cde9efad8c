// Ways to what a policy hides or forbids, each by plain system calls. A way runs in a process and a mount namespace of
// its own, leaves the share as it was, and returns what its last call has returned: negative if that failed, with errno
// set. A way of which the steps before that fail returns NOT_BEGUN.
#ifndef WAYS_H
#define WAYS_H

#include <stddef.h>

#define NOT_BEGUN (1L << 40)

typedef struct {
  const char* name;
  long (*walk)(void);
} Way;

typedef struct {
  const Way* ways;
  size_t count;
} Ways;

#define WAYS_OF(array) {(array), sizeof(array) / sizeof((array)[0])}

// Paths by other spellings and directions.
extern const Ways path_ways;
// What is done with a descriptor that one may have.
extern const Ways descriptor_ways;
// Making and moving names.
extern const Ways name_ways;
// Mounts, roots, handles and other things that are for root.
extern const Ways mount_ways;

// The working directory of every way is the root of the share.
#define SHARE "/mnt"
// An empty directory outside.
#define SCRATCH "/tmp/ways"
#define TAG "work"

// Closes a descriptor and keeps errno: `return closing(fd, call(fd))`.
long closing(int fd, long result);
// Removes what a way has made for itself, and keeps errno.
long removing(const char* path, long result);
// 0 if the file could be made with that content.
int make_file(const char* path, const char* content, int mode);

// Goes the way that a line of the list describes: call, two paths below the share and how, parted by tabs. The line is
// taken apart.
long walk_line(char* line);

#endif
