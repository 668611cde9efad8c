// DirtyLog: the pages of a guest that we have written, one bit each, in memory that a migrating frontend shares with us
// (vhost-user's "Migration"). A bit is set after its page was written, so that the frontend, which clears the bit
// before it copies the page, cannot miss anything.
//
// Threading: mark() from any thread; active() costs a load. The log is changed while queues run: after map(), unmap()
// or set_enabled() has returned, every write that is marked later is marked accordingly.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <shared_mutex>

#include "base/bus_guard.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace vfs {

class DirtyLog {
 public:
  static constexpr std::uint64_t kPageBytes = 4096;  // VHOST_LOG_PAGE, whatever the host's are

  DirtyLog() = default;
  ~DirtyLog() { unmap(); }
  DirtyLog(const DirtyLog&) = delete;
  DirtyLog& operator=(const DirtyLog&) = delete;

  // Logs to `bytes` bytes at `offset` of a file, instead of where it did; if that fails it stays as it was. EINVAL: the
  // area is empty or reaches beyond the end of its file. Otherwise the errors of fstat and mmap.
  Status map(int fd, std::uint64_t bytes, std::uint64_t offset);
  void unmap();
  // Whether guest memory at large is logged (VHOST_F_LOG_ALL). What rings log of their own does not depend on it.
  void set_enabled(bool enabled);
  // Signalled when a bit was set that was not; may be none.
  void set_event(UniqueFd event);

  bool active() const { return active_.load(std::memory_order_acquire); }
  // Sets the bits of [address, address + length); those beyond the log's end, of which the frontend wants to know
  // nothing, are left out.
  void mark(std::uint64_t address, std::uint64_t length);

 private:
  void release();  // the mutex is held
  void update_active() { active_.store(enabled_ && bits_ != nullptr, std::memory_order_seq_cst); }

  std::atomic<bool> active_{false};
  std::shared_mutex mutex_;  // guards all below: shared by those who mark; nothing else is taken while it is held
  bool enabled_ = false;
  std::byte* bits_ = nullptr;
  std::uint64_t bytes_ = 0;
  void* mapping_ = nullptr;
  std::size_t mapping_size_ = 0;
  BusGuard guard_;
  UniqueFd event_;
};

}  // namespace vfs
