// The driver's side of a split virtqueue (virtio 1.3 §2.7), with EVENT_IDX and INDIRECT_DESC or without. One thread.
// (The fake driver of the native tests can misbehave and copies everything; this one must cost next to nothing.)
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "guest_ram.h"
#include "virtio/ring_layout.h"

namespace vfs::bench {

// A part of a chain; the readable ones come first.
struct Piece {
  std::uint64_t offset;
  std::uint32_t length;
  bool writable;
};

struct RingOptions {
  std::uint16_t size;
  bool event_idx;
  bool indirect;
};

struct UsedChain {
  std::uint32_t token;
  std::uint32_t length;
};

class Ring {
 public:
  // Bytes of guest memory that a ring takes.
  static std::uint64_t bytes(std::uint16_t size);

  Ring(const GuestRam& ram, std::uint64_t offset, const RingOptions& options);

  std::uint64_t desc_offset() const { return desc_; }
  std::uint64_t avail_offset() const { return avail_; }
  std::uint64_t used_offset() const { return used_; }
  std::uint16_t size() const { return options_.size; }
  // How many chains of so many pieces fit.
  std::size_t capacity(std::size_t pieces) const { return options_.size / (options_.indirect ? 1 : pieces); }

  // Puts a chain into the ring; `table` is room for its descriptors if they are indirect. The device sees it after
  // publish(). False: no descriptors are free.
  bool add(std::span<const Piece> pieces, std::uint64_t table, std::uint32_t token);
  // Makes what was added visible. True: the device wants a kick for it.
  bool publish();
  bool has_used() const;
  std::optional<UsedChain> take();
  // Asks for a call with the next used chain. Ask has_used() afterwards: one may have come before.
  void enable_calls();
  void disable_calls();

 private:
  template <typename T>
  T* pointer(std::uint64_t offset) const;
  void store(std::uint64_t at, const Piece& piece, bool more, std::uint16_t next) const;
  std::uint16_t take_free();

  const GuestRam& ram_;
  RingOptions options_;
  std::uint64_t desc_;
  std::uint64_t avail_;
  std::uint64_t used_;
  std::uint16_t avail_index_ = 0;
  std::uint16_t published_ = 0;
  std::uint16_t next_used_ = 0;
  std::vector<std::uint16_t> free_;
  std::vector<std::uint16_t> next_;       // the descriptor that follows in a chain, by descriptor
  std::vector<std::uint16_t> chain_len_;  // by head
  std::vector<std::uint32_t> tokens_;     // by head
};

}  // namespace vfs::bench
