#include "support/ring_client.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace vfs::test {

std::uint64_t RingClient::send(const FuseRequest& request) {
  FuseRequest numbered = request;
  numbered.unique(next_unique_ += 2);
  const std::vector<std::byte> bytes = numbered.bytes();
  const auto length = static_cast<std::uint32_t>(bytes.size());
  VFS_ASSERT(length <= kCellBytes / 2);
  const bool has_body = length > sizeof(abi::InHeader);
  VFS_ASSERT(driver_.free_descriptors() >= (has_body ? 3U : 2U));
  const GuestAddress at = cell(driver_.next_head(has_body ? 3 : 2));
  driver_.write(at, bytes);
  std::vector<Segment> segments{readable(at.value, sizeof(abi::InHeader))};
  if (has_body) {
    segments.push_back(readable(at.value + sizeof(abi::InHeader), length - std::uint32_t{sizeof(abi::InHeader)}));
  }
  segments.push_back(writable(at.value + kCellBytes / 2, kCellBytes / 2));
  const auto head = driver_.send(segments);
  VFS_ASSERT(head.has_value());
  sent_[*head] = numbered.header();
  return numbered.header().unique;
}

std::optional<RingClient::Answer> RingClient::take() {
  const auto used = driver_.take_used();
  if (!used.has_value()) return std::nullopt;
  const auto found = sent_.find(used->id);
  if (found == sent_.end()) {
    ADD_FAILURE() << "chain " << used->id << " came back, and is not in flight";
    return std::nullopt;
  }
  const abi::InHeader request = found->second;
  sent_.erase(found);
  FuseReply reply;
  reply.answered = true;
  reply.written = used->len;
  if (used->len >= sizeof(abi::OutHeader) && used->len <= kCellBytes / 2) {
    const GuestAddress at{cell(static_cast<std::uint16_t>(used->id)).value + kCellBytes / 2};
    const std::vector<std::byte> bytes = driver_.read(at, used->len);
    reply.header = value_from<abi::OutHeader>(bytes);
    reply.payload.assign(bytes.begin() + sizeof(abi::OutHeader), bytes.end());
  }
  EXPECT_EQ(complaint_about(request, reply, kCellBytes / 2), "") << "opcode " << request.opcode;
  return Answer{request.unique, reply};
}

}  // namespace vfs::test
