// BorrowedRequest: a request in memory that is borrowed, and may be taken back at any time before it is answered.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "fuse/request.h"
#include "memory/guest_memory.h"
#include "support/fuse_client.h"

namespace vfs::test {

class BorrowedRequest final : private CompletionSink {
 public:
  static constexpr GuestAddress kRequestAt{0};
  static constexpr GuestAddress kReplyAt{0x8000};

  // `room`: for the reply, its header included.
  explicit BorrowedRequest(const FuseRequest& request, std::uint32_t room = 4096)
      : in_{GuestRange{kRequestAt, static_cast<std::uint32_t>(request.bytes().size())}},
        out_{GuestRange{kReplyAt, room}} {
    memory_->attach(bytes_, kRequestAt, nullptr);
    copy_bytes(bytes_, request.bytes());
    request_.start(
        Chain(GuestReader(*memory_, in_, in_[0].length), GuestWriter(*memory_, out_, room), Completion(*this, {this})));
  }

  fuse::Request& operator*() { return request_; }
  fuse::Request* operator->() { return &request_; }

  void take_memory_back() { memory_->detach(); }
  // Whether the chain came back with an answer; nothing, if it has not come back yet.
  std::optional<bool> answered() const { return answered_; }
  std::uint32_t written() const { return written_; }
  // What stands where the reply belongs.
  abi::OutHeader header() const { return value_from<abi::OutHeader>(ByteSpan(bytes_).subspan(kReplyAt.value)); }
  ByteSpan payload(std::size_t length) const {
    return ByteSpan(bytes_).subspan(kReplyAt.value + sizeof(abi::OutHeader), length);
  }

 private:
  void complete(CompletionToken, std::uint32_t written, bool answered) override {
    answered_ = answered;
    written_ = written;
  }

  std::vector<std::byte> bytes_ = std::vector<std::byte>(0x10000);
  std::shared_ptr<GuestMemory> memory_ = GuestMemory::borrow();
  std::array<GuestRange, 1> in_;
  std::array<GuestRange, 1> out_;
  std::optional<bool> answered_;
  std::uint32_t written_ = 0;
  // Last: a chain that it still has is completed here when it goes.
  fuse::Request request_;
};

}  // namespace vfs::test
