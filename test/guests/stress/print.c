// What a directory has at the end, looked at once more and told to the host, which looks for itself.
#include <stdio.h>
#include <string.h>

#include "stress.h"

// CRC-32, as zlib has it.
static uint32_t checksum(const unsigned char* data, size_t size) {
  uint32_t value = 0xffffffff;
  for (size_t at = 0; at < size; at++) {
    value ^= data[at];
    for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320 : 0);
  }
  return ~value;
}

static void print_node(const char* path, const Node* node) {
  char below_it[PATH_BYTES];
  printf("@\tp-%u%s%s\t", self.index, path[0] == '\0' ? "" : "/", path);
  switch (node->kind) {
    case SYMLINK:
      printf("link\t%s\n", node->target);
      return;
    case REGULAR:
      check_contents(path, node);
      printf("file\t%o %u %zu %08x\n", node->mode, node->links, node->size, checksum(node->data, node->size));
      return;
    case DIRECTORY:
      check_listing(path[0] == '\0' ? "." : path, node);
      printf("directory\t%o\n", node->mode);
  }
  for (int name = 0; name < NAMES; name++) {
    if (node->entries[name] == NULL) continue;
    snprintf(below_it, sizeof below_it, "%s%s%s", path, path[0] == '\0' ? "" : "/", names[name]);
    print_node(below_it, node->entries[name]);
  }
}

void print_tree(void) { print_node("", self.root); }
