// FakeDriver: a virtio driver's side of one split ring (virtio 1.3 §2.7), in memory that the test holds. It behaves,
// unless a test reaches for the raw setters, which exist to misbehave.
//
// Threading: one thread; the device may run in another, so the fields that both sides poll are atomics.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "memory/guest_address.h"
#include "memory/guest_memory.h"
#include "virtio/ring_layout.h"
#include "virtio/virtqueue.h"

namespace vfs::test {

struct Segment {
  GuestRange range;
  bool writable = false;
};

inline Segment readable(std::uint64_t address, std::uint32_t length) {
  return {{GuestAddress{address}, length}, false};
}
inline Segment writable(std::uint64_t address, std::uint32_t length) { return {{GuestAddress{address}, length}, true}; }

struct DriverOptions {
  std::uint16_t queue_size = 16;
  bool event_idx = false;
  bool indirect = false;
  // Where ring indices begin: what a device that was restored from a state meets.
  std::uint16_t first_index = 0;
  // Where the rings lie; buffers() begins behind them.
  GuestAddress rings{0x10000};
};

class FakeDriver {
 public:
  // `bytes` are the guest's memory as seen from here; the first of them is guest address `base`.
  FakeDriver(MutableByteSpan bytes, GuestAddress base, const DriverOptions& options = {});

  // The memory is somewhere else now, with the same content.
  void move_to(MutableByteSpan bytes) { bytes_ = bytes; }

  virtio::QueueSetup setup() const;
  // The first address behind the rings, page aligned.
  GuestAddress buffers() const { return buffers_; }

  // --- memory
  void write(GuestAddress at, ByteSpan bytes);
  std::vector<std::byte> read(GuestAddress at, std::size_t length) const;
  template <WireValue T>
  void store(GuestAddress at, const T& value) {
    write(at, bytes_of(value));
  }
  template <WireValue T>
  T load(GuestAddress at) const {
    return value_from<T>(place(at, sizeof(T)));
  }

  // --- what a driver does
  // Puts a chain into the table and offers it. Returns its head; nothing if no descriptors are free.
  std::optional<std::uint16_t> send(std::span<const Segment> segments);
  std::optional<std::uint16_t> send(std::initializer_list<Segment> segments) {
    return send(std::span(segments.begin(), segments.size()));
  }
  // The same through an indirect table at `table`.
  std::optional<std::uint16_t> send_indirect(std::span<const Segment> segments, GuestAddress table);
  // Whether the device asked to be kicked for what was sent since the last question.
  bool needs_kick();
  // The next used element, if there is one; its descriptors are free again.
  std::optional<virtio::abi::UsedElement> take_used();
  std::size_t free_descriptors() const { return free_.size(); }
  // The head that the next send() of so many segments will have.
  std::uint16_t next_head(std::size_t segments) const { return free_[free_.size() - segments]; }

  // --- raw access
  void set_descriptor(std::uint16_t index, const virtio::abi::Descriptor& descriptor);
  // Writes the next entry of the avail ring and shows it.
  void offer(std::uint16_t head);
  void set_avail_index(std::uint16_t index);
  std::uint16_t avail_index() const { return avail_index_; }
  void set_avail_flags(std::uint16_t flags);
  void set_used_event(std::uint16_t index);
  std::uint16_t used_index() const;
  std::uint16_t used_flags() const;
  std::uint16_t avail_event() const;

 private:
  MutableByteSpan place(GuestAddress at, std::size_t length) const;
  std::uint16_t load_shared(GuestAddress at) const;
  void store_shared(GuestAddress at, std::uint16_t value);
  GuestAddress avail_at(std::size_t offset) const { return {avail_.value + offset}; }
  GuestAddress used_at(std::size_t offset) const { return {used_.value + offset}; }

  MutableByteSpan bytes_;
  GuestAddress base_;
  DriverOptions options_;
  GuestAddress desc_{};
  GuestAddress avail_{};
  GuestAddress used_{};
  GuestAddress buffers_{};
  std::uint16_t avail_index_;
  std::uint16_t kicked_index_;
  std::uint16_t next_used_;
  std::vector<std::uint16_t> free_;
  std::vector<std::vector<std::uint16_t>> chains_;  // descriptors of the chain that starts there
};

// A FakeDriver with a region of its own.
struct OwnedRing {
  explicit OwnedRing(const DriverOptions& options = {}, std::uint64_t bytes = 8U << 20);

  std::shared_ptr<GuestMemory> memory;
  FakeDriver driver;
};

// Zero-filled guest memory of one region; the test ends if there is none.
std::shared_ptr<GuestMemory> make_memory(std::uint64_t bytes, std::uint64_t address = 0);

}  // namespace vfs::test
