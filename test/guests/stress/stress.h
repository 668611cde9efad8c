// Random operations of one process in a directory of its own, and what must have come of them.
#ifndef STRESS_H
#define STRESS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Every directory may have an entry of each name, so a name is its place in the list.
#define NAMES 12
#define DEPTH_MAX 4
#define FILES_MAX 60
#define FILE_BYTES_MAX ((size_t)256 << 10)
#define OPENS_MAX 6
// Room for DEPTH_MAX names and one more, of up to 255 bytes.
#define PATH_BYTES 2048

typedef enum { DIRECTORY, REGULAR, SYMLINK } Kind;

typedef struct Node Node;
struct Node {
  Kind kind;
  // Of a file: names, and descriptors. It is gone when it has neither.
  unsigned links;
  unsigned opens;
  mode_t mode;
  // FILE_BYTES_MAX bytes; those behind `size` are zeros.
  unsigned char* data;
  size_t size;
  const char* target;
  Node* parent;
  Node* entries[NAMES];
};

typedef struct {
  int fd;
  Node* file;
} Open;

// Where an entry is, or may be.
typedef struct {
  Node* directory;
  int name;
  char path[PATH_BYTES];
} Place;

typedef struct {
  unsigned index;
  uint64_t random;
  uint64_t operations;
  unsigned files;
  Node* root;
  Open opens[OPENS_MAX];
  int open_count;
} Process;

// Every process has its own.
extern Process self;
extern const char* const names[NAMES];

typedef void (*Operation)(void);
typedef struct {
  const Operation* operations;
  size_t count;
} Operations;

// What fsstress does: names, and what a status says.
extern const Operations tree_operations;
// What fsx does: contents, by descriptors and by memory.
extern const Operations data_operations;

// A number less than `bound`.
uint64_t below(uint64_t bound);
// Says what is not as it must be, and ends the process.
_Noreturn void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));
// `result` must be negative with the errno `expected`, or not negative if that is 0.
void expect(const char* call, const char* path, long result, int expected);

Node* make_node(Kind kind, mode_t mode);
Node* entry_of(const Place* place);
void put(const Place* place, Node* node);
// A name less. The node is given back when that was the last, and nobody has it open.
void drop_name(Node* node);
void drop_open(Node* node);
int is_empty(const Node* directory);
// Whether `below` is in the directory `above`, at any depth, or is that directory.
int is_within(const Node* below, const Node* above);

void random_place(Place* place);
// A place with an entry of that kind; 0 if none was met.
int random_entry(Place* place, Kind kind);

// The file at the path is as it must be.
void check_contents(const char* path, const Node* file);
// The directory at the path has the entries that it must have.
void check_listing(const char* path, const Node* directory);
// Everything is as it must be; prints what that is, a line for each entry.
void print_tree(void);

#endif
