// Random operations on files and names by several processes, each in a directory of its own and against a model of it:
// a call that has not come out as the model says ends the program with 1 and a line that says where.
//   stress DIRECTORY PROCESSES SEED SECONDS
// The directories DIRECTORY/p-N are made, and stay. Printed are the number of operations, and for each entry a line:
// "@", path, kind and what there is of it, parted by tabs.
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "stress.h"

Process self;

void fail(const char* format, ...) {
  va_list arguments;
  printf("\nprocess %u, operation %llu: ", self.index, (unsigned long long)self.operations);
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  printf("\n");
  exit(1);
}

void expect(const char* call, const char* path, long result, int expected) {
  const int error = result < 0 ? errno : 0;
  if (error == expected) return;
  const char* wanted = expected == 0 ? "ok" : strerrorname_np(expected);
  fail("%s %s: %s, not %s", call, path, error == 0 ? "ok" : strerrorname_np(error), wanted);
}

static double seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void work(double until) {
  while (seconds() < until) {
    const Operations* kind = below(2) == 0 ? &tree_operations : &data_operations;
    kind->operations[below(kind->count)]();
    self.operations++;
  }
}

static int begin(const char* directory, unsigned index, uint64_t seed) {
  char path[256];
  snprintf(path, sizeof path, "%s/p-%u", directory, index);
  self.index = index;
  self.random = seed * 1000 + index;
  self.root = make_node(DIRECTORY, 0755);
  return mkdir(path, 0755) | chdir(path);
}

// Lines of several processes must not be mixed: they wait for one another at the end.
static void end(unsigned index, const int turn[2]) {
  char byte = 0;
  while (self.open_count > 0) close(self.opens[--self.open_count].fd);
  if (read(turn[0], &byte, 1) != 1) exit(2);
  print_tree();
  printf("operations\t%u\t%llu\n", index, (unsigned long long)self.operations);
  fflush(stdout);
  if (write(turn[1], &byte, 1) != 1) exit(2);
}

int main(int count, char** arguments) {
  if (count != 5) return 2;
  const unsigned processes = (unsigned)strtoul(arguments[2], NULL, 10);
  const double until = seconds() + strtod(arguments[4], NULL);
  int turn[2];
  umask(0);
  if (pipe(turn) != 0) return 2;
  for (unsigned index = 0; index < processes; index++) {
    const pid_t pid = fork();
    if (pid < 0) return 2;
    if (pid > 0) continue;
    if (begin(arguments[1], index, strtoull(arguments[3], NULL, 10)) != 0) return 2;
    work(until);
    end(index, turn);
    return 0;
  }
  if (write(turn[1], "", 1) != 1) return 2;
  int result = 0;
  int status;
  while (wait(&status) > 0) {
    if (status == 0) continue;
    // Whoever waits for its turn waits no longer.
    result = 1;
    if (write(turn[1], "", 1) != 1) return 2;
  }
  return result;
}
