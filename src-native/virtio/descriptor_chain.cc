#include "virtio/descriptor_chain.h"

#include <algorithm>
#include <limits>
#include <span>

#include "virtio/ring_layout.h"

namespace vfs::virtio {

namespace {

// Chains in an indirect table may be longer than the queue: Linux drivers do that (virtqueue_add_split warns only
// without the feature). This bound protects us from a table of any length that a guest may claim.
constexpr std::uint32_t kIndirectDescriptorsMax = 1024;

}  // namespace

void ChainRanges::clear() {
  ranges_.clear();
  readable_count_ = 0;
  readable_bytes_ = 0;
  writable_bytes_ = 0;
}

GuestReader ChainRanges::reader(const GuestMemory& memory) const {
  return {memory, std::span(ranges_).first(readable_count_), static_cast<std::uint32_t>(readable_bytes_)};
}

GuestWriter ChainRanges::writer(const GuestMemory& memory) const {
  return {memory, std::span(ranges_).subspan(readable_count_), static_cast<std::uint32_t>(writable_bytes_)};
}

class ChainWalk {
 public:
  ChainWalk(const GuestMemory& memory, ChainLimits limits, ChainRanges& into)
      : memory_(memory), limits_(limits), into_(into) {}

  // Follows one table from `index`; `entries` is its length. An indirect descriptor continues in its own table.
  Result<Unit, Fault> follow(const GuestBytes& table, std::uint32_t entries, std::uint16_t index, bool nested) {
    for (std::uint32_t steps = 0;; ++steps) {
      // More steps than entries: the chain bites its tail.
      if (steps >= entries) return Fault::kChainTooLong;
      if (index >= entries) return Fault::kDescriptorOutOfRange;
      const auto descriptor = table.load<abi::Descriptor>(std::size_t{index} * sizeof(abi::Descriptor));
      const bool more = (descriptor.flags & abi::kDescNext) != 0;
      if ((descriptor.flags & abi::kDescIndirect) != 0) {
        // §2.7.5.3.1: not nested, and the last of its chain.
        if (!limits_.indirect) return Fault::kIndirectNotNegotiated;
        if (nested || more) return Fault::kBadIndirectTable;
        return follow_indirect(descriptor);
      }
      if (auto added = add(descriptor); !added.ok()) return added.error();
      if (!more) return Unit{};
      index = descriptor.next;
    }
  }

 private:
  Result<Unit, Fault> follow_indirect(const abi::Descriptor& descriptor) {
    if (descriptor.len == 0 || descriptor.len % sizeof(abi::Descriptor) != 0) return Fault::kBadIndirectTable;
    const auto entries = descriptor.len / static_cast<std::uint32_t>(sizeof(abi::Descriptor));
    if (entries > std::max<std::uint32_t>(kIndirectDescriptorsMax, limits_.queue_size)) return Fault::kChainTooLong;
    const auto table = memory_.window({GuestAddress{descriptor.addr}, descriptor.len});
    if (!table.ok()) return table.error();
    return follow(table.value(), entries, 0, true);
  }

  Result<Unit, Fault> add(const abi::Descriptor& descriptor) {
    const bool writable = (descriptor.flags & abi::kDescWrite) != 0;
    if (!writable && into_.ranges_.size() > into_.readable_count_) return Fault::kReadableAfterWritable;
    if (descriptor.len == 0) return Unit{};  // carries nothing
    const GuestRange range{GuestAddress{descriptor.addr}, descriptor.len};
    const bool appended = extend_last(range, writable);
    if (!appended) {
      if (auto window = memory_.window(range); !window.ok()) return window.error();
    }
    std::uint64_t& total = writable ? into_.writable_bytes_ : into_.readable_bytes_;
    total += descriptor.len;
    // §2.7.4.2: at most 2^32 bytes in a chain, and the used length has 32 bits.
    if (total > std::numeric_limits<std::uint32_t>::max()) return Fault::kTotalTooLarge;
    if (appended) return Unit{};
    into_.ranges_.push_back(range);
    if (!writable) ++into_.readable_count_;
    return Unit{};
  }

  // A guest describes data page by page, and many of its pages follow each other: one range is one segment of a system
  // call. False: they do not, or not in this process, because they lie in two regions.
  bool extend_last(const GuestRange& range, bool writable) {
    const std::size_t first = writable ? into_.readable_count_ : 0;
    if (into_.ranges_.size() == first) return false;
    GuestRange& last = into_.ranges_.back();
    if (range.address.value - last.address.value != last.length) return false;
    if (range.length > std::numeric_limits<std::uint32_t>::max() - last.length) return false;
    const GuestRange both{last.address, last.length + range.length};
    if (!memory_.contains(both)) return false;
    last = both;
    return true;
  }

  const GuestMemory& memory_;
  const ChainLimits limits_;
  ChainRanges& into_;
};

Result<Unit, Fault> walk_chain(const GuestMemory& memory, const GuestBytes& table, std::uint16_t head,
                               ChainLimits limits, ChainRanges& into) {
  into.clear();
  return ChainWalk(memory, limits, into).follow(table, limits.queue_size, head, false);
}

}  // namespace vfs::virtio
