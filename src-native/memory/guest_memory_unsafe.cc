// Mapping of guest memory: the pointers that everything else is kept away from.
#include <algorithm>
#include <limits>

#include "base/sys.h"
#include "memory/guest_memory.h"

namespace vfs {

namespace {

Status check_regions(const std::vector<GuestMemory::RegionSpec>& regions) {
  if (regions.empty()) return Errno(EINVAL);
  std::vector<GuestMemory::RegionSpec> sorted = regions;
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) { return a.address < b.address; });
  std::uint64_t end = 0;
  bool first = true;
  for (const auto& region : sorted) {
    const std::uint64_t start = region.address.value;
    if (region.size == 0 || region.size - 1 > std::numeric_limits<std::uint64_t>::max() - start) return Errno(EINVAL);
    if (region.size > std::numeric_limits<std::size_t>::max() / 2) return Errno(EINVAL);
    // `end` is the last address of the region before: inclusive, so that a region may end at 2^64 - 1.
    if (!first && start <= end) return Errno(EINVAL);
    end = start + (region.size - 1);
    first = false;
  }
  return Unit{};
}

}  // namespace

Result<std::shared_ptr<GuestMemory>> GuestMemory::from_fds(const std::vector<RegionSpec>& regions) {
  VFS_CHECK(check_regions(regions));
  std::shared_ptr<GuestMemory> memory(new GuestMemory());
  for (const RegionSpec& spec : regions) {
    VFS_TRY(const std::uint64_t file_size, sys::file_size(spec.fd));
    if (spec.offset > file_size || spec.size > file_size - spec.offset) return Errno(EINVAL);
    VFS_TRY(UniqueFd fd, sys::duplicate(spec.fd));
    VFS_CHECK(memory->map_region(spec, std::move(fd)));
  }
  return memory;
}

Result<std::shared_ptr<GuestMemory>> GuestMemory::allocate(std::vector<RegionSpec> regions) {
  VFS_CHECK(check_regions(regions));
  std::shared_ptr<GuestMemory> memory(new GuestMemory());
  for (RegionSpec& spec : regions) {
    VFS_TRY(UniqueFd fd, sys::memfd("virtio-fs-guest", spec.size));
    spec.offset = 0;
    VFS_CHECK(memory->map_region(spec, std::move(fd)));
  }
  return memory;
}

std::shared_ptr<GuestMemory> GuestMemory::borrow() {
  std::shared_ptr<GuestMemory> memory(new GuestMemory());
  memory->borrowed_ = true;
  return memory;
}

Status GuestMemory::map_region(const RegionSpec& spec, UniqueFd fd) {
  const std::uint64_t page = sys::page_size();
  const std::uint64_t skip = spec.offset % page;
  // SAFETY: skip < page and size <= SIZE_MAX / 2, so the sum does not wrap.
  const std::size_t length = static_cast<std::size_t>(spec.size + skip);
  VFS_TRY(void* const mapping, sys::map_shared(fd.get(), length, spec.offset - skip));
  Region region{spec.address, spec.size, nullptr, std::move(fd), mapping, length};
  // SAFETY: the mapping is `length` = skip + size bytes long.
  region.start = static_cast<std::byte*>(mapping) + skip;
  const auto place = std::upper_bound(regions_.begin(), regions_.end(), spec.address,
                                      [](GuestAddress a, const Region& b) { return a < b.address; });
  const auto at = static_cast<std::size_t>(place - regions_.begin());
  regions_.insert(place, std::move(region));
  for (std::size_t& index : given_order_) {
    if (index >= at) ++index;
  }
  given_order_.push_back(at);
  return Unit{};
}

GuestMemory::~GuestMemory() {
  for (const Region& region : regions_) {
    if (region.mapping != nullptr) sys::unmap(region.mapping, region.mapping_size);
  }
}

Result<GuestBytes, Fault> GuestMemory::window(GuestRange range) const {
  if (borrowed_ && regions_.empty()) return Fault::kMemoryUnavailable;
  auto after = std::upper_bound(regions_.begin(), regions_.end(), range.address,
                                [](GuestAddress a, const Region& b) { return a < b.address; });
  if (after == regions_.begin()) return Fault::kAddressOutsideMemory;
  const Region& region = *--after;
  const std::uint64_t offset = range.address.value - region.address.value;
  if (offset > region.size || range.length > region.size - offset) return Fault::kAddressOutsideMemory;
  // SAFETY: offset + length <= size was just checked without overflow.
  return GuestBytes(region.start + offset, range.length);
}

bool GuestMemory::contains(GuestRange range) const { return window(range).ok(); }

void GuestMemory::attach(MutableByteSpan bytes, GuestAddress base, WriteObserver* observer) {
  VFS_ASSERT(borrowed_);
  regions_.clear();
  const std::uint64_t room = std::numeric_limits<std::uint64_t>::max() - base.value;
  const std::uint64_t size = std::min<std::uint64_t>(bytes.size(), room);
  if (size > 0) regions_.push_back(Region{base, size, bytes.data(), UniqueFd(), nullptr, 0});
  observer_ = observer;
}

void GuestMemory::detach() {
  VFS_ASSERT(borrowed_);
  regions_.clear();
  observer_ = nullptr;
}

MutableByteSpan GuestMemory::region_bytes(std::size_t index) const {
  VFS_ASSERT(!borrowed_ && index < given_order_.size());
  const Region& region = regions_[given_order_[index]];
  return {region.start, static_cast<std::size_t>(region.size)};
}

int GuestMemory::region_fd(std::size_t index) const {
  VFS_ASSERT(!borrowed_ && index < given_order_.size());
  return regions_[given_order_[index]].fd.get();
}

void GuestMemory::close_descriptors() {
  for (Region& region : regions_) region.fd.reset();
}

Status GuestMemory::exclude_from_fork() {
  for (const Region& region : regions_) {
    if (region.mapping != nullptr) VFS_CHECK(sys::dont_fork(region.mapping, region.mapping_size));
  }
  return Unit{};
}

}  // namespace vfs
