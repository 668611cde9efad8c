// Reading and writing, by descriptors, by paths and by memory, of files that may have lost their names meanwhile.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stress.h"

#define TRANSFER_MAX 70000
#define PAGE ((size_t)4096)

static unsigned char buffer[FILE_BYTES_MAX];

static Open* random_open(void) { return self.open_count == 0 ? NULL : &self.opens[below((uint64_t)self.open_count)]; }

static void random_range(size_t limit, size_t* offset, size_t* length) {
  *offset = below(limit);
  *length = 1 + below(TRANSFER_MAX);
  if (*length > limit - *offset) *length = limit - *offset;
}

static void fill(unsigned char* memory, size_t length) {
  const uint64_t start = below(UINT64_MAX);
  for (size_t at = 0; at < length; at++) memory[at] = (unsigned char)((start >> (at % 8 * 8)) + at / 256);
}

static void resize(Node* file, size_t size) {
  if (size < file->size) memset(file->data + size, 0, file->size - size);
  file->size = size;
}

// Where two contents differ, for whoever looks for the reason.
static void compare(const char* how, const unsigned char* found, const unsigned char* expected, size_t offset,
                    size_t length) {
  if (memcmp(found, expected, length) == 0) return;
  size_t at = 0;
  while (found[at] == expected[at]) at++;
  fail("%s of %zu bytes at %zu: at %zu is %u, not %u", how, length, offset, offset + at, found[at], expected[at]);
}

static void open_file(void) {
  static const int FLAGS[] = {0, 0, 0, O_APPEND, O_TRUNC, O_SYNC};
  Place place;
  if (self.open_count == OPENS_MAX || !random_entry(&place, REGULAR)) return;
  const int flags = FLAGS[below(6)];
  const int fd = open(place.path, O_RDWR | flags);
  expect("open", place.path, fd, 0);
  Node* file = entry_of(&place);
  if (flags == O_TRUNC) resize(file, 0);
  file->opens++;
  self.opens[self.open_count++] = (Open){fd, file};
}

static void close_file(void) {
  Open* open = random_open();
  if (open == NULL) return;
  expect("close", "", close(open->fd), 0);
  drop_open(open->file);
  *open = self.opens[--self.open_count];
}

static void write_some(void) {
  Open* open = random_open();
  if (open == NULL) return;
  size_t offset;
  size_t length;
  random_range(FILE_BYTES_MAX, &offset, &length);
  if ((fcntl(open->fd, F_GETFL) & O_APPEND) != 0) {
    // Linux appends, whatever the offset.
    offset = open->file->size;
    if (length > FILE_BYTES_MAX - offset) length = FILE_BYTES_MAX - offset;
    if (length == 0) return;
  }
  fill(buffer, length);
  const ssize_t written = pwrite(open->fd, buffer, length, (off_t)offset);
  if (written != (ssize_t)length)
    fail("write of %zu bytes at %zu: %zd (%s)", length, offset, written, strerrorname_np(errno));
  memcpy(open->file->data + offset, buffer, length);
  if (offset + length > open->file->size) open->file->size = offset + length;
}

static void read_some(void) {
  const Open* open = random_open();
  if (open == NULL) return;
  size_t offset;
  size_t length;
  random_range(FILE_BYTES_MAX, &offset, &length);
  const size_t size = open->file->size;
  const size_t expected = offset >= size ? 0 : length < size - offset ? length : size - offset;
  const ssize_t got = pread(open->fd, buffer, length, (off_t)offset);
  if (got != (ssize_t)expected)
    fail("read of %zu bytes at %zu of %zu: %zd (%s)", length, offset, size, got,
         got < 0 ? strerrorname_np(errno) : "short");
  compare("read", buffer, open->file->data + offset, offset, expected);
}

static void truncate_some(void) {
  const size_t size = below(FILE_BYTES_MAX);
  Open* open = random_open();
  Place place;
  if (open != NULL && below(2) == 0) {
    expect("ftruncate", "", ftruncate(open->fd, (off_t)size), 0);
    resize(open->file, size);
  } else if (random_entry(&place, REGULAR)) {
    expect("truncate", place.path, truncate(place.path, (off_t)size), 0);
    resize(entry_of(&place), size);
  }
}

// Not every file system has all of these.
static void allocate(void) {
  static const int MODES[] = {0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
                              FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
  Open* open = random_open();
  if (open == NULL) return;
  size_t offset;
  size_t length;
  random_range(FILE_BYTES_MAX, &offset, &length);
  const int mode = MODES[below(5)];
  if (fallocate(open->fd, mode, (off_t)offset, (off_t)length) != 0) {
    if (errno != EOPNOTSUPP) fail("fallocate %d: %s", mode, strerrorname_np(errno));
    return;
  }
  // Behind the end there are only zeros, so it does not matter where that is.
  if ((mode & ~FALLOC_FL_KEEP_SIZE) != 0) memset(open->file->data + offset, 0, length);
  if ((mode & FALLOC_FL_KEEP_SIZE) == 0 && offset + length > open->file->size) open->file->size = offset + length;
}

static void through_memory(void) {
  Open* open = random_open();
  if (open == NULL || open->file->size == 0) return;
  size_t offset;
  size_t length;
  random_range(open->file->size, &offset, &length);
  const size_t start = offset - offset % PAGE;
  const size_t mapped = offset + length - start;
  unsigned char* memory = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_SHARED, open->fd, (off_t)start);
  if (memory == MAP_FAILED) fail("mmap: %s", strerrorname_np(errno));
  compare("mapped read", memory, open->file->data + start, start, mapped);
  if (below(2) == 0) {
    fill(open->file->data + offset, length);
    memcpy(memory + (offset - start), open->file->data + offset, length);
    if (below(2) == 0) expect("msync", "", msync(memory, mapped, MS_SYNC), 0);
  }
  munmap(memory, mapped);
}

static void copy_some(void) {
  Open* from = random_open();
  Open* to = random_open();
  if (from == NULL || from->file == to->file || (fcntl(to->fd, F_GETFL) & O_APPEND) != 0) return;
  size_t offset;
  size_t length;
  random_range(FILE_BYTES_MAX, &offset, &length);
  if (offset >= from->file->size) return;
  if (length > from->file->size - offset) length = from->file->size - offset;
  off_t in = (off_t)offset;
  const size_t target = below(FILE_BYTES_MAX - length);
  off_t out = (off_t)target;
  const ssize_t copied = copy_file_range(from->fd, &in, to->fd, &out, length, 0);
  // How much is copied at once is the kernel's choice.
  if (copied <= 0 || (size_t)copied > length)
    fail("copy_file_range of %zu bytes: %zd (%s)", length, copied, strerrorname_np(errno));
  memcpy(to->file->data + target, from->file->data + offset, (size_t)copied);
  if (target + (size_t)copied > to->file->size) to->file->size = target + (size_t)copied;
}

static void sync_some(void) {
  const Open* open = random_open();
  if (open != NULL) expect("fsync", "", below(2) == 0 ? fsync(open->fd) : fdatasync(open->fd), 0);
}

static void look(void) {
  const Open* open = random_open();
  struct stat status;
  if (open == NULL) return;
  expect("fstat", "", fstat(open->fd, &status), 0);
  if ((size_t)status.st_size != open->file->size)
    fail("fstat: %lld bytes, not %zu", (long long)status.st_size, open->file->size);
}

void check_contents(const char* path, const Node* file) {
  const int fd = open(path, O_RDONLY);
  expect("open", path, fd, 0);
  size_t length = 0;
  for (;;) {
    const ssize_t got = read(fd, buffer + length, sizeof buffer - length);
    if (got < 0) fail("read %s: %s", path, strerrorname_np(errno));
    if (got == 0) break;
    length += (size_t)got;
  }
  close(fd);
  if (length != file->size) fail("%s has %zu bytes, not %zu", path, length, file->size);
  compare(path, buffer, file->data, 0, length);
}

static void read_whole(void) {
  Place place;
  if (random_entry(&place, REGULAR)) check_contents(place.path, entry_of(&place));
}

static const Operation OPERATIONS[] = {open_file,      open_file,      close_file,    write_some, write_some,
                                       read_some,      read_some,      truncate_some, allocate,   look,
                                       through_memory, through_memory, copy_some,     sync_some,  read_whole};
const Operations data_operations = {OPERATIONS, sizeof OPERATIONS / sizeof OPERATIONS[0]};
