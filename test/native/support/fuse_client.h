// The guest's side of FUSE: requests as bytes, replies checked as Linux >= 7.1 checks them (fs/fuse/virtio_fs.c), and
// a client that hands requests to a Server without any ring.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/completion.h"
#include "fuse/abi.h"
#include "fuse/server.h"
#include "memory/guest_memory.h"

namespace vfs::test {

// A request, built piece by piece. header.len and the rest are right unless a test says otherwise.
class FuseRequest {
 public:
  explicit FuseRequest(abi::Opcode opcode, std::uint64_t nodeid = abi::kRootId)
      : FuseRequest(static_cast<std::uint32_t>(opcode), nodeid) {}
  explicit FuseRequest(std::uint32_t opcode, std::uint64_t nodeid = abi::kRootId);

  // 0, the default: the client numbers it.
  FuseRequest& unique(std::uint64_t value);
  FuseRequest& caller(std::uint32_t uid, std::uint32_t gid, std::uint32_t pid);
  template <WireValue T>
  FuseRequest& with(const T& value) {
    return raw(bytes_of(value));
  }
  FuseRequest& raw(ByteSpan bytes);
  // With the NUL behind it.
  FuseRequest& name(std::string_view text);
  // Without.
  FuseRequest& text(std::string_view text);
  // The lies: header.len, and 8-byte units of extensions at the end.
  FuseRequest& claim_length(std::uint32_t length);
  FuseRequest& claim_extensions(std::uint16_t units);

  abi::InHeader header() const;
  // Header and body.
  std::vector<std::byte> bytes() const;

 private:
  abi::InHeader header_{};
  bool length_claimed_ = false;
  std::vector<std::byte> body_;
};

struct FuseReply {
  bool answered = false;      // false: the chain was dropped
  std::uint32_t written = 0;  // what the transport was told
  abi::OutHeader header{};
  std::vector<std::byte> payload;

  // Positive errno; 0 for a success.
  int error() const { return -header.error; }
  // Exactly one T.
  template <WireValue T>
  T as() const {
    VFS_ASSERT(payload.size() == sizeof(T));
    return value_from<T>(payload);
  }
  std::string text() const;
};

// What Linux >= 7.1 would find wrong with the reply; empty: nothing. `room` is what the driver offered.
std::string complaint_about(const abi::InHeader& request, const FuseReply& reply, std::uint32_t room);

// The common requests.
FuseRequest init_request(std::uint32_t minor = abi::kKernelMinorVersion, std::uint32_t flags = 0,
                         std::uint32_t major = abi::kKernelVersion);
FuseRequest getattr_request(std::uint64_t nodeid = abi::kRootId);
FuseRequest fsync_request(std::uint64_t nodeid = abi::kRootId);

inline constexpr std::uint32_t kDefaultRoom = 4096;

// Serves requests on the calling thread: what would wait, waits. Every reply is checked.
class FuseClient final : private CompletionSink {
 public:
  explicit FuseClient(fuse::Server& server);

  // One request and its reply. A complaint about the reply is a failure of the test.
  FuseReply call(const FuseRequest& request, std::uint32_t room = kDefaultRoom);
  // Chains that are no proper request: these bytes, exactly.
  FuseReply call_raw(ByteSpan bytes, std::uint32_t room);
  // A session of version 7.46 with these flags; the test fails if it does not begin.
  void begin_session(std::uint32_t flags = 0);

  // Requests and replies are cut into segments of this size from now on.
  void cut_into(std::uint32_t segment_bytes) { segment_bytes_ = segment_bytes; }
  // The memory of the request that is being served: what a guest could change meanwhile. The bytes are replaced at an
  // offset from the request's start.
  void overwrite_request(std::size_t offset, ByteSpan bytes);

  fuse::Counters::Snapshot counters() const;

 private:
  void complete(CompletionToken token, std::uint32_t written, bool answered) override;
  std::vector<GuestRange> cut(GuestAddress from, std::uint32_t length) const;

  fuse::Server& server_;
  std::shared_ptr<GuestMemory> memory_;
  fuse::Counters counters_;
  std::uint32_t segment_bytes_ = 0xffffffff;
  std::uint64_t next_unique_ = 2;
  int completions_ = 0;
  FuseReply reply_;
};

}  // namespace vfs::test
