// The frontend's side of a vhost-user socket (QEMU's docs/interop/vhost-user.rst): requests, descriptors, replies. One
// request at a time, blocking.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/unique_fd.h"

namespace vfs::bench {

enum class VhostRequest : std::uint32_t {
  kGetFeatures = 1,
  kSetFeatures = 2,
  kSetOwner = 3,
  kSetMemTable = 5,
  kSetVringNum = 8,
  kSetVringAddr = 9,
  kSetVringBase = 10,
  kSetVringKick = 12,
  kSetVringCall = 13,
  kGetProtocolFeatures = 15,
  kSetProtocolFeatures = 16,
  kGetQueueNum = 17,
  kSetVringEnable = 18,
};

namespace protocol_feature {
inline constexpr std::uint64_t kMq = 1ULL << 0;
inline constexpr std::uint64_t kReplyAck = 1ULL << 3;
}  // namespace protocol_feature

struct VringState {
  std::uint32_t index;
  std::uint32_t value;
};

struct VringAddress {
  std::uint32_t index;
  std::uint32_t flags;
  std::uint64_t descriptors;
  std::uint64_t used;
  std::uint64_t avail;
  std::uint64_t log;
};

struct MemoryTable {
  std::uint32_t count;
  std::uint32_t padding;
  std::uint64_t guest_address;
  std::uint64_t size;
  std::uint64_t user_address;
  std::uint64_t mmap_offset;
};

class VhostUser {
 public:
  explicit VhostUser(const std::string& socket_path);

  template <WireValue T>
  void send(VhostRequest request, const T& body, std::initializer_list<int> fds = {}) {
    transmit(request, bytes_of(body), {fds.begin(), fds.size()}, false);
  }
  void send(VhostRequest request) { transmit(request, {}, {}, false); }
  // Waits until the backend has done it, if it can say so.
  template <WireValue T>
  void send_and_wait(VhostRequest request, const T& body, std::initializer_list<int> fds = {}) {
    transmit(request, bytes_of(body), {fds.begin(), fds.size()}, reply_ack_);
    if (reply_ack_ && receive() != 0) die_refused(request);
  }
  // A request whose answer is a number.
  std::uint64_t ask(VhostRequest request) {
    transmit(request, {}, {}, false);
    return receive();
  }
  void use_reply_ack() { reply_ack_ = true; }

 private:
  void transmit(VhostRequest request, ByteSpan body, std::span<const int> fds, bool need_reply);
  std::uint64_t receive();
  void receive_bytes(MutableByteSpan into);
  [[noreturn]] static void die_refused(VhostRequest request);

  UniqueFd socket_;
  bool reply_ack_ = false;
};

}  // namespace vfs::bench
