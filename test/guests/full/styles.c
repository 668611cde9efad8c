// The ways to append: each ends with a word of the kernel that the bytes are on the disk.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "full.h"

// So much at most is written before it is synced; more than one request can take, and no multiple of a page's powers.
#define PIECE (300 * BLOCK)

void fill_blocks(unsigned char* memory, uint32_t number, uint64_t offset, size_t length) {
  for (size_t at = 0; at < length; at += 8) {
    const uint32_t words[2] = {number, (uint32_t)((offset + at) / BLOCK) + 1};
    memcpy(memory + at, words, sizeof words);
  }
}

// Appends with write() in pieces of `each` bytes; what was written and is no longer than `length`, or -1.
static ssize_t append(const File* file, size_t length, size_t each) {
  static unsigned char memory[PIECE];
  size_t written = 0;
  while (written < length) {
    const uint64_t offset = file->acknowledged + written;
    const size_t size = length - written < each ? length - written : each;
    // A write that was short went on in the middle of a block: the whole block is made and its rest written.
    const uint64_t start = offset - offset % BLOCK;
    fill_blocks(memory, file->number, start, offset - start + size);
    const ssize_t got = pwrite(file->fd, memory + (offset - start), size, (off_t)offset);
    if (got < 0) return -1;
    written += (size_t)got;
    if ((size_t)got < size) break;
  }
  return (ssize_t)written;
}

static int append_and(File* file, size_t length, size_t each, int (*sync)(int fd)) {
  const ssize_t written = append(file, length, each);
  if (written < 0 || (sync != NULL && sync(file->fd) != 0)) return -1;
  file->acknowledged += (uint64_t)written;
  return 0;
}

static int block_and_fsync(File* file) { return append_and(file, BLOCK, BLOCK, fsync); }

static int blocks_and_fdatasync(File* file) { return append_and(file, 37 * BLOCK, BLOCK, fdatasync); }

static int piece_and_fsync(File* file) { return append_and(file, PIECE - BLOCK, PIECE - BLOCK, fsync); }

static int synchronous(File* file) { return append_and(file, 3 * BLOCK, 3 * BLOCK, NULL); }

// The file is made longer and then written through memory: only the sync can tell that there is no room for it.
static int mapped(File* file) {
  const size_t length = 64 * BLOCK;
  if (ftruncate(file->fd, (off_t)(file->acknowledged + length)) != 0) return -1;
  const int protection = PROT_READ | PROT_WRITE;
  unsigned char* memory = mmap(NULL, length, protection, MAP_SHARED, file->fd, (off_t)file->acknowledged);
  if (memory == MAP_FAILED) return -1;
  fill_blocks(memory, file->number, file->acknowledged, length);
  const int result = msync(memory, length, MS_SYNC);
  const int error = errno;
  munmap(memory, length);
  errno = error;
  if (result == 0) file->acknowledged += length;
  return result;
}

const Style styles[] = {
    {"block and fsync", 0, block_and_fsync}, {"blocks and fdatasync", 0, blocks_and_fdatasync},
    {"piece and fsync", 0, piece_and_fsync}, {"mmap and msync", 0, mapped},
    {"O_SYNC", O_SYNC, synchronous},         {"O_DSYNC", O_DSYNC, synchronous},
};
const size_t style_count = sizeof styles / sizeof styles[0];
