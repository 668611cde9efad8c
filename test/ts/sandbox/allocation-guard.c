/*
 * Preloaded into the command: ends a process that allocates as a copy of another, between clone(2) and execve(2). The
 * original may have had the allocator's lock held by another thread at that moment, and the copy waits for it for ever.
 */
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/* 0 until the program starts: what the loader allocates before is nobody's fault. A program that is executed begins anew. */
static long original;

__attribute__((constructor)) static void remember(void) { original = syscall(SYS_getpid); }

/* A namespace may call the copy by any number, 1 as a rule; the original is never in a new one of its own. */
static void check(void) {
  static const char said[] = "allocation-guard: the copy of a process has allocated\n";
  if (original == 0 || syscall(SYS_getpid) == original) return;
  (void)!write(2, said, sizeof(said) - 1);
  syscall(SYS_exit_group, 99);
}

void *malloc(size_t size) {
  check();
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  check();
  return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
  check();
  return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size) {
  check();
  return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) { return memalign(alignment, size); }

int posix_memalign(void **result, size_t alignment, size_t size) {
  *result = memalign(alignment, size);
  return *result == NULL ? 12 : 0;
}
