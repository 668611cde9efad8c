// What a backend's processes have used so far: CPU time (to the nanosecond, threads that ended included) and context
// switches of the threads that it has.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include <sys/types.h>

namespace vfs::bench {

struct Usage {
  std::uint64_t cpu_ns = 0;
  std::uint64_t voluntary_switches = 0;
  std::uint64_t involuntary_switches = 0;
};

// Processes that have ended count for nothing.
Usage usage_of(std::span<const pid_t> processes);
// Of the calling thread.
Usage usage_of_thread();
Usage operator-(const Usage& a, const Usage& b);

// Binds the calling thread to a CPU.
void bind_to_cpu(int cpu);

}  // namespace vfs::bench
