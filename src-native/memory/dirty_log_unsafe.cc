#include "memory/dirty_log.h"

#include <algorithm>
#include <limits>
#include <mutex>
#include <utility>

#include "base/sys.h"

namespace vfs {

Status DirtyLog::map(int fd, std::uint64_t bytes, std::uint64_t offset) {
  VFS_TRY(const std::uint64_t file_size, sys::file_size(fd));
  if (bytes == 0 || offset > file_size || bytes > file_size - offset) return Errno(EINVAL);
  if (bytes > std::numeric_limits<std::size_t>::max() / 2) return Errno(EINVAL);
  VFS_TRY(const std::uint64_t page, sys::mapping_page_size(fd));
  const std::uint64_t skip = offset % page;
  const auto length = static_cast<std::size_t>((bytes + skip + page - 1) / page * page);
  VFS_TRY(void* const mapping, sys::map_shared(fd, length, offset - skip));
  auto guard = BusGuard::over(mapping, length, static_cast<std::size_t>(page));
  if (!guard.ok()) {
    sys::unmap(mapping, length);
    return guard.error();
  }
  const std::lock_guard lock(mutex_);
  // In one step: a write between two logs would be in neither.
  release();
  guard_ = std::move(guard).value();
  mapping_ = mapping;
  mapping_size_ = length;
  // SAFETY: the mapping is at least skip + bytes bytes long.
  bits_ = static_cast<std::byte*>(mapping) + skip;
  bytes_ = bytes;
  update_active();
  return Unit{};
}

void DirtyLog::unmap() {
  const std::lock_guard lock(mutex_);
  release();
  update_active();
}

void DirtyLog::release() {
  if (mapping_ == nullptr) return;
  guard_ = BusGuard();
  sys::unmap(std::exchange(mapping_, nullptr), mapping_size_);
  bits_ = nullptr;
  bytes_ = 0;
}

void DirtyLog::set_enabled(bool enabled) {
  const std::lock_guard lock(mutex_);
  enabled_ = enabled;
  update_active();
}

void DirtyLog::set_event(UniqueFd event) {
  const std::lock_guard lock(mutex_);
  event_ = std::move(event);
}

void DirtyLog::mark(std::uint64_t address, std::uint64_t length) {
  if (length == 0) return;
  const std::shared_lock lock(mutex_);
  if (bits_ == nullptr) return;
  const std::uint64_t end = address + std::min(length - 1, std::numeric_limits<std::uint64_t>::max() - address);
  bool news = false;
  for (std::uint64_t page = address / kPageBytes; page <= end / kPageBytes && page / 8 < bytes_; ++page) {
    // SAFETY: page / 8 < bytes_ was just checked; a byte needs no alignment.
    auto& byte = *reinterpret_cast<unsigned char*>(bits_ + page / 8);
    const auto bit = static_cast<unsigned char>(1U << (page % 8));
    news |= (std::atomic_ref<unsigned char>(byte).fetch_or(bit, std::memory_order_seq_cst) & bit) == 0;
  }
  if (news && event_.valid()) sys::eventfd_signal_if_room(event_.get());
}

}  // namespace vfs
