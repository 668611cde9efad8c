#include "fuse/name.h"

#include <linux/limits.h>

namespace vfs::fuse {

Result<std::string_view> Decoder::take_text() {
  std::size_t length = 0;
  while (length < rest_.size() && rest_[length] != std::byte{0}) ++length;
  if (length == rest_.size()) return Errno(EINVAL);
  const std::string_view text = text_of(rest_.first(length));
  rest_ = rest_.subspan(length + 1);
  return text;
}

Result<Name> Decoder::take_name() {
  VFS_TRY(const std::string_view text, take_text());
  if (text.empty() || text == "." || text == "..") return Errno(EINVAL);
  if (text.find('/') != std::string_view::npos) return Errno(EINVAL);
  if (text.size() > NAME_MAX) return Errno(ENAMETOOLONG);
  return Name(text);
}

Result<LinkTarget> Decoder::take_link_target() {
  VFS_TRY(const std::string_view text, take_text());
  if (text.empty()) return Errno(ENOENT);
  if (text.size() >= PATH_MAX) return Errno(ENAMETOOLONG);
  return LinkTarget(text);
}

Result<XattrName> Decoder::take_xattr_name() {
  VFS_TRY(const std::string_view text, take_text());
  if (text.empty() || text.size() > XATTR_NAME_MAX) return Errno(ERANGE);
  return XattrName(text);
}

Result<IgnoredName> Decoder::take_ignored_name() {
  VFS_CHECK(take_text());
  return IgnoredName{};
}

Dots Decoder::take_dots() {
  const std::string_view text = text_of(rest_);
  if (text.starts_with(std::string_view(".\0", 2))) {
    rest_ = rest_.subspan(2);
    return Dots::kSelf;
  }
  if (text.starts_with(std::string_view("..\0", 3))) {
    rest_ = rest_.subspan(3);
    return Dots::kParent;
  }
  return Dots::kNone;
}

Result<ByteSpan> Decoder::take_bytes(std::size_t length) {
  if (length > rest_.size()) return Errno(EINVAL);
  const ByteSpan bytes = rest_.first(length);
  rest_ = rest_.subspan(length);
  return bytes;
}

}  // namespace vfs::fuse
