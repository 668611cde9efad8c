// The limit: the job's system calls made by one thread, with no virtio between, and one eventfd wake-up for as many
// operations as would be under way.
//   depth 1    another thread writes an eventfd, this one makes the calls and writes another: two wake-ups per
//              operation, as no backend that sleeps can do without
//   deeper     this thread makes the calls of `depth` operations and wakes the other thread once
#pragma once

#include "client.h"
#include "guest_ram.h"
#include "job.h"
#include "report.h"

namespace vfs::bench {

struct DirectOptions {
  int driver_cpu = -1;  // -1: any
  int backend_cpu = -1;
  std::uint32_t segment_bytes = 4096;
};

// `ram` has kDirectRamBytes, and stays from run to run as a guest's memory does: pages that a process touches for the
// first time cost more than what is measured.
inline constexpr std::size_t kDirectRamBytes = std::size_t{kDepthMax} * kDataBytesMax;
RunReport run_direct(Job& job, const RunOptions& options, const DirectOptions& where, const GuestRam& ram);

}  // namespace vfs::bench
