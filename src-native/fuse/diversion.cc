// Requests that somebody else decides about: other parameters, other data, and a reply that is caught.
#include <algorithm>
#include <utility>

#include "fuse/request.h"

namespace vfs::fuse {

void Request::replace_parameters(ByteSpan parameters) {
  std::vector<std::byte> body(parameters.begin(), parameters.end());
  body.insert(body.end(), body_.end() - extension_bytes_, body_.end());
  body_ = std::move(body);
}

Result<ByteSpan> Request::keep_data(std::uint32_t limit) {
  if (kept_data_ != nullptr) return kept_data_->bytes();
  if (data_bytes() > limit) return Errno(E2BIG);
  std::vector<std::byte> data(data_bytes());
  VFS_CHECK(chain_.reader.take_bytes(data));
  replace_data(std::move(data));
  return kept_data_->bytes();
}

void Request::replace_data(std::vector<std::byte> data) {
  kept_data_ = std::make_unique<PrivateBytes>(std::move(data));
  chain_.reader = kept_data_->reader();
}

void Request::divert(ReplySink& sink, std::uint32_t room) {
  VFS_ASSERT(has_reply_ && !answered_);
  const std::size_t bytes = sizeof(abi::OutHeader) + std::min(room, room_bytes());
  diversion_.reset(new Diversion{&sink, chain_.writer, header_room_, PrivateBytes(std::vector<std::byte>(bytes))});
  chain_.writer = diversion_->reply.writer();
  header_room_ = chain_.writer.split_front(sizeof(abi::OutHeader));
}

// The guest's room is back, and nobody has answered yet.
void Request::caught_reply() {
  ReplySink& sink = *std::exchange(diversion_->sink, nullptr);
  // Only memory of a guest can be gone (finish_dropped), and this was ours.
  VFS_ASSERT(outcome_.replied && written_ >= sizeof(abi::OutHeader));
  diversion_->error = Errno(outcome_.error);
  diversion_->payload_bytes = written_ - static_cast<std::uint32_t>(sizeof(abi::OutHeader));
  chain_.writer = diversion_->room;
  header_room_ = diversion_->header_room;
  answered_ = false;
  written_ = 0;
  outcome_ = {};
  sink.replied(*this);
}

std::optional<Request::Caught> Request::caught() const {
  if (diversion_ == nullptr || diversion_->sink != nullptr) return std::nullopt;
  return Caught{diversion_->error,
                diversion_->reply.bytes().subspan(sizeof(abi::OutHeader), diversion_->payload_bytes)};
}

}  // namespace vfs::fuse
