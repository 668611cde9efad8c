#include "base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace vfs {

void assert_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "virtio-fs: internal error at %s:%d: %s\n", file, line, expression);
  std::abort();
}

}  // namespace vfs
