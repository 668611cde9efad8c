#include "ring.h"

#include <atomic>

#include "check.h"

namespace vfs::bench {

namespace {

using virtio::abi::Descriptor;
using virtio::abi::UsedElement;

constexpr std::uint64_t align(std::uint64_t value, std::uint64_t to) { return (value + to - 1) / to * to; }

std::uint16_t load(std::uint16_t* at, std::memory_order order) { return std::atomic_ref(*at).load(order); }
void put(std::uint16_t* at, std::uint16_t value, std::memory_order order) { std::atomic_ref(*at).store(value, order); }

}  // namespace

std::uint64_t Ring::bytes(std::uint16_t size) {
  const std::uint64_t table = sizeof(Descriptor) * size;
  return align(table + align(virtio::abi::avail_bytes(size), 64) + virtio::abi::used_bytes(size) + 64, 4096);
}

Ring::Ring(const GuestRam& ram, std::uint64_t offset, const RingOptions& options)
    : ram_(ram),
      options_(options),
      desc_(offset),
      avail_(offset + sizeof(Descriptor) * options.size),
      used_(align(avail_ + virtio::abi::avail_bytes(options.size), 64)),
      next_(options.size),
      chain_len_(options.size),
      tokens_(options.size) {
  free_.reserve(options.size);
  for (unsigned i = options.size; i > 0; --i) free_.push_back(static_cast<std::uint16_t>(i - 1));
}

template <typename T>
T* Ring::pointer(std::uint64_t offset) const {
  return reinterpret_cast<T*>(ram_.at(offset));
}

void Ring::store(std::uint64_t at, const Piece& piece, bool more, std::uint16_t next) const {
  const auto flags =
      static_cast<std::uint16_t>((piece.writable ? virtio::abi::kDescWrite : 0) | (more ? virtio::abi::kDescNext : 0));
  *pointer<Descriptor>(at) = {GuestRam::guest_address(piece.offset), piece.length, flags,
                              more ? next : std::uint16_t{}};
}

std::uint16_t Ring::take_free() {
  const std::uint16_t slot = free_.back();
  free_.pop_back();
  return slot;
}

bool Ring::add(std::span<const Piece> pieces, std::uint64_t table, std::uint32_t token) {
  if (free_.size() < (options_.indirect ? 1 : pieces.size())) return false;
  const std::uint16_t head = take_free();
  if (options_.indirect) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      store(table + i * sizeof(Descriptor), pieces[i], i + 1 < pieces.size(), static_cast<std::uint16_t>(i + 1));
    }
    *pointer<Descriptor>(desc_ + head * sizeof(Descriptor)) = {
        GuestRam::guest_address(table), static_cast<std::uint32_t>(pieces.size() * sizeof(Descriptor)),
        virtio::abi::kDescIndirect, 0};
    chain_len_[head] = 1;
  } else {
    std::uint16_t current = head;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      const bool more = i + 1 < pieces.size();
      const std::uint16_t next = more ? take_free() : std::uint16_t{};
      store(desc_ + current * sizeof(Descriptor), pieces[i], more, next);
      next_[current] = next;
      current = next;
    }
    chain_len_[head] = static_cast<std::uint16_t>(pieces.size());
  }
  tokens_[head] = token;
  *pointer<std::uint16_t>(avail_ + virtio::abi::avail_ring(avail_index_ % options_.size)) = head;
  ++avail_index_;
  return true;
}

bool Ring::publish() {
  const std::uint16_t before = published_;
  if (before == avail_index_) return false;
  put(pointer<std::uint16_t>(avail_ + virtio::abi::kAvailIndex), avail_index_, std::memory_order_release);
  published_ = avail_index_;
  // §2.7.13.4.1: the index must be visible before the device's wish is read.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!options_.event_idx) {
    auto* flags = pointer<std::uint16_t>(used_);
    return (load(flags, std::memory_order_relaxed) & virtio::abi::kUsedNoNotify) == 0;
  }
  const std::uint16_t event =
      load(pointer<std::uint16_t>(used_ + virtio::abi::used_avail_event(options_.size)), std::memory_order_relaxed);
  return static_cast<std::uint16_t>(avail_index_ - event - 1) < static_cast<std::uint16_t>(avail_index_ - before);
}

bool Ring::has_used() const {
  return load(pointer<std::uint16_t>(used_ + virtio::abi::kUsedIndex), std::memory_order_acquire) != next_used_;
}

std::optional<UsedChain> Ring::take() {
  if (!has_used()) return std::nullopt;
  const UsedElement element = *pointer<UsedElement>(used_ + virtio::abi::used_ring(next_used_ % options_.size));
  if (element.id >= options_.size || chain_len_[element.id] == 0) die("the backend used a chain that it was not given");
  ++next_used_;
  auto slot = static_cast<std::uint16_t>(element.id);
  const UsedChain used{tokens_[slot], element.len};
  const std::uint16_t count = chain_len_[slot];
  chain_len_[slot] = 0;
  for (std::uint16_t i = 0; i < count; ++i) {
    free_.push_back(slot);
    slot = next_[slot];
  }
  return used;
}

void Ring::enable_calls() {
  if (options_.event_idx) {
    put(pointer<std::uint16_t>(avail_ + virtio::abi::avail_used_event(options_.size)), next_used_,
        std::memory_order_relaxed);
  } else {
    put(pointer<std::uint16_t>(avail_), 0, std::memory_order_relaxed);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

void Ring::disable_calls() {
  if (options_.event_idx) {
    // Half of all indices away: the used index does not get there before this is done again.
    put(pointer<std::uint16_t>(avail_ + virtio::abi::avail_used_event(options_.size)),
        static_cast<std::uint16_t>(next_used_ + 0x8000), std::memory_order_relaxed);
  } else {
    put(pointer<std::uint16_t>(avail_), virtio::abi::kAvailNoInterrupt, std::memory_order_relaxed);
  }
}

}  // namespace vfs::bench
