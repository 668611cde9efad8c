// Mounts, other roots, file handles, and what else a guest's root may do.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "ways.h"

#define CALLS(function, call) \
  static long function(void) { return call; }
// A way that opens a path after something that must have worked.
#define OPENS_AFTER(function, step, path, flags) \
  static long function(void) { return (step) < 0 ? NOT_BEGUN : open(path, flags); }

static int bind_at(const char* from) { return mount(from, SCRATCH, NULL, MS_BIND | MS_REC, NULL); }
static int mount_again(void) { return mount(TAG, SCRATCH, "virtiofs", 0, NULL); }

static int move_share(void) { return mount(SHARE, SCRATCH, NULL, MS_MOVE, NULL); }

static int mount_anew(void) {
  if (chdir("/") != 0 || umount2(SHARE, MNT_DETACH) != 0) return -1;
  return mount(TAG, SHARE, "virtiofs", 0, NULL);
}

static int overlay_of(const char* options) { return mount("overlay", SCRATCH, "overlay", MS_RDONLY, options); }

static int enter(const char* root) { return chroot(root) != 0 ? -1 : chdir("/"); }

CALLS(bind_hidden_directory, bind_at("vault"))
CALLS(bind_hidden_file, mount(".env", "src/main.c", NULL, MS_BIND, NULL))
CALLS(bind_other_name, mount("out/copy", "out/result", NULL, MS_BIND, NULL))
CALLS(bind_over_hidden, mount(SCRATCH, "vault", NULL, MS_BIND, NULL))
CALLS(tmpfs_over_hidden, mount("tmpfs", "vault", "tmpfs", 0, NULL))
OPENS_AFTER(inside_bind, bind_at(".git"), SCRATCH "/config", O_RDONLY)
OPENS_AFTER(above_bind, bind_at("src"), SCRATCH "/../.env", O_RDONLY)
OPENS_AFTER(linked_from_bind, bind_at("src"), SCRATCH "/innocent", O_RDONLY)
OPENS_AFTER(write_in_bind, bind_at("src"), SCRATCH "/main.c", O_RDWR)
OPENS_AFTER(move_whole, move_share(), SCRATCH "/vault/gold", O_RDONLY)
OPENS_AFTER(second_mount, mount_again(), SCRATCH "/.env", O_RDONLY)
OPENS_AFTER(second_mount_below, mount_again(), SCRATCH "/vault/gold", O_RDONLY)
OPENS_AFTER(second_mount_write, mount_again(), SCRATCH "/src/main.c", O_RDWR)
OPENS_AFTER(fresh_mount, mount_anew(), SHARE "/src/key.pem", O_RDONLY)
OPENS_AFTER(remount, mount(NULL, SHARE, NULL, MS_REMOUNT, NULL), "src/main.c", O_WRONLY | O_TRUNC)
OPENS_AFTER(overlay_root, overlay_of("lowerdir=" SHARE ":" SCRATCH), SCRATCH "/.env", O_RDONLY)
OPENS_AFTER(overlay_below, overlay_of("lowerdir=" SHARE "/.git:" SCRATCH), SCRATCH "/config", O_RDONLY)
CALLS(overlay_hidden, overlay_of("lowerdir=" SHARE "/vault:" SCRATCH))
OPENS_AFTER(root_at_parent, enter(".git"), "/config", O_RDONLY)
OPENS_AFTER(root_at_share, enter("."), "/.env", O_RDONLY)
OPENS_AFTER(above_new_root, enter("src"), "/../../.env", O_RDONLY)
CALLS(root_at_hidden, chroot("vault"))
CALLS(proc_of_init, open("/proc/1/root/mnt/.env", O_RDONLY))
CALLS(swap_on, swapon(".env", 0))
CALLS(account, acct("src/key.pem"))
CALLS(trusted_attribute, setxattr("src/main.c", "trusted.x", "v", 1, 0))
CALLS(security_attribute, setxattr("out/copy", "security.x", "v", 1, 0))

static long tree_of_parent(void) {
  const long fd = syscall(SYS_open_tree, AT_FDCWD, ".git", OPEN_TREE_CLONE);
  return fd < 0 ? NOT_BEGUN : closing((int)fd, openat((int)fd, "config", O_RDONLY));
}

CALLS(tree_of_hidden, syscall(SYS_open_tree, AT_FDCWD, "vault", OPEN_TREE_CLONE))

static long tree_moved(void) {
  const long fd = syscall(SYS_open_tree, AT_FDCWD, SHARE, OPEN_TREE_CLONE | AT_RECURSIVE);
  if (fd < 0 || syscall(SYS_move_mount, fd, "", AT_FDCWD, SCRATCH, MOVE_MOUNT_F_EMPTY_PATH) != 0) return NOT_BEGUN;
  return closing((int)fd, open(SCRATCH "/src/.env", O_RDONLY));
}

static long mounted_by_descriptor(void) {
  const long context = syscall(SYS_fsopen, "virtiofs", 0);
  if (context < 0 || syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", TAG, 0) != 0) return NOT_BEGUN;
  if (syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0) return NOT_BEGUN;
  const long fd = syscall(SYS_fsmount, context, 0, 0);
  return fd < 0 ? NOT_BEGUN : closing((int)fd, openat((int)fd, ".env", O_RDONLY));
}

static long notified(const char* path, uint64_t mask) {
  const int fd = fanotify_init(FAN_CLASS_NOTIF, O_RDONLY);
  return fd < 0 ? NOT_BEGUN : closing(fd, fanotify_mark(fd, FAN_MARK_ADD, mask, AT_FDCWD, path));
}

static long notified_hidden(void) { return notified(".env", FAN_OPEN); }
static long notified_other_name(void) { return notified("src/innocent", FAN_OPEN | FAN_ACCESS); }

typedef struct {
  struct file_handle head;
  unsigned char bytes[MAX_HANDLE_SZ];
} Handle;

static long handle_of(const char* path, Handle* handle) {
  int mount_id = 0;
  handle->head.handle_bytes = MAX_HANDLE_SZ;
  return name_to_handle_at(AT_FDCWD, path, &handle->head, &mount_id, 0);
}

static long open_handle(Handle* handle, int flags) {
  const int share = open(SHARE, O_RDONLY | O_DIRECTORY);
  return closing(share, open_by_handle_at(share, &handle->head, flags));
}

static long handle_for(const char* path) {
  Handle handle;
  return handle_of(path, &handle);
}

static long reopen_handle(const char* path, int flags) {
  Handle handle;
  // A handle leads to what the guest knows; what nobody holds it may forget.
  const int held = open(path, O_PATH);
  return closing(held, handle_of(path, &handle) != 0 ? NOT_BEGUN : open_handle(&handle, flags));
}

// Whether the file holds one of the secrets of the tree.
static int is_secret(int fd) {
  char text[16] = "";
  return read(fd, text, sizeof text - 1) > 0 && strncasecmp(text, "secret", 6) == 0;
}

// Handles of many nodes, made from one that is good.
static long forge_handles(uint64_t first, uint64_t count) {
  Handle handle;
  if (handle_of("out/result", &handle) != 0) return NOT_BEGUN;
  for (uint64_t node = first; node < first + count; node++) {
    memcpy(handle.bytes, &node, sizeof node);
    const int fd = (int)open_handle(&handle, O_RDONLY | O_NONBLOCK);
    if (fd < 0 && errno == EPERM) return fd;
    if (fd >= 0 && is_secret(fd)) return closing(fd, 0);
    if (fd >= 0) close(fd);
  }
  errno = ESTALE;
  return -1;
}

static long forged_node(void) { return forge_handles(0, 200); }

// The same with inode numbers of the host, as somebody would guess them from what is beside.
static long forged_inode(void) {
  struct stat beside;
  if (stat("src/main.c", &beside) != 0) return NOT_BEGUN;
  return forge_handles(beside.st_ino - 100, 200);
}

CALLS(handle_hidden, handle_for(".env"))
CALLS(handle_other_name, handle_for("out/copy"))
CALLS(handle_through_link, handle_for("src/to-vault/gold"))
CALLS(handle_to_write, reopen_handle("src/main.c", O_RDWR))
CALLS(handle_sealed, reopen_handle("out/sealed", O_RDONLY))

static const Way WAYS[] = {
    {"bind a hidden directory", bind_hidden_directory},
    {"bind a hidden file", bind_hidden_file},
    {"bind another name of a hidden file", bind_other_name},
    {"bind over a hidden directory", bind_over_hidden},
    {"mount a tmpfs over a hidden directory", tmpfs_over_hidden},
    {"bind the parent and open", inside_bind},
    {"bind a directory and open above it", above_bind},
    {"bind a directory and open another name", linked_from_bind},
    {"bind a directory and open for writing", write_in_bind},
    {"mount --move and open", move_whole},
    {"mount the share a second time", second_mount},
    {"mount the share a second time and open below", second_mount_below},
    {"mount the share a second time and open for writing", second_mount_write},
    {"mount the share anew", fresh_mount},
    {"remount and open for writing", remount},
    {"overlayfs on the share", overlay_root},
    {"overlayfs on the parent", overlay_below},
    {"overlayfs on a hidden directory", overlay_hidden},
    {"chroot to the parent", root_at_parent},
    {"chroot to the share", root_at_share},
    {"chroot beside and open above it", above_new_root},
    {"chroot to a hidden directory", root_at_hidden},
    {"open /proc/1/root", proc_of_init},
    {"swapon a hidden file", swap_on},
    {"acct to a hidden file", account},
    {"setxattr trusted. where nothing may be written", trusted_attribute},
    {"setxattr security. of another name", security_attribute},
    {"open_tree of the parent", tree_of_parent},
    {"open_tree of a hidden directory", tree_of_hidden},
    {"open_tree and move_mount", tree_moved},
    {"fsopen and fsmount", mounted_by_descriptor},
    {"fanotify a hidden file", notified_hidden},
    {"fanotify another name of a hidden file", notified_other_name},
    {"name_to_handle_at of a hidden file", handle_hidden},
    {"name_to_handle_at of another name", handle_other_name},
    {"name_to_handle_at through a link", handle_through_link},
    {"open_by_handle_at for writing", handle_to_write},
    {"open_by_handle_at of what may not be read", handle_sealed},
    {"open_by_handle_at with numbers of nodes", forged_node},
    {"open_by_handle_at with inode numbers", forged_inode},
};

const Ways mount_ways = WAYS_OF(WAYS);
