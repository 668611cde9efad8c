// The time of day, as files have it.
#pragma once

#include <chrono>
#include <cstdint>

namespace vfs {

inline std::int64_t nanoseconds_since_1970() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace vfs
