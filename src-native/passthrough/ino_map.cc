#include "passthrough/ino_map.h"

#include <mutex>

namespace vfs::passthrough {

namespace {

constexpr unsigned kLowBits = 48;
constexpr std::uint64_t kLowMask = (std::uint64_t{1} << kLowBits) - 1;
constexpr std::uint64_t kHashed = std::uint64_t{1} << 62;
constexpr std::uint64_t kHashMask = kHashed - 1;

// The finaliser of splitmix64.
std::uint64_t mix(std::uint64_t value) {
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9ULL;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebULL;
  return value ^ (value >> 31);
}

}  // namespace

std::size_t InoMap::PrefixHash::operator()(const Prefix& prefix) const { return mix(prefix.high + mix(prefix.device)); }

std::uint64_t InoMap::mapped(std::uint64_t device, std::uint64_t ino) {
  const Prefix prefix{device, ino >> kLowBits};
  const auto join = [&](std::uint64_t number) { return kMapped | (number << kLowBits) | (ino & kLowMask); };
  const std::uint64_t hashed = kMapped | kHashed | (mix(ino + mix(device)) & kHashMask);
  {
    const std::shared_lock lock(mutex_);
    const auto found = prefixes_.find(prefix);
    if (found != prefixes_.end()) return join(found->second);
    // No prefix is ever given back, so what is hashed once stays hashed.
    if (prefixes_.size() == kPrefixesMax) return hashed;
  }
  if (device != root_device_) has_foreign_.store(true, std::memory_order_relaxed);
  const std::unique_lock lock(mutex_);
  const auto found = prefixes_.find(prefix);
  if (found != prefixes_.end()) return join(found->second);
  if (prefixes_.size() == kPrefixesMax) return hashed;
  const std::uint64_t number = prefixes_.size();
  prefixes_.emplace(prefix, number);
  return join(number);
}

}  // namespace vfs::passthrough
