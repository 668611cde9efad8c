// Limits: how much a guest may have open, make and write, all in all. What is counted is what came through this device.
//
// Threading: every method from any thread. What may be too much is counted first, and taken back if it does not happen,
// so that requests which run at once pass no bound together. (But for a file's size: who appends learns of the end by
// asking first.)
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <unordered_set>

#include "base/result.h"

namespace vfs::policy {

inline constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

struct LimitValues {
  std::uint64_t open_handles = kUnlimited;
  std::uint64_t inodes = kUnlimited;
  std::uint64_t bytes_written = kUnlimited;
  std::uint64_t file_size = kUnlimited;
  friend bool operator==(const LimitValues&, const LimitValues&) = default;
};

// A number that does not pass a bound.
class Bounded {
 public:
  void bound(std::uint64_t value) { bound_.store(value, std::memory_order_relaxed); }
  bool is_bounded() const { return bound_.load(std::memory_order_relaxed) != kUnlimited; }
  // `over`: there is no room for so many.
  Status take(std::uint64_t count, int over) {
    const std::uint64_t before = now_.fetch_add(count, std::memory_order_relaxed);
    const std::uint64_t bound = bound_.load(std::memory_order_relaxed);
    if (before <= bound && count <= bound - before) return Unit{};
    give_back(count);
    return Errno(over);
  }
  // What is there already.
  void count(std::uint64_t count) { now_.fetch_add(count, std::memory_order_relaxed); }
  // As many of these as there is room for.
  std::uint64_t take_some(std::uint64_t count) {
    const std::uint64_t bound = bound_.load(std::memory_order_relaxed);
    std::uint64_t now = now_.load(std::memory_order_relaxed);
    for (;;) {
      const std::uint64_t granted = now >= bound ? 0 : std::min(count, bound - now);
      if (granted == 0 || now_.compare_exchange_weak(now, now + granted, std::memory_order_relaxed)) return granted;
    }
  }
  void give_back(std::uint64_t count) {
    std::uint64_t now = now_.load(std::memory_order_relaxed);
    while (!now_.compare_exchange_weak(now, now < count ? 0 : now - count, std::memory_order_relaxed)) {
    }
  }
  void reset() { now_.store(0, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> bound_{kUnlimited};
  std::atomic<std::uint64_t> now_{0};
};

class Limits {
 public:
  // Other bounds; what has been counted counts on.
  void set(const LimitValues& values) {
    handles.bound(values.open_handles);
    names.bound(values.inodes);
    written.bound(values.bytes_written);
    file_size_.store(values.file_size, std::memory_order_relaxed);
  }
  // Another guest has nothing open.
  void begin_session() {
    handles.reset();
    const std::lock_guard lock(mutex_);
    appending_.clear();
  }

  Bounded handles;  // EMFILE
  Bounded names;    // that the guest has made and not removed: ENOSPC
  Bounded written;  // bytes: EDQUOT

  std::uint64_t file_size() const { return file_size_.load(std::memory_order_relaxed); }
  bool bounds_writes() const { return written.is_bounded() || file_size() != kUnlimited; }
  // EFBIG: a file would become longer than it may.
  Status check_end(std::uint64_t offset, std::uint64_t length) const {
    const std::uint64_t bound = file_size();
    return offset <= bound && length <= bound - offset ? ok_status() : Status(Errno(EFBIG));
  }

  // Handles whose writes go to the end of the file, wherever the guest says.
  void note_appending(std::uint64_t handle) {
    const std::lock_guard lock(mutex_);
    appending_.insert(handle);
  }
  void forget_handle(std::uint64_t handle) {
    const std::lock_guard lock(mutex_);
    appending_.erase(handle);
  }
  bool appends(std::uint64_t handle) const {
    const std::lock_guard lock(mutex_);
    return appending_.contains(handle);
  }

 private:
  std::atomic<std::uint64_t> file_size_{kUnlimited};
  mutable std::mutex mutex_;
  std::unordered_set<std::uint64_t> appending_;  // guarded by mutex_
};

}  // namespace vfs::policy
