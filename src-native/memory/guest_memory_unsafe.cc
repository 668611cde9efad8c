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

// EINVAL: the region reaches beyond the end of its file.
Status check_file(const GuestMemory::RegionSpec& spec) {
  VFS_TRY(const std::uint64_t file_size, sys::file_size(spec.fd));
  if (spec.offset > file_size || spec.size > file_size - spec.offset) return Errno(EINVAL);
  return Unit{};
}

}  // namespace

Result<std::shared_ptr<GuestMemory>> GuestMemory::from_fds(const std::vector<RegionSpec>& regions,
                                                           std::shared_ptr<DirtyLog> log) {
  VFS_CHECK(check_regions(regions));
  std::shared_ptr<GuestMemory> memory(new GuestMemory());
  memory->log_ = std::move(log);
  for (const RegionSpec& spec : regions) {
    VFS_CHECK(check_file(spec));
    VFS_TRY(UniqueFd fd, sys::duplicate(spec.fd));
    VFS_CHECK(memory->map_region(spec, std::move(fd)));
  }
  return memory;
}

Result<std::shared_ptr<GuestMemory>> GuestMemory::with_region(const RegionSpec& region) const {
  VFS_ASSERT(!borrowed_);
  std::vector<RegionSpec> all{region};
  for (const Region& mapped : regions_) all.push_back({mapped.address, mapped.size, -1, 0});
  VFS_CHECK(check_regions(all));
  VFS_CHECK(check_file(region));
  const std::shared_ptr<GuestMemory> memory = without_region(regions_.size());
  VFS_TRY(UniqueFd fd, sys::duplicate(region.fd));
  VFS_CHECK(memory->map_region(region, std::move(fd)));
  return memory;
}

std::shared_ptr<GuestMemory> GuestMemory::without_region(std::size_t index) const {
  VFS_ASSERT(!borrowed_);
  std::shared_ptr<GuestMemory> memory(new GuestMemory());
  memory->log_ = log_;
  for (std::size_t given = 0; given < given_order_.size(); ++given) {
    if (given == index) continue;
    const Region& region = regions_[given_order_[given]];
    memory->insert(Region{region.address, region.size, region.start, UniqueFd(), region.mapping});
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
  VFS_TRY(const std::uint64_t page, sys::mapping_page_size(fd.get()));
  const std::uint64_t skip = spec.offset % page;
  // Whole pages: munmap of huge ones takes nothing else. SAFETY: skip < page and size <= SIZE_MAX / 2, so the sum does
  // not wrap.
  const auto length = static_cast<std::size_t>((spec.size + skip + page - 1) / page * page);
  VFS_TRY(void* const address, sys::map_shared(fd.get(), length, spec.offset - skip));
  auto mapping = std::make_shared<Mapping>(address, length);
  VFS_TRY(mapping->guard, BusGuard::over(address, length, static_cast<std::size_t>(page)));
  // SAFETY: the mapping is at least skip + size bytes long.
  std::byte* const start = static_cast<std::byte*>(address) + skip;
  insert(Region{spec.address, spec.size, start, std::move(fd), std::move(mapping)});
  return Unit{};
}

void GuestMemory::insert(Region region) {
  const auto place = std::upper_bound(regions_.begin(), regions_.end(), region.address,
                                      [](GuestAddress a, const Region& b) { return a < b.address; });
  const auto at = static_cast<std::size_t>(place - regions_.begin());
  regions_.insert(place, std::move(region));
  for (std::size_t& index : given_order_) {
    if (index >= at) ++index;
  }
  given_order_.push_back(at);
}

GuestMemory::Mapping::~Mapping() {
  // The guard first: the addresses may be somebody else's as soon as they are free.
  guard = BusGuard();
  sys::unmap(start, size);
}

GuestMemory::~GuestMemory() = default;

bool GuestMemory::damaged() const {
  return std::any_of(regions_.begin(), regions_.end(),
                     [](const Region& region) { return region.mapping != nullptr && region.mapping->guard.hit(); });
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
  if (size > 0) regions_.push_back(Region{base, size, bytes.data(), UniqueFd(), nullptr});
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
    if (region.mapping != nullptr) VFS_CHECK(sys::dont_fork(region.mapping->start, region.mapping->size));
  }
  return Unit{};
}

}  // namespace vfs
