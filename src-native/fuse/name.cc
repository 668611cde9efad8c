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

}  // namespace vfs::fuse
