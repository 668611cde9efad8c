// Writes files until nothing fits, by a process for each, and prints a line for each: its number, the way it was
// written, how many bytes from its beginning were acknowledged as being on the disk, and the errno that was the end.
//   full DIRECTORY FIRST COUNT      files DIRECTORY/file-FIRST and COUNT - 1 more
// A file that comes to an end in no other way is ended at BYTES_MAX, with "none" in place of the errno.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "full.h"

#define BYTES_MAX ((uint64_t)64 << 20)

typedef struct {
  uint64_t acknowledged;
  int error;
} Outcome;

static Outcome write_file(const char* directory, uint32_t number, const Style* style) {
  char path[256];
  snprintf(path, sizeof path, "%s/file-%u", directory, number);
  File file = {number, open(path, O_RDWR | O_CREAT | O_EXCL | style->open_flags, 0644), 0};
  if (file.fd < 0) return (Outcome){0, errno};
  int error = 0;
  while (error == 0 && file.acknowledged < BYTES_MAX) {
    if (style->write_some(&file) != 0) error = errno;
  }
  // An error that was told is not told again, so the result says nothing about what was acknowledged.
  close(file.fd);
  return (Outcome){file.acknowledged, error};
}

int main(int count, char** arguments) {
  if (count != 4) return 2;
  const uint32_t first = (uint32_t)strtoul(arguments[2], NULL, 10);
  const uint32_t files = (uint32_t)strtoul(arguments[3], NULL, 10);
  Outcome* outcomes = mmap(NULL, files * sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (outcomes == MAP_FAILED) return 2;
  for (uint32_t i = 0; i < files; i++) {
    // As long as the process has said nothing else, it has ended before its time.
    outcomes[i] = (Outcome){0, -1};
    const pid_t pid = fork();
    if (pid < 0) return 2;
    if (pid == 0) {
      outcomes[i] = write_file(arguments[1], first + i, &styles[(first + i) % style_count]);
      _exit(0);
    }
  }
  while (wait(NULL) > 0) continue;
  for (uint32_t i = 0; i < files; i++) {
    const int error = outcomes[i].error;
    const char* name = error == 0 ? "none" : error < 0 ? "ended" : strerrorname_np(error);
    printf("%u\t%s\t%llu\t%s\n", first + i, styles[(first + i) % style_count].name,
           (unsigned long long)outcomes[i].acknowledged, name == NULL ? "unknown" : name);
  }
  return 0;
}
