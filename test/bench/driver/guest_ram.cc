#include "guest_ram.h"

#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

namespace vfs::bench {

GuestRam::GuestRam(std::size_t bytes)
    : size_(bytes), fd_(check_fd(::memfd_create("vfs-bench-guest", MFD_CLOEXEC), "memfd_create")) {
  check(::ftruncate(fd_.get(), static_cast<off_t>(bytes)), "ftruncate of guest memory");
  void* mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (mapped == MAP_FAILED) die("mmap of guest memory", errno);
  bytes_ = static_cast<std::byte*>(mapped);
}

GuestRam::~GuestRam() { ::munmap(bytes_, size_); }

std::uint64_t GuestRam::user_address(std::uint64_t offset) const {
  return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(bytes_)) + offset;
}

}  // namespace vfs::bench
