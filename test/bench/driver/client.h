// Carries requests of slots through the rings, checks every reply, and begins the FUSE session.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "frontend.h"
#include "fuse_request.h"

namespace vfs::bench {

inline constexpr unsigned kDepthMax = 128;

// What a backend answered and should not have.
struct Mistake {
  std::string text;
  int error = 0;  // a positive errno, if that was it
};

struct ClientOptions : FrontendOptions {
  // Bytes of data in one descriptor: what a page is to a guest.
  std::uint32_t segment_bytes = 4096;
  // The pages of a file's data never follow each other in the guest's memory; else they always do.
  bool scattered = false;
};

class Client {
 public:
  // Connects, starts the queues and sends FUSE_INIT.
  explicit Client(const ClientOptions& options);

  Slot& slot(std::uint32_t index) { return slots_[index]; }
  Frontend& frontend() { return frontend_; }
  const GuestRam& ram() const { return frontend_.ram(); }
  std::byte* data(const Slot& slot) const { return frontend_.ram().at(slot.memory + slot_layout::kData); }
  std::uint32_t negotiated_minor() const { return minor_; }

  RequestWriter writer(const Slot& slot) const { return {frontend_.ram(), slot}; }
  // The most slots that can have a request with so much data in flight.
  unsigned depth_for(unsigned wanted, std::uint32_t data_bytes);

  // Puts a request into its queue; publish() makes it visible.
  void submit(const Slot& slot, const Request& request);
  // Shows all queues what was submitted, and kicks where it is wanted.
  void publish();
  // The next slot whose request has come back, or null.
  Slot* take();
  // The reply of a slot that take() returned; empty text if it is as it must be.
  Mistake verify(const Slot& slot) const;
  Reply reply(const Slot& slot) const;
  // Waits until there is something to take: in the call's eventfd, or spinning.
  void wait(bool poll);
  void suppress_calls();

  // One request by itself, for set-up. A wrong answer ends the program.
  Reply call(const Request& request);
  Slot& call_slot() { return slots_[kDepthMax]; }
  std::uint64_t lookup(std::uint64_t parent, std::string_view name);
  // The handle.
  std::uint64_t open(std::uint64_t node, std::uint32_t flags);

 private:
  struct InFlight {
    Request request;
    std::uint64_t unique = 0;
    std::uint32_t used = 0;
  };

  void init();
  std::size_t queue_of(const Slot& slot, const Request& request) const;
  std::size_t add_data(std::size_t count, const Request& request, std::uint64_t at, std::uint32_t bytes, bool writable);
  bool has_used();

  std::uint32_t segment_bytes_;
  bool scattered_;
  Frontend frontend_;
  std::vector<Slot> slots_;
  std::vector<InFlight> in_flight_;
  std::vector<Piece> pieces_;
  std::size_t next_queue_ = 0;
  std::uint64_t unique_ = 2;
  std::uint32_t minor_ = 0;
};

}  // namespace vfs::bench
