// What is kept of nodes and handles where the end of the process does not reach it: a record for each slot of a table
// (slot_table.h), in a file that is mapped. session_file.h has the file, resume.cc reads it.
//
// A process can be killed between any two instructions, and what it had stored until then is there. So a record counts
// from its last store on, that of its word, and is taken back by one store. A free slot's word still says which number
// comes next there, because a number is never given out twice, by the next process neither.
//
// Threading: records of different slots from any threads; who adds, changes and removes one record takes turns, but for
// remove(), which does nothing once the slot is another's.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <type_traits>
#include <vector>

#include "base/sys.h"

namespace vfs::passthrough {

struct NodeRecord {
  static constexpr std::size_t kNameMax = 255;   // as on every file system of Linux
  static constexpr std::size_t kHandleMax = 64;  // those of ext4, XFS, btrfs and tmpfs have 8 to 40
  std::uint64_t lookups;
  std::uint64_t parent;  // the directory in which `name` led to it
  std::uint64_t device;
  std::uint64_t ino;
  std::int64_t born_seconds;  // 0 where the file system does not know
  std::uint32_t born_nanoseconds;
  std::uint32_t type;  // S_IFMT bits
  std::int32_t handle_type;
  std::uint16_t handle_bytes;  // 0: there is none
  std::uint16_t name_bytes;    // 0: it has none
  std::array<char, kHandleMax> handle;
  std::array<char, kNameMax + 1> name;

  std::string_view name_text() const { return {name.data(), std::min<std::size_t>(name_bytes, kNameMax)}; }
};

struct HandleRecord {
  std::uint64_t node;
  std::uint32_t host_flags;
  std::uint32_t appends;
  std::uint32_t changes;
  std::uint32_t flock;  // LOCK_SH, LOCK_EX or LOCK_UN
};

// The number that a record's word stands for, and whether it is in use.
struct RecordWord {
  static constexpr std::uint64_t kInUse = std::uint64_t{1} << 63;
  std::uint64_t word;
  bool in_use() const { return (word & kInUse) != 0; }
  std::uint64_t id() const { return word & ~kInUse; }
};

template <typename R>
class Records {
  static_assert(std::is_trivially_copyable_v<R>);

 public:
  struct Place {
    std::uint64_t word;
    R content;
  };
  // Room is taken from the file system by so much at a time, before it is touched: a store into a hole of a file on a
  // file system that is full would end the process (SIGBUS).
  static constexpr std::size_t kChunkBytes = std::size_t{192} << 10;
  static constexpr std::size_t kPerChunk = kChunkBytes / sizeof(Place);
  static_assert(kChunkBytes % sizeof(Place) == 0);

  static constexpr std::uint64_t bytes(std::size_t slots) {
    return (slots + kPerChunk - 1) / kPerChunk * std::uint64_t{kChunkBytes};
  }

  // `top`, in the file: how many slots have had room so far.
  Records(int fd, std::uint64_t offset, void* first, std::size_t slots, std::uint64_t& top)
      : fd_(fd), offset_(offset), places_(static_cast<Place*>(first)), top_(top), chunks_(slots / kPerChunk + 1) {
    for (std::size_t i = 0; i < std::min<std::size_t>(top_ / kPerChunk, chunks_.size()); ++i) chunks_[i] = true;
  }

  // False: the file system has no room for it.
  bool add(std::uint64_t id, std::uint32_t slot, const R& content) {
    if (!reserve(slot)) return false;
    Place& place = places_[slot];
    place.content = content;
    word(place).store(id | RecordWord::kInUse, std::memory_order_release);
    return true;
  }

  // `next`: the number that the slot gives out next. No effect if it is not the number's (any more).
  void remove(std::uint64_t id, std::uint32_t slot, std::uint64_t next) {
    if (!chunks_[slot / kPerChunk].load(std::memory_order_acquire)) return;
    std::uint64_t expected = id | RecordWord::kInUse;
    word(places_[slot]).compare_exchange_strong(expected, next, std::memory_order_acq_rel);
  }

  // Of a slot that has a record.
  R& content(std::uint32_t slot) { return places_[slot].content; }
  // Whether the slot's record is that of this number.
  bool is(std::uint64_t id, std::uint32_t slot) const {
    return std::atomic_ref(places_[slot].word).load(std::memory_order_acquire) == (id | RecordWord::kInUse);
  }

  // --- for who reads what another process has left

  std::uint64_t top() const { return top_; }
  RecordWord word_at(std::uint32_t slot) const { return {places_[slot].word}; }
  R content_at(std::uint32_t slot) const { return places_[slot].content; }

 private:
  static std::atomic_ref<std::uint64_t> word(Place& place) { return std::atomic_ref<std::uint64_t>(place.word); }

  bool reserve(std::uint32_t slot) {
    const std::size_t chunk = slot / kPerChunk;
    if (chunks_[chunk].load(std::memory_order_acquire)) return true;
    const std::lock_guard lock(growing_);
    if (chunks_[chunk].load(std::memory_order_relaxed)) return true;
    const auto at = static_cast<std::int64_t>(offset_ + chunk * kChunkBytes);
    if (!sys::fallocate(fd_, 0, at, std::int64_t{kChunkBytes}).ok()) return false;
    top_ = std::max<std::uint64_t>(top_, (chunk + 1) * kPerChunk);
    chunks_[chunk].store(true, std::memory_order_release);
    return true;
  }

  const int fd_;
  const std::uint64_t offset_;
  Place* const places_;
  std::mutex growing_;  // guards top_; only a system call is made while it is held
  std::uint64_t& top_;
  std::vector<std::atomic<bool>> chunks_;  // which have room
};

using NodeRecords = Records<NodeRecord>;
using HandleRecords = Records<HandleRecord>;

}  // namespace vfs::passthrough
