// Virtqueue: a split ring from the device's side (virtio 1.3 §2.7). It takes chains from the avail ring and puts used
// elements back; when to do either, and who serves the chains, is not its business.
//
// Threading: one owner thread. Rings are read and written through windows that attach() makes: once for mapped memory,
// at each pump for borrowed memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>

#include "base/fault.h"
#include "base/result.h"
#include "memory/guest_memory.h"
#include "virtio/descriptor_chain.h"
#include "virtio/in_flight_table.h"
#include "virtio/ring_layout.h"

namespace vfs::virtio {

struct QueueSetup {
  std::uint32_t size;  // a power of two, 1..32768
  GuestAddress desc_table;
  GuestAddress avail_ring;
  GuestAddress used_ring;
  std::uint16_t next_avail;                // where to go on in the avail ring
  std::optional<std::uint16_t> next_used;  // absent: as the used ring's own index says
  bool event_idx;
  bool indirect;
  // Where what is in flight is recorded; absent: nowhere.
  std::optional<InFlightTable::Setup> in_flight = {};
  // Where the dirty log has the used ring; absent: only as guest memory like any other.
  std::optional<GuestAddress> used_log = {};
};

struct QueueState {
  std::uint16_t next_avail;
  std::uint16_t next_used;
};

class Virtqueue {
 public:
  Virtqueue(const QueueSetup& setup, std::shared_ptr<GuestMemory> memory);

  // Checks the set-up and makes the windows on the rings. Call again after the memory was detached and attached.
  Result<Unit, Fault> attach();
  // The ring is the same, but chains are in another memory from now on. Returns the one before, which those in flight
  // still use. After a fault the queue is broken.
  Result<std::shared_ptr<GuestMemory>, Fault> replace_memory(std::shared_ptr<GuestMemory> memory);

  // How many chains the driver has offered that were not popped yet; whatever it says.
  std::uint16_t available() const {
    return static_cast<std::uint16_t>(avail_.load_acquire(abi::kAvailIndex) - next_avail_);
  }
  // The head of the next chain, if there is one; first those that a device before us left over. A fault means that the
  // ring is broken: pop no more.
  Result<std::optional<std::uint16_t>, Fault> pop();
  // The ranges of the chain that starts at `head`. A fault means a malformed chain: give it back with length 0.
  Result<Unit, Fault> walk(std::uint16_t head, ChainRanges& into) const;

  // Null: what is in flight is not recorded.
  const InFlightTable* in_flight_table() const { return in_flight_table_.get(); }
  // From any thread: see QueueSetup.
  void set_used_log(std::optional<GuestAddress> address) {
    used_log_.store(address.has_value() ? address->value : kNoLog, std::memory_order_release);
  }

  // Puts a chain into the used ring; the driver sees it after publish().
  void push_used(std::uint16_t head, std::uint32_t written);
  // Shows the driver what was pushed. True: it wants an interrupt for it.
  bool publish();

  // While chains are being taken, kicks are useless.
  void suppress_kicks();
  // Asks for a kick with the next chain. True: one arrived meanwhile, so go on taking instead of waiting.
  bool request_kick();

  // Chains taken and not yet pushed back.
  std::uint32_t in_flight() const { return in_flight_; }
  QueueState state() const { return {next_avail_, next_used_}; }
  const GuestMemory& memory() const { return *memory_; }
  GuestMemory& memory() { return *memory_; }

 private:
  static constexpr std::uint64_t kNoLog = std::numeric_limits<std::uint64_t>::max();

  Result<Unit, Fault> attach_in_flight_table();
  Result<std::optional<std::uint16_t>, Fault> pop_left_over();
  void used_written(std::size_t offset, std::uint32_t length) const;
  bool wants_interrupt() const;

  QueueSetup setup_;
  std::shared_ptr<GuestMemory> memory_;
  GuestBytes desc_;
  GuestBytes avail_;
  GuestBytes used_;
  std::uint16_t next_avail_;
  std::uint16_t next_used_ = 0;
  std::uint16_t published_ = 0;  // value of the used index that the driver sees
  std::uint32_t in_flight_ = 0;
  bool started_ = false;
  std::unique_ptr<InFlightTable> in_flight_table_;
  std::size_t resubmitted_ = 0;  // of what was left over
  std::size_t left_over_ = 0;
  std::atomic<std::uint64_t> used_log_;
};

}  // namespace vfs::virtio
