#include "support/fuse_client.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "support/fake_driver.h"

namespace vfs::test {

namespace {

constexpr GuestAddress kRequestAt{0x1000};
constexpr GuestAddress kReplyAt{0x400000};
constexpr std::uint64_t kMemoryBytes = 8U << 20;

// The payload of a successful reply, where it has one size. Written from the kernel's side (the out_args of each
// request in fs/fuse/*.c), so that it does not agree with our table by construction.
std::optional<std::size_t> exact_payload(std::uint32_t opcode) {
  using abi::Opcode;
  switch (static_cast<Opcode>(opcode)) {
    case Opcode::kLookup:
    case Opcode::kSymlink:
    case Opcode::kMknod:
    case Opcode::kMkdir:
    case Opcode::kLink:
    case Opcode::kChromeosTmpfile:
      return 128;
    case Opcode::kGetattr:
    case Opcode::kSetattr:
      return 104;
    case Opcode::kOpen:
    case Opcode::kOpendir:
      return 16;
    case Opcode::kCreate:
    case Opcode::kTmpfile:
    case Opcode::kOpenAtomic:
      return 144;
    case Opcode::kWrite:
    case Opcode::kLseek:
    case Opcode::kCopyFileRange:
    case Opcode::kCopyFileRange64:
      return 8;
    case Opcode::kStatx:
      return 288;
    case Opcode::kStatfs:
      return 80;
    case Opcode::kGetlk:
      return 24;
    case Opcode::kReadlink:
    case Opcode::kRead:
    case Opcode::kReaddir:
    case Opcode::kReaddirplus:
    case Opcode::kGetxattr:
    case Opcode::kListxattr:
    case Opcode::kIoctl:
    case Opcode::kInit:
      return std::nullopt;
    default:
      return 0;
  }
}

bool has_reply(std::uint32_t opcode) {
  return opcode != static_cast<std::uint32_t>(abi::Opcode::kForget) &&
         opcode != static_cast<std::uint32_t>(abi::Opcode::kBatchForget) &&
         opcode != static_cast<std::uint32_t>(abi::Opcode::kInterrupt);
}

}  // namespace

FuseRequest::FuseRequest(std::uint32_t opcode, std::uint64_t nodeid) {
  header_.len = sizeof(abi::InHeader);
  header_.opcode = opcode;
  header_.nodeid = nodeid;
}

FuseRequest& FuseRequest::unique(std::uint64_t value) {
  header_.unique = value;
  return *this;
}

FuseRequest& FuseRequest::caller(std::uint32_t uid, std::uint32_t gid, std::uint32_t pid) {
  header_.uid = uid;
  header_.gid = gid;
  header_.pid = pid;
  return *this;
}

FuseRequest& FuseRequest::raw(ByteSpan bytes) {
  body_.insert(body_.end(), bytes.begin(), bytes.end());
  return *this;
}

FuseRequest& FuseRequest::text(std::string_view text) { return raw(std::as_bytes(std::span(text))); }

FuseRequest& FuseRequest::name(std::string_view text_of_name) {
  text(text_of_name);
  body_.push_back(std::byte{0});
  return *this;
}

FuseRequest& FuseRequest::claim_length(std::uint32_t length) {
  header_.len = length;
  length_claimed_ = true;
  return *this;
}

FuseRequest& FuseRequest::claim_extensions(std::uint16_t units) {
  header_.total_extlen = units;
  return *this;
}

abi::InHeader FuseRequest::header() const {
  abi::InHeader header = header_;
  if (!length_claimed_) header.len = static_cast<std::uint32_t>(sizeof(abi::InHeader) + body_.size());
  return header;
}

std::vector<std::byte> FuseRequest::bytes() const {
  const abi::InHeader head = header();
  const ByteSpan head_bytes = bytes_of(head);
  std::vector<std::byte> all(head_bytes.size() + body_.size());
  copy_bytes(all, head_bytes);
  copy_bytes(MutableByteSpan(all).subspan(head_bytes.size()), body_);
  return all;
}

std::string FuseReply::text() const {
  std::string out;
  for (const std::byte b : payload) out.push_back(static_cast<char>(b));
  return out;
}

std::string complaint_about(const abi::InHeader& request, const FuseReply& reply, std::uint32_t room) {
  if (!has_reply(request.opcode)) return reply.written == 0 ? "" : "a request without a reply got one";
  if (reply.written < sizeof(abi::OutHeader)) return "response too short";
  if (reply.written != reply.header.len) return "header.len is not the used length";
  if (reply.written > room) return "longer than the room";
  if (reply.header.unique != request.unique) return "another request's unique";
  if (reply.header.error > 0 || reply.header.error <= -512) return "error out of range";
  const std::size_t payload = reply.written - sizeof(abi::OutHeader);
  if (reply.header.error != 0) return payload == 0 ? "" : "an error with a payload";
  const auto exact = exact_payload(request.opcode);
  if (exact.has_value() && *exact != payload) return "the payload has not the size of its type";
  return "";
}

FuseRequest init_request(std::uint32_t minor, std::uint32_t flags, std::uint32_t major) {
  return FuseRequest(abi::Opcode::kInit, 0).with(abi::InitIn{major, minor, 1U << 17, flags});
}

FuseRequest getattr_request(std::uint64_t nodeid) {
  return FuseRequest(abi::Opcode::kGetattr, nodeid).with(abi::GetattrIn{0, 0, 0});
}

FuseRequest fsync_request(std::uint64_t nodeid) {
  return FuseRequest(abi::Opcode::kFsync, nodeid).with(abi::FsyncIn{1, 0, 0});
}

FuseClient::FuseClient(fuse::Server& server) : server_(server), memory_(make_memory(kMemoryBytes)) {}

std::vector<GuestRange> FuseClient::cut(GuestAddress from, std::uint32_t length) const {
  std::vector<GuestRange> ranges;
  for (std::uint32_t at = 0; at < length;) {
    const std::uint32_t part = std::min(segment_bytes_, length - at);
    ranges.push_back({GuestAddress{from.value + at}, part});
    at += part;
  }
  return ranges;
}

FuseReply FuseClient::call(const FuseRequest& request, std::uint32_t room) {
  FuseRequest numbered = request;
  if (numbered.header().unique == 0) numbered.unique(next_unique_ += 2);
  const FuseReply reply = call_raw(numbered.bytes(), room);
  if (reply.answered) {
    EXPECT_EQ(complaint_about(numbered.header(), reply, room), "") << "opcode " << numbered.header().opcode;
  }
  return reply;
}

FuseReply FuseClient::call_raw(ByteSpan bytes, std::uint32_t room) {
  VFS_ASSERT(bytes.size() <= kReplyAt.value - kRequestAt.value);
  VFS_ASSERT(room <= kMemoryBytes - kReplyAt.value);
  const MutableByteSpan all = memory_->region_bytes(0);
  copy_bytes(all.subspan(kRequestAt.value), bytes);
  const auto in_bytes = static_cast<std::uint32_t>(bytes.size());
  const auto in = cut(kRequestAt, in_bytes);
  const auto out = cut(kReplyAt, room);
  const int before = completions_;
  reply_ = {};

  fuse::Request served;
  served.start(Chain(GuestReader(*memory_, in, in_bytes), GuestWriter(*memory_, out, room), Completion(*this, {this})));
  if (const auto wait = server_.receive(served, counters_); wait.has_value()) {
    const bool may_wait = *wait != fuse::Wait::kTryFirst && *wait != fuse::Wait::kPark;
    if (server_.serve(served, may_wait, counters_) == fuse::Progress::kWouldWait) {
      EXPECT_EQ(completions_, before) << "answered, and yet it would wait";
      if (*wait == fuse::Wait::kPark) {
        // Nobody is here to try it again.
        server_.refuse(served, Errno(EAGAIN), counters_);
      } else {
        server_.serve(served, true, counters_);
      }
    }
  }
  EXPECT_EQ(completions_, before + 1) << "a request is answered exactly once";
  if (reply_.written >= sizeof(abi::OutHeader)) {
    const ByteSpan written = ByteSpan(all).subspan(kReplyAt.value, reply_.written);
    reply_.header = value_from<abi::OutHeader>(written);
    const ByteSpan payload = written.subspan(sizeof(abi::OutHeader));
    reply_.payload.assign(payload.begin(), payload.end());
  }
  return reply_;
}

void FuseClient::begin_session(std::uint32_t flags) {
  ASSERT_EQ(call(init_request(abi::kKernelMinorVersion, flags)).error(), 0);
}

void FuseClient::overwrite_request(std::size_t offset, ByteSpan bytes) {
  copy_bytes(memory_->region_bytes(0).subspan(kRequestAt.value + offset), bytes);
}

fuse::Counters::Snapshot FuseClient::counters() const {
  fuse::Counters::Snapshot sum;
  counters_.add_to(sum);
  return sum;
}

void FuseClient::complete(CompletionToken token, std::uint32_t written, bool answered) {
  EXPECT_EQ(token.slot, this);
  ++completions_;
  reply_.answered = answered;
  reply_.written = written;
}

}  // namespace vfs::test
