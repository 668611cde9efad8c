// RingClient: FUSE requests through a ring, several at once. Each chain has a cell of guest memory of its own, by its
// head, so nothing is allocated and nothing of a request in flight is overwritten.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "support/fake_driver.h"
#include "support/fuse_client.h"

namespace vfs::test {

class RingClient {
 public:
  explicit RingClient(FakeDriver& driver) : driver_(driver) {}

  // Numbers the request and puts it into the ring as header, body and room; does not kick. Returns its unique.
  std::uint64_t send(const FuseRequest& request);
  // The next reply, if the device has put one there; checked as Linux does.
  struct Answer {
    std::uint64_t unique;  // of the request whose chain came back
    FuseReply reply;
  };
  std::optional<Answer> take();
  std::size_t in_flight() const { return sent_.size(); }

 private:
  static constexpr std::uint32_t kCellBytes = 8192;  // half for the request, half for the reply
  GuestAddress cell(std::uint16_t head) const { return {driver_.buffers().value + std::uint64_t{head} * kCellBytes}; }

  FakeDriver& driver_;
  std::uint64_t next_unique_ = 2;
  std::map<std::uint32_t, abi::InHeader> sent_;  // by head
};

}  // namespace vfs::test
