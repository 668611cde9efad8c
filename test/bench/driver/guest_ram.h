// The memory of the guest that the driver plays: one memfd, mapped here and given to the backend.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/unique_fd.h"

namespace vfs::bench {

class GuestRam {
 public:
  explicit GuestRam(std::size_t bytes);
  ~GuestRam();
  GuestRam(const GuestRam&) = delete;
  GuestRam& operator=(const GuestRam&) = delete;

  std::byte* at(std::uint64_t offset) const { return bytes_ + offset; }
  std::size_t size() const { return size_; }
  int fd() const { return fd_.get(); }
  // Where the guest sees a byte. Not at 0: an address of the guest must not work where an offset is meant.
  static std::uint64_t guest_address(std::uint64_t offset) { return kBase + offset; }
  // Where this process has it, which is how vhost-user names the parts of a ring.
  std::uint64_t user_address(std::uint64_t offset) const;

 private:
  static constexpr std::uint64_t kBase = 0x8000'0000;

  std::size_t size_;
  UniqueFd fd_;
  std::byte* bytes_;
};

}  // namespace vfs::bench
