// SlotTable<T>: numbers for objects. What a guest gets to name a node or an open file is such a number, never a
// pointer.
//
// A number is a slot index in its low 26 bits and the slot's generation above, so it stays below 2^53 (JavaScript can
// hold it) and is never given to a second object: each removal begins a new generation, and a slot that has used up
// its generations is retired. 0 is never valid, and neither is anything below 2^26.
//
// Why not a hash map: get() is on the way of every request. Here it is an index, one mutex of 64, and a copy of a
// shared_ptr; nothing is allocated and no two queues share more than a shard.
//
// Sessions: a table belongs to one FUSE session at a time. emplace() by a request of another one is refused under the
// same lock that clear() takes, so that a request which outlives its session leaves nothing behind in the next.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/result.h"

namespace vfs::passthrough {

// No session is running: nothing can be inserted.
inline constexpr std::uint32_t kNoSession = 0xFFFFFFFF;

// Slots belong to so many shards.
inline constexpr unsigned kSlotShards = 64;

template <typename T, unsigned kGenerationBits = 26>
class SlotTable {
 public:
  static constexpr unsigned kSlotBits = 26;
  static_assert(kGenerationBits > 0 && kSlotBits + kGenerationBits <= 53);
  static constexpr std::size_t kCapacityMax = std::size_t{1} << (kSlotBits - 1);

  // Slots of a table with this capacity; as many at least.
  static constexpr std::size_t slots(std::size_t capacity) { return (capacity / kShards + 1) * kShards; }
  static std::uint32_t slot_of(std::uint64_t id) {
    return static_cast<std::uint32_t>(id & ((std::uint64_t{1} << kSlotBits) - 1));
  }
  // The number that a slot gives out when this one has been removed.
  static std::uint64_t next_of(std::uint64_t id) { return id + (std::uint64_t{1} << kSlotBits); }

  struct Inserted {
    std::uint64_t id;
    std::shared_ptr<T> value;
  };

  // At most `capacity` objects at a time.
  explicit SlotTable(std::size_t capacity)
      : capacity_(capacity < kCapacityMax ? capacity : kCapacityMax),
        indices_per_shard_(static_cast<std::uint32_t>(capacity_ / kShards + 1)),
        chunks_(static_cast<std::size_t>(indices_per_shard_) * kShards / kChunkSlots + 1) {}
  ~SlotTable() {
    for (auto& chunk : chunks_) delete chunk.load(std::memory_order_relaxed);
  }
  SlotTable(const SlotTable&) = delete;
  SlotTable& operator=(const SlotTable&) = delete;

  // Stores what make(id) returns. EIO: `session` is not the table's. ENFILE: full.
  template <typename Make>
  Result<Inserted> emplace(std::uint32_t session, Make make) {
    if (size_.fetch_add(1, std::memory_order_relaxed) < capacity_) {
      const unsigned start = next_shard_.fetch_add(1, std::memory_order_relaxed);
      for (unsigned i = 0; i < kShards; ++i) {
        auto inserted = emplace_in((start + i) % kShards, session, make);
        if (inserted.ok()) return inserted;
        if (inserted.error() == Errno(ENFILE)) continue;
        size_.fetch_sub(1, std::memory_order_relaxed);
        return inserted.error();
      }
    }
    size_.fetch_sub(1, std::memory_order_relaxed);
    return Errno(ENFILE);
  }

  // Null: no such object (any more).
  std::shared_ptr<T> get(std::uint64_t id) const {
    const std::uint32_t slot = slot_of(id);
    Slot* const found = find(slot);
    if (found == nullptr) return nullptr;
    const std::lock_guard lock(shards_[slot % kShards].mutex);
    return found->generation == generation_of(id) ? found->value : nullptr;
  }

  // The object that was removed, for the caller to drop where no lock is held.
  std::shared_ptr<T> remove(std::uint64_t id) {
    const std::uint32_t slot = slot_of(id);
    Slot* const found = find(slot);
    if (found == nullptr) return nullptr;
    Shard& shard = shards_[slot % kShards];
    const std::lock_guard lock(shard.mutex);
    if (found->generation != generation_of(id) || found->value == nullptr) return nullptr;
    return release(shard, slot, *found);
  }

  // How many slots it can have.
  std::size_t slots() const { return std::size_t{indices_per_shard_} * kShards; }

  std::uint32_t session() const { return session_.load(std::memory_order_seq_cst); }
  // From now on only this session inserts. What is there stays until clear().
  void begin_session(std::uint32_t session) { session_.store(session, std::memory_order_seq_cst); }

  void clear() {
    clear([](std::uint64_t) {});
  }

  // The same; `removing` is told of each number before it is free.
  template <typename Removing>
  void clear(Removing removing) {
    for (unsigned number = 0; number < kShards; ++number) {
      std::vector<std::shared_ptr<T>> dropped;  // after the lock: closing files can take long
      Shard& shard = shards_[number];
      const std::lock_guard lock(shard.mutex);
      for (std::uint32_t index = 0; index < shard.fresh; ++index) {
        const std::uint32_t slot = index * kShards + number;
        Slot* const found = find(slot);
        if (found->value == nullptr) continue;
        removing((static_cast<std::uint64_t>(found->generation) << kSlotBits) | slot);
        dropped.push_back(release(shard, slot, *found));
      }
    }
  }

  // What a slot had in another process: its number, and the object; null: the number comes next.
  struct Restored {
    std::uint64_t id;  // 0: the slot was never used
    std::shared_ptr<T> value;
  };
  // Whether restore() could take this number at this slot.
  static bool could_have(std::uint32_t slot, std::uint64_t id) {
    return slot_of(id) == slot && generation_of(id) >= 1 && generation_of(id) <= kGenerationEnd;
  }
  // Fills a table that nothing was inserted into so far: at(slot) says with what, for each slot below `count`, which
  // has that many slots.
  template <typename At>
  void restore(std::uint32_t count, At at) {
    for (std::uint32_t slot = 0; slot < count; ++slot) {
      Shard& shard = shards_[slot % kShards];
      Restored restored = at(slot);
      const std::lock_guard lock(shard.mutex);
      shard.fresh = slot / kShards + 1;
      Slot& place = find_or_make(slot);
      if (restored.id != 0) place.generation = static_cast<std::uint32_t>(generation_of(restored.id));
      if (restored.value != nullptr) {
        place.value = std::move(restored.value);
        size_.fetch_add(1, std::memory_order_relaxed);
      } else if (place.generation != kGenerationEnd) {
        place.next_free = shard.first_free;
        shard.first_free = slot;
      }
    }
  }

  std::size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
  static constexpr unsigned kShards = kSlotShards;
  static constexpr std::uint32_t kChunkSlots = 1024;
  static constexpr std::uint32_t kNoSlot = 0xFFFFFFFF;
  static constexpr std::uint32_t kGenerationEnd = std::uint32_t{1} << kGenerationBits;

  struct Slot {
    std::shared_ptr<T> value;
    std::uint32_t generation = 1;  // of the object here, or of the next one
    std::uint32_t next_free = kNoSlot;
  };
  using Chunk = std::array<Slot, kChunkSlots>;

  // Slot number n belongs to shard n % kShards. The mutex guards the shard's slots and the two lists.
  struct alignas(64) Shard {
    std::mutex mutex;
    std::uint32_t first_free = kNoSlot;
    std::uint32_t fresh = 0;  // indices below were used at least once
  };

  // Not cut to 32 bits: a number too large must not match.
  static std::uint64_t generation_of(std::uint64_t id) { return id >> kSlotBits; }

  Slot* find(std::uint32_t slot) const {
    const std::size_t chunk = slot / kChunkSlots;
    if (chunk >= chunks_.size()) return nullptr;
    Chunk* const slots = chunks_[chunk].load(std::memory_order_acquire);
    return slots == nullptr ? nullptr : &(*slots)[slot % kChunkSlots];
  }

  Slot& find_or_make(std::uint32_t slot) {
    auto& place = chunks_[slot / kChunkSlots];
    if (place.load(std::memory_order_acquire) == nullptr) {
      // Another shard's thread may be doing the same.
      auto made = std::make_unique<Chunk>();
      Chunk* expected = nullptr;
      if (place.compare_exchange_strong(expected, made.get(), std::memory_order_acq_rel)) made.release();
    }
    return *find(slot);
  }

  template <typename Make>
  Result<Inserted> emplace_in(unsigned number, std::uint32_t session, Make& make) {
    Shard& shard = shards_[number];
    const std::lock_guard lock(shard.mutex);
    if (session != this->session() || session == kNoSession) return Errno(EIO);
    std::uint32_t slot = shard.first_free;
    if (slot == kNoSlot) {
      if (shard.fresh == indices_per_shard_) return Errno(ENFILE);
      slot = shard.fresh++ * kShards + number;
    }
    Slot& place = find_or_make(slot);
    if (slot == shard.first_free) shard.first_free = place.next_free;
    const std::uint64_t id = (static_cast<std::uint64_t>(place.generation) << kSlotBits) | slot;
    place.value = make(id);
    return Inserted{id, place.value};
  }

  // The shard's mutex is held.
  std::shared_ptr<T> release(Shard& shard, std::uint32_t slot, Slot& place) {
    size_.fetch_sub(1, std::memory_order_relaxed);
    if (++place.generation != kGenerationEnd) {
      place.next_free = shard.first_free;
      shard.first_free = slot;
    }
    return std::exchange(place.value, nullptr);
  }

  const std::size_t capacity_;
  const std::uint32_t indices_per_shard_;
  mutable std::array<Shard, kShards> shards_;
  std::vector<std::atomic<Chunk*>> chunks_;
  std::atomic<std::uint32_t> session_{kNoSession};
  std::atomic<unsigned> next_shard_{0};
  std::atomic<std::size_t> size_{0};
};

}  // namespace vfs::passthrough
