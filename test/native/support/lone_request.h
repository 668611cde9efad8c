// LoneRequest: a request in guest memory of its own, received by a server, without a queue. Waits for its answer.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "fuse/server.h"
#include "memory/guest_memory.h"
#include "support/fuse_client.h"

namespace vfs::test {

class LoneRequest : private CompletionSink {
 public:
  static constexpr GuestAddress kRequestAt{0x1000};
  static constexpr GuestAddress kReplyAt{0x10000};
  static constexpr std::uint64_t kMemoryBytes = 1U << 20;

  // `room`: for the reply, its header included.
  LoneRequest(fuse::Server& server, const FuseRequest& request, std::uint32_t room)
      : server_(server), memory_(GuestMemory::allocate({{GuestAddress{0}, kMemoryBytes, -1, 0}}).value()) {
    const std::vector<std::byte> bytes = request.bytes();
    memory_->window({kRequestAt, static_cast<std::uint32_t>(bytes.size())}).value().copy_in(0, bytes);
    in_ = {GuestRange{kRequestAt, static_cast<std::uint32_t>(bytes.size())}};
    out_ = {GuestRange{kReplyAt, room}};
    request_.start(
        Chain(GuestReader(*memory_, in_, in_[0].length), GuestWriter(*memory_, out_, room), Completion(*this, {this})));
    VFS_ASSERT(server_.receive(request_, counters_).has_value());
  }

  // Waits for the answer; positive errno.
  int error() {
    std::unique_lock lock(mutex_);
    answered_.wait(lock, [this] { return written_.has_value(); });
    return -memory_->window({kReplyAt, sizeof(abi::OutHeader)}).value().load<abi::OutHeader>(0).error;
  }
  bool is_answered() {
    const std::lock_guard lock(mutex_);
    return written_.has_value();
  }
  std::uint32_t written() {
    const std::lock_guard lock(mutex_);
    return written_.value_or(0);
  }
  template <WireValue T>
  T payload() {
    return memory_->window({kReplyAt, sizeof(abi::OutHeader) + sizeof(T)}).value().load<T>(sizeof(abi::OutHeader));
  }

 protected:
  ~LoneRequest() = default;
  fuse::Request& request() { return request_; }
  fuse::Counters& counters() { return counters_; }
  void serve() { static_cast<void>(server_.serve(request_, true, counters_)); }

 private:
  void complete(CompletionToken, std::uint32_t written, bool) override {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(written_.has_value());
    written_ = written;
    answered_.notify_all();
  }

  fuse::Server& server_;
  std::shared_ptr<GuestMemory> memory_;
  std::array<GuestRange, 1> in_{};
  std::array<GuestRange, 1> out_{};
  fuse::Counters counters_;
  fuse::Request request_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::optional<std::uint32_t> written_;
};

}  // namespace vfs::test
