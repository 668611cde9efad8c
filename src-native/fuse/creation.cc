#include "fuse/creation.h"

#include <linux/limits.h>

#include <algorithm>

#include "fuse/padding.h"

namespace vfs::fuse {

Result<Creation> Creation::parse(ByteSpan extensions) {
  Creation creation;
  bool contexts_seen = false;
  bool groups_seen = false;
  while (!extensions.empty()) {
    if (extensions.size() < sizeof(abi::ExtHeader)) return Errno(EINVAL);
    const auto header = value_from<abi::ExtHeader>(extensions);
    if (header.size < sizeof(abi::ExtHeader) || header.size > extensions.size()) return Errno(EINVAL);
    const ByteSpan record = extensions.subspan(sizeof(header), header.size - sizeof(header));
    if (header.type <= abi::kSecurityContextsMax && !contexts_seen) {
      contexts_seen = true;
      VFS_CHECK(creation.take_contexts(record, header.type));
    } else if (header.type == abi::kExtGroups && !groups_seen) {
      groups_seen = true;
      VFS_CHECK(creation.take_groups(record));
    } else {
      return Errno(EINVAL);
    }
    // The padding of the last one may be missing.
    extensions = extensions.subspan(std::min(padded(header.size), extensions.size()));
  }
  return creation;
}

Status Creation::take_contexts(ByteSpan record, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    if (record.size() < sizeof(abi::Secctx)) return Errno(EINVAL);
    const auto head = value_from<abi::Secctx>(record);
    const ByteSpan rest = record.subspan(sizeof(head));
    const std::string_view text = text_of(rest);
    const std::size_t length = text.find('\0');
    if (length == std::string_view::npos || length == 0 || length > XATTR_NAME_MAX) return Errno(EINVAL);
    const ByteSpan value = rest.subspan(length + 1);
    if (head.size > value.size() || head.size > XATTR_SIZE_MAX) return Errno(EINVAL);
    contexts_[context_count_++] = {text.substr(0, length), value.first(head.size)};
    const std::size_t used = padded(sizeof(head) + length + 1 + head.size);
    record = record.subspan(std::min(used, record.size()));
  }
  return Unit{};
}

Status Creation::take_groups(ByteSpan record) {
  if (record.size() < sizeof(std::uint32_t)) return Errno(EINVAL);
  const auto count = value_from<std::uint32_t>(record);
  record = record.subspan(sizeof(count));
  if (count > kGroupsMax || record.size() < count * sizeof(std::uint32_t)) return Errno(EINVAL);
  for (std::uint32_t i = 0; i < count; ++i) {
    groups_[i] = value_from<std::uint32_t>(record.subspan(i * sizeof(std::uint32_t)));
  }
  group_count_ = count;
  return Unit{};
}

}  // namespace vfs::fuse
