// InoMap: the inode numbers that a guest sees. On the host a number is unique within its device; in the guest all
// devices below the share can lie within one superblock, where programs (tar, rsync, find) take two files with one
// number for one file. See docs/decisions/0004-inode-numbers.md.
//
// The share's own device keeps its numbers. What else there is gets a number with the top bit set, which the former
// hardly ever has: a prefix of 14 bits for each pair of a device and the upper 16 bits of its numbers, then the lower
// 48 bits as they are. Only where 16384 prefixes do not suffice (a foreign file system that scatters its numbers over
// all 64 bits) the rest is a hash. A number once given stays the same as long as the share is served.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <shared_mutex>
#include <unordered_map>

namespace vfs::passthrough {

class InoMap {
 public:
  static constexpr std::size_t kPrefixesMax = std::size_t{1} << 14;

  explicit InoMap(std::uint64_t root_device) : root_device_(root_device) {}

  std::uint64_t number(std::uint64_t device, std::uint64_t ino) {
    // Nearly all: no lock.
    if (device == root_device_ && (ino & kMapped) == 0) return ino;
    return mapped(device, ino);
  }

  // Whether anything of another device has been shown.
  bool has_foreign() const { return has_foreign_.load(std::memory_order_relaxed); }

 private:
  static constexpr std::uint64_t kMapped = std::uint64_t{1} << 63;

  struct Prefix {
    std::uint64_t device;
    std::uint64_t high;  // the upper 16 bits of inode numbers
    friend bool operator==(const Prefix&, const Prefix&) = default;
  };
  struct PrefixHash {
    std::size_t operator()(const Prefix& prefix) const;
  };

  std::uint64_t mapped(std::uint64_t device, std::uint64_t ino);

  const std::uint64_t root_device_;
  std::atomic<bool> has_foreign_{false};
  std::shared_mutex mutex_;  // guards prefixes_; nothing else may be taken under it
  std::unordered_map<Prefix, std::uint64_t, PrefixHash> prefixes_;
};

}  // namespace vfs::passthrough
