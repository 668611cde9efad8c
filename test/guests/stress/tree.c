// Making, moving and removing names: each call must succeed or fail as the model says.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stress.h"

static void add(const Place* place, Kind kind, mode_t mode, const char* target) {
  Node* node = make_node(kind, mode);
  node->links = 1;
  node->target = target;
  put(place, node);
}

static void make_file(void) {
  Place place;
  random_place(&place);
  if (self.files >= FILES_MAX) return;
  const int there = entry_of(&place) != NULL;
  const int fd = open(place.path, O_RDWR | O_CREAT | O_EXCL, 0640);
  expect("create", place.path, fd, there ? EEXIST : 0);
  if (there) return;
  close(fd);
  add(&place, REGULAR, 0640, NULL);
}

static void make_directory(void) {
  Place place;
  random_place(&place);
  const int there = entry_of(&place) != NULL;
  expect("mkdir", place.path, mkdir(place.path, 0755), there ? EEXIST : 0);
  if (!there) add(&place, DIRECTORY, 0755, NULL);
}

static void make_symlink(void) {
  static const char* const TARGETS[] = {"a", "../..", "/etc/passwd", "nowhere/at/all"};
  Place place;
  random_place(&place);
  const char* target = TARGETS[below(4)];
  const int there = entry_of(&place) != NULL;
  expect("symlink", place.path, symlink(target, place.path), there ? EEXIST : 0);
  if (!there) add(&place, SYMLINK, 0777, target);
}

static void make_link(void) {
  Place from;
  Place to;
  if (!random_entry(&from, REGULAR)) return;
  random_place(&to);
  const int there = entry_of(&to) != NULL;
  expect("link", to.path, link(from.path, to.path), there ? EEXIST : 0);
  if (there) return;
  put(&to, entry_of(&from));
  entry_of(&to)->links++;
}

static void remove_name(void) {
  Place place;
  random_place(&place);
  Node* node = entry_of(&place);
  const int error = node == NULL ? ENOENT : node->kind == DIRECTORY ? EISDIR : 0;
  expect("unlink", place.path, unlink(place.path), error);
  if (error != 0) return;
  put(&place, NULL);
  drop_name(node);
}

static void remove_directory(void) {
  Place place;
  random_place(&place);
  Node* node = entry_of(&place);
  const int error = node == NULL ? ENOENT : node->kind != DIRECTORY ? ENOTDIR : is_empty(node) ? 0 : ENOTEMPTY;
  expect("rmdir", place.path, rmdir(place.path), error);
  if (error != 0) return;
  put(&place, NULL);
  drop_name(node);
}

// In the order in which Linux looks.
static int rename_error(const Place* from, const Place* to, unsigned flags) {
  const Node* moved = entry_of(from);
  const Node* old = entry_of(to);
  if (moved == NULL) return ENOENT;
  if ((flags & RENAME_NOREPLACE) != 0 && old != NULL) return EEXIST;
  if ((flags & RENAME_EXCHANGE) != 0 && old == NULL) return ENOENT;
  if (moved->kind == DIRECTORY && is_within(to->directory, moved)) return EINVAL;
  if (old != NULL && old->kind == DIRECTORY && is_within(from->directory, old)) {
    return (flags & RENAME_EXCHANGE) != 0 ? EINVAL : ENOTEMPTY;
  }
  if (old == NULL || old == moved || (flags & RENAME_EXCHANGE) != 0) return 0;
  if (moved->kind == DIRECTORY && old->kind != DIRECTORY) return ENOTDIR;
  if (moved->kind != DIRECTORY && old->kind == DIRECTORY) return EISDIR;
  return old->kind == DIRECTORY && !is_empty(old) ? ENOTEMPTY : 0;
}

static unsigned height(const Node* node) {
  unsigned most = 0;
  if (node->kind != DIRECTORY) return 0;
  for (int name = 0; name < NAMES; name++) {
    const unsigned each = node->entries[name] == NULL ? 0 : 1 + height(node->entries[name]);
    if (each > most) most = each;
  }
  return most;
}

// A name, and all below it, stay where paths are short enough.
static int fits(const Node* node, const Place* place) {
  unsigned depth = 0;
  for (const Node* each = place->directory; each != self.root; each = each->parent) depth++;
  return node == NULL || depth + height(node) <= DEPTH_MAX;
}

static void move(void) {
  static const unsigned FLAGS[] = {0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE};
  Place from;
  Place to;
  random_place(&from);
  random_place(&to);
  const unsigned flags = FLAGS[below(4)];
  Node* moved = entry_of(&from);
  Node* old = entry_of(&to);
  const int error = rename_error(&from, &to, flags);
  if (error == 0 && (!fits(moved, &to) || !fits(old, &from))) return;
  expect("rename", to.path, renameat2(AT_FDCWD, from.path, AT_FDCWD, to.path, flags), error);
  if (error != 0 || moved == old) return;
  put(&to, moved);
  put(&from, (flags & RENAME_EXCHANGE) != 0 ? old : NULL);
  if (old != NULL && (flags & RENAME_EXCHANGE) == 0) drop_name(old);
}

static void change_mode(void) {
  Place place;
  if (!random_entry(&place, REGULAR)) return;
  const mode_t mode = 0600 | (mode_t)below(0100);
  expect("chmod", place.path, chmod(place.path, mode), 0);
  entry_of(&place)->mode = mode;
}

static void look(void) {
  Place place;
  struct stat status;
  random_place(&place);
  const Node* node = entry_of(&place);
  expect("lstat", place.path, lstat(place.path, &status), node == NULL ? ENOENT : 0);
  if (node == NULL) return;
  static const mode_t TYPES[] = {[DIRECTORY] = S_IFDIR, [REGULAR] = S_IFREG, [SYMLINK] = S_IFLNK};
  if (status.st_mode != (TYPES[node->kind] | node->mode)) fail("%s has the mode %o", place.path, status.st_mode);
  if (node->kind != REGULAR) return;
  if ((size_t)status.st_size != node->size)
    fail("%s has %lld bytes, not %zu", place.path, (long long)status.st_size, node->size);
  if (status.st_nlink != node->links)
    fail("%s has %u names, not %u", place.path, (unsigned)status.st_nlink, node->links);
}

static void follow(void) {
  char target[PATH_BYTES] = "";
  Place place;
  if (!random_entry(&place, SYMLINK)) return;
  expect("readlink", place.path, readlink(place.path, target, sizeof target - 1), 0);
  if (strcmp(target, entry_of(&place)->target) != 0) fail("%s leads to %s", place.path, target);
}

void check_listing(const char* path, const Node* directory) {
  int seen[NAMES] = {0};
  DIR* stream = opendir(path);
  if (stream == NULL) fail("opendir %s: %s", path, strerrorname_np(errno));
  for (const struct dirent* entry = readdir(stream); entry != NULL; entry = readdir(stream)) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    int name = 0;
    while (name < NAMES && strcmp(names[name], entry->d_name) != 0) name++;
    if (name == NAMES || directory->entries[name] == NULL) fail("%s has %s", path, entry->d_name);
    if (seen[name]++ != 0) fail("%s has %s twice", path, entry->d_name);
  }
  closedir(stream);
  for (int name = 0; name < NAMES; name++) {
    if (directory->entries[name] != NULL && !seen[name]) fail("%s lacks %s", path, names[name]);
  }
}

static void list(void) {
  Place place;
  if (random_entry(&place, DIRECTORY)) check_listing(place.path, entry_of(&place));
}

static const Operation OPERATIONS[] = {make_file,        make_file, make_directory, make_symlink, make_link,
                                       remove_name,      move,      move,           change_mode,  look,
                                       remove_directory, look,      follow,         list};
const Operations tree_operations = {OPERATIONS, sizeof OPERATIONS / sizeof OPERATIONS[0]};
