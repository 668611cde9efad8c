// Taking a request in: what the guest sent is copied once, and checked on the copy.
#include "fuse/request.h"

#include <algorithm>

namespace vfs::fuse {

namespace {

constexpr std::size_t kBodyBytesKept = 16 * 1024;

}  // namespace

void Request::start(Chain chain) {
  chain_ = std::move(chain);
  has_reply_ = false;
  answered_ = false;
  dropped_ = false;
  written_ = 0;
  header_ = {};
  row_ = nullptr;
  session_ = 0;
  // What a rare long request needed is not kept for each place of the ring.
  if (body_.capacity() > kBodyBytesKept) body_ = {};
  body_.clear();
  extension_bytes_ = 0;
  outcome_ = {};
  moved_bytes_ = 0;
  kept_data_.reset();
  diversion_.reset();
  tapped_.reset();
}

bool Request::take_header() {
  const auto header = chain_.reader.take<abi::InHeader>();
  if (!header.ok()) return false;
  header_ = header.value();
  return true;
}

bool Request::reserve_reply() {
  if (chain_.writer.remaining() < sizeof(abi::OutHeader)) return false;
  header_room_ = chain_.writer.split_front(sizeof(abi::OutHeader));
  has_reply_ = true;
  return true;
}

Decoder Request::decoder() const {
  const ByteSpan body(body_);
  const std::size_t parameters = body.size() - extension_bytes_;
  return Decoder(body.first(parameters), body.subspan(parameters));
}

Status Request::take_body(std::size_t limit, bool has_bulk_data, std::size_t fixed_bytes) {
  if (header_.len < sizeof(abi::InHeader)) return Errno(EINVAL);
  const auto length = header_.len - static_cast<std::uint32_t>(sizeof(abi::InHeader));
  if (!chain_.reader.limit_to(length)) return Errno(EINVAL);
  // Extensions follow the parameters (7.38). Behind bulk data there are none that mean anything.
  const std::uint32_t extensions = std::uint32_t{header_.total_extlen} * 8;
  if (extensions > length) return Errno(EINVAL);
  if (has_bulk_data) VFS_ASSERT(chain_.reader.limit_to(length - extensions));
  extension_bytes_ = has_bulk_data ? 0 : extensions;
  const std::uint32_t remaining = chain_.reader.remaining();
  const std::size_t wanted = has_bulk_data ? std::min<std::size_t>(fixed_bytes, remaining) : remaining;
  if (wanted > limit) return Errno(E2BIG);
  body_.resize(wanted);
  return chain_.reader.take_bytes(body_);
}

}  // namespace vfs::fuse
