// The walk of a descriptor chain: every descriptor is copied and checked once, and the result is a list of ranges that
// all lie in guest memory. A malformed chain is a Fault; the walk never pretends that a chain just ended.
#pragma once

#include <cstdint>
#include <vector>

#include "base/fault.h"
#include "base/result.h"
#include "memory/guest_io.h"
#include "memory/guest_memory.h"

namespace vfs::virtio {

// The ranges of one chain: readable ones first, then writable ones; what several descriptors describe piece by piece is
// one. Reused from request to request, so that a warm queue does not allocate.
class ChainRanges {
 public:
  void clear();
  GuestReader reader(const GuestMemory& memory) const;
  GuestWriter writer(const GuestMemory& memory) const;

 private:
  friend class ChainWalk;
  std::vector<GuestRange> ranges_;
  std::size_t readable_count_ = 0;
  std::uint64_t readable_bytes_ = 0;
  std::uint64_t writable_bytes_ = 0;
};

struct ChainLimits {
  std::uint16_t queue_size;
  bool indirect;
};

// Walks the chain that starts at `head` of the table. `into` is cleared first; after a fault its content is void.
Result<Unit, Fault> walk_chain(const GuestMemory& memory, const GuestBytes& table, std::uint16_t head,
                               ChainLimits limits, ChainRanges& into);

}  // namespace vfs::virtio
