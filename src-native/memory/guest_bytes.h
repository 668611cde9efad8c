// GuestBytes: a window on guest memory that exists now. There is no way to a reference or a pointer through it: a
// value is copied out (load) or in (store), so that what was checked is what is used. The guest, its other devices and
// other threads change the bytes at any time; that is why each access is a whole copy or an atomic.
//
// A window is made by GuestMemory::window only, and lives no longer than the memory (for borrowed memory: the pump).
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "base/assert.h"
#include "base/bytes.h"

namespace vfs {

class GuestBytes {
 public:
  GuestBytes() = default;

  std::size_t size() const { return size_; }

  // A copy of the value at `offset`; the caller has checked offset + sizeof(T) <= size().
  template <WireValue T>
  T load(std::size_t offset) const {
    check(offset, sizeof(T));
    T value;
    // SAFETY: checked above; memcpy makes no assumption on alignment and reads each byte once.
    std::memcpy(&value, start_ + offset, sizeof(T));
    return value;
  }

  template <WireValue T>
  void store(std::size_t offset, const T& value) const {
    check(offset, sizeof(T));
    // SAFETY: as in load.
    std::memcpy(start_ + offset, &value, sizeof(T));
  }

  void copy_out(std::size_t offset, MutableByteSpan into) const {
    check(offset, into.size());
    // SAFETY: as in load; `into` is our own memory and cannot overlap a guest's.
    if (!into.empty()) std::memcpy(into.data(), start_ + offset, into.size());
  }

  void copy_in(std::size_t offset, ByteSpan from) const {
    check(offset, from.size());
    // SAFETY: as in copy_out.
    if (!from.empty()) std::memcpy(start_ + offset, from.data(), from.size());
  }

  // The ring fields that both sides poll (virtio 1.3 §2.7.13), 2-byte aligned in guest and host. Sequentially
  // consistent where "store mine, then look at yours" decides who wakes whom, so that no separate fence is needed.
  std::uint16_t load_acquire(std::size_t offset) const {
    return std::atomic_ref<std::uint16_t>(field_at(offset)).load(std::memory_order_acquire);
  }
  std::uint16_t load_ordered(std::size_t offset) const {
    return std::atomic_ref<std::uint16_t>(field_at(offset)).load(std::memory_order_seq_cst);
  }
  void store_ordered(std::size_t offset, std::uint16_t value) const {
    std::atomic_ref<std::uint16_t>(field_at(offset)).store(value, std::memory_order_seq_cst);
  }

  // For what a process that comes after this one may find (virtio/in_flight_table.h): earlier stores are made before
  // it. The caller has checked that the field is aligned in this process, too.
  template <typename T>
    requires std::is_unsigned_v<T>
  void store_release(std::size_t offset, T value) const {
    check(offset, sizeof(T));
    // SAFETY: as in field_at, with the alignment of T.
    std::atomic_ref<T>(*reinterpret_cast<T*>(start_ + offset)).store(value, std::memory_order_release);
  }

  bool aligned(std::size_t alignment) const { return reinterpret_cast<std::uintptr_t>(start_) % alignment == 0; }

  // For system calls that move data between files and guest pages (guest_io_unsafe.cc), and for nothing else.
  iovec as_iovec() const { return {start_, size_}; }

 private:
  friend class GuestMemory;
  GuestBytes(std::byte* start, std::size_t size) : start_(start), size_(size) {}

  void check(std::size_t offset, std::size_t length) const { VFS_ASSERT(offset <= size_ && length <= size_ - offset); }
  std::uint16_t& field_at(std::size_t offset) const {
    check(offset, sizeof(std::uint16_t));
    // SAFETY: rings are refused unless 2-byte aligned (Virtqueue::attach looks at the host address too).
    return *reinterpret_cast<std::uint16_t*>(start_ + offset);
  }

  std::byte* start_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace vfs
