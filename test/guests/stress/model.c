// What must be in the directory of this process.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stress.h"

#define LONG "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
const char* const names[NAMES] = {"a", "b", "c",      "d",    "e",           "f",
                                  "g", "h", "\u00fc", ".dot", "with spaces", LONG LONG LONG LONG};

// Finding an entry of a kind is tried so often.
#define TRIES 20

uint64_t below(uint64_t bound) {
  // splitmix64
  uint64_t value = self.random += 0x9e3779b97f4a7c15;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
  value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
  return (value ^ (value >> 31)) % bound;
}

Node* make_node(Kind kind, mode_t mode) {
  Node* node = calloc(1, sizeof *node);
  if (node == NULL) fail("no memory");
  node->kind = kind;
  node->mode = mode;
  if (kind != REGULAR) return node;
  node->data = calloc(1, FILE_BYTES_MAX);
  if (node->data == NULL) fail("no memory");
  self.files++;
  return node;
}

Node* entry_of(const Place* place) { return place->directory->entries[place->name]; }

void put(const Place* place, Node* node) {
  place->directory->entries[place->name] = node;
  if (node == NULL) return;
  node->parent = place->directory;
}

static void release(Node* node) {
  if (node->links != 0 || node->opens != 0) return;
  if (node->kind == REGULAR) self.files--;
  free(node->data);
  free(node);
}

void drop_name(Node* node) {
  node->links--;
  release(node);
}

void drop_open(Node* node) {
  node->opens--;
  release(node);
}

int is_empty(const Node* directory) {
  for (int name = 0; name < NAMES; name++) {
    if (directory->entries[name] != NULL) return 0;
  }
  return 1;
}

int is_within(const Node* node, const Node* above) {
  for (; node != NULL; node = node->parent) {
    if (node == above) return 1;
  }
  return 0;
}

static void append(Place* place, int name) {
  const size_t length = strlen(place->path);
  snprintf(place->path + length, sizeof place->path - length, length == 0 ? "%s" : "/%s", names[name]);
}

void random_place(Place* place) {
  place->directory = self.root;
  place->path[0] = '\0';
  for (int depth = 0; depth < DEPTH_MAX; depth++) {
    const int name = (int)below(NAMES);
    Node* next = place->directory->entries[name];
    if (next == NULL || next->kind != DIRECTORY) continue;
    place->directory = next;
    append(place, name);
  }
  place->name = (int)below(NAMES);
  append(place, place->name);
}

int random_entry(Place* place, Kind kind) {
  for (int tries = 0; tries < TRIES; tries++) {
    random_place(place);
    const Node* node = entry_of(place);
    if (node != NULL && node->kind == kind) return 1;
  }
  return 0;
}
