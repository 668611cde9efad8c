// Processes that write until nothing fits, each in its own way, and that know what was acknowledged.
#ifndef FULL_H
#define FULL_H

#include <stddef.h>
#include <stdint.h>

// What a file is made of; test/disk/blocks.ts has the same.
#define BLOCK 4096

// A file that is being written, and what has become of it.
typedef struct {
  uint32_t number;
  int fd;
  // Bytes from the beginning that are on the disk, as an fsync, an msync or a synchronous write has said.
  uint64_t acknowledged;
} File;

// A way to write. `write_some` appends after what is acknowledged, has it synced, and counts it; -1 with errno.
typedef struct {
  const char* name;
  int open_flags;
  int (*write_some)(File* file);
} Style;

extern const Style styles[];
extern const size_t style_count;

// Fills the memory with the blocks of the file that follow `offset`, of which each says whose it is and which.
void fill_blocks(unsigned char* memory, uint32_t number, uint64_t offset, size_t length);

#endif
