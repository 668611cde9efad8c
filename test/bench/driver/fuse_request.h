// What a job sends and gets: a request is written straight into the memory of its slot, a reply is read from there.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "fuse/abi.h"
#include "ring.h"

namespace vfs::bench {

inline constexpr std::uint32_t kDataBytesMax = 1U << 20;

// One request in flight at a time, and the memory for it. The numbers are the job's own.
struct Slot {
  std::uint32_t index = 0;
  std::uint64_t memory = 0;  // offset in guest memory; the parts are below
  std::uint32_t step = 0;    // requests of this operation that are done
  std::uint64_t node = 0;
  std::uint64_t handle = 0;
  std::uint64_t number = 0;
  std::uint64_t round = 0;
  std::uint32_t units = 1;  // what the operation counts for
  std::uint64_t started_ns = 0;
};

// Offsets in a slot's memory. The table has room for the pages of kDataBytesMax and the headers.
namespace slot_layout {
inline constexpr std::uint64_t kTable = 0;
inline constexpr std::uint64_t kRequest = 8192;
inline constexpr std::uint64_t kReply = kRequest + 16384;
inline constexpr std::uint64_t kData = kReply + 4096;
inline constexpr std::uint64_t kBytes = kData + kDataBytesMax;
}  // namespace slot_layout

struct Request {
  abi::Opcode opcode{};
  std::uint64_t nodeid = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t argument_bytes = 0;
  std::uint32_t reply_bytes = 0;  // of the structures after the reply's header
  std::uint32_t data_in = 0;      // of the slot's data, sent
  std::uint32_t data_out = 0;     // of the slot's data, received
  int expected_errno = 0;
  bool has_reply = true;
  bool any_order = false;  // nobody looks at the data
};

class RequestWriter {
 public:
  RequestWriter(const GuestRam& ram, const Slot& slot) : ram_(ram), slot_(slot) {}

  RequestWriter& begin(abi::Opcode opcode, std::uint64_t nodeid) {
    request_ = {};
    request_.opcode = opcode;
    request_.nodeid = nodeid;
    return *this;
  }
  template <WireValue T>
  RequestWriter& argument(const T& value) {
    return bytes(bytes_of(value));
  }
  RequestWriter& name(std::string_view text) {
    bytes(std::as_bytes(std::span(text)));
    static constexpr std::byte kNul{};
    return bytes({&kNul, 1});
  }
  RequestWriter& bytes(ByteSpan more) {
    const std::uint64_t at = slot_.memory + slot_layout::kRequest + sizeof(abi::InHeader) + request_.argument_bytes;
    copy_bytes({ram_.at(at), more.size()}, more);
    request_.argument_bytes += static_cast<std::uint32_t>(more.size());
    return *this;
  }
  template <typename T>
  RequestWriter& reply() {
    request_.reply_bytes = sizeof(T);
    return *this;
  }
  RequestWriter& caller(std::uint32_t uid, std::uint32_t gid) {
    request_.uid = uid;
    request_.gid = gid;
    return *this;
  }
  RequestWriter& data_in(std::uint32_t bytes) {
    request_.data_in = bytes;
    return *this;
  }
  RequestWriter& data_out(std::uint32_t bytes) {
    request_.data_out = bytes;
    return *this;
  }
  RequestWriter& expect(int error) {
    request_.expected_errno = error;
    return *this;
  }
  RequestWriter& any_order() {
    request_.any_order = true;
    return *this;
  }
  RequestWriter& no_reply() {
    request_.has_reply = false;
    return *this;
  }
  const Request& request() const { return request_; }

 private:
  const GuestRam& ram_;
  const Slot& slot_;
  Request request_{};
};

class Reply {
 public:
  Reply(int error, ByteSpan structures, ByteSpan data) : error_(error), structures_(structures), data_(data) {}

  // A positive errno, or 0.
  int error() const { return error_; }
  template <WireValue T>
  T as() const {
    return value_from<T>(structures_);
  }
  ByteSpan data() const { return data_; }

 private:
  int error_;
  ByteSpan structures_;
  ByteSpan data_;
};

}  // namespace vfs::bench
