// Preloaded into a backend by `npm run bench -- --memory`: counts allocations in a file that others can read meanwhile.
// It stands before the C library's allocator, so that C, C++ and Rust are counted alike.
//
// Nothing here may allocate before the counter is there, and dlsym(3) itself may: until then the C library's own names
// are used, which glibc exports for this purpose.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* old, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
}

namespace {

using Counter = std::atomic<std::uint64_t>;
Counter g_fallback{0};
std::atomic<Counter*> g_counter{&g_fallback};

void count() { g_counter.load(std::memory_order_relaxed)->fetch_add(1, std::memory_order_relaxed); }

// A backend that forks takes the mapping along, one that changes its root has it already.
__attribute__((constructor)) void map_counter() {
  const char* path = std::getenv("VIRTIO_FS_BENCH_ALLOCATIONS");
  if (path == nullptr) return;
  const int fd = ::open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  void* mapped = ::mmap(nullptr, sizeof(Counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  // SAFETY: the file is a page of zeroes, which is a Counter of 0, and stays mapped to the end of the process.
  if (mapped != MAP_FAILED) g_counter.store(static_cast<Counter*>(mapped), std::memory_order_relaxed);
}

}  // namespace

extern "C" {

#define EXPORTED __attribute__((visibility("default")))

EXPORTED void* malloc(std::size_t size) {
  count();
  return __libc_malloc(size);
}

EXPORTED void* calloc(std::size_t n, std::size_t size) {
  count();
  return __libc_calloc(n, size);
}

EXPORTED void* realloc(void* old, std::size_t size) {
  count();
  return __libc_realloc(old, size);
}

EXPORTED void* memalign(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

EXPORTED void* aligned_alloc(std::size_t alignment, std::size_t size) {
  count();
  return __libc_memalign(alignment, size);
}

EXPORTED int posix_memalign(void** result, std::size_t alignment, std::size_t size) {
  count();
  *result = __libc_memalign(alignment, size);
  return *result == nullptr ? 12 : 0;
}

}  // extern "C"
