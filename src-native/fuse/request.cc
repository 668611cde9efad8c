// Taking a request in: what the guest sent is copied once, and checked on the copy.
#include "fuse/request.h"

#include <algorithm>

namespace vfs::fuse {

void Request::start(Chain chain) {
  chain_ = std::move(chain);
  has_reply_ = false;
  answered_ = false;
  dropped_ = false;
  written_ = 0;
  header_ = {};
  row_ = nullptr;
  session_ = 0;
  body_.clear();
  outcome_ = {};
  moved_bytes_ = 0;
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

Status Request::take_body(std::size_t limit, bool has_bulk_data, std::size_t fixed_bytes) {
  if (header_.len < sizeof(abi::InHeader)) return Errno(EINVAL);
  const auto length = header_.len - static_cast<std::uint32_t>(sizeof(abi::InHeader));
  if (!chain_.reader.limit_to(length)) return Errno(EINVAL);
  // Extensions follow the parameters (7.38). None that is negotiated today needs reading.
  const std::uint32_t extensions = std::uint32_t{header_.total_extlen} * 8;
  if (extensions > length) return Errno(EINVAL);
  if (!chain_.reader.limit_to(length - extensions)) return Errno(EINVAL);
  const std::uint32_t remaining = chain_.reader.remaining();
  const std::size_t wanted = has_bulk_data ? std::min<std::size_t>(fixed_bytes, remaining) : remaining;
  if (wanted > limit) return Errno(E2BIG);
  body_.resize(wanted);
  return chain_.reader.take_bytes(body_);
}

}  // namespace vfs::fuse
