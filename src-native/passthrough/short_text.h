// ShortText: a text of at most 255 bytes without a NUL inside, held in place. 255 is the longest that the name of a
// directory entry (NAME_MAX) and of an extended attribute (XATTR_NAME_MAX) can be, so names that a request makes up
// need no allocation.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace vfs::passthrough {

class ShortText {
 public:
  static constexpr std::size_t kBytesMax = 255;

  ShortText() { bytes_[0] = '\0'; }

  // The two texts, one after the other; none if they are longer than kBytesMax together.
  static std::optional<ShortText> of(std::string_view head, std::string_view tail = {}) {
    if (head.size() > kBytesMax || tail.size() > kBytesMax - head.size()) return std::nullopt;
    ShortText text;
    head.copy(text.bytes_.data(), head.size());
    tail.copy(text.bytes_.data() + head.size(), tail.size());
    text.size_ = static_cast<std::uint8_t>(head.size() + tail.size());
    text.bytes_[text.size_] = '\0';
    return text;
  }

  const char* c_str() const { return bytes_.data(); }
  std::string_view text() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, kBytesMax + 1> bytes_;  // beyond size_ + 1 whatever was there: only the text is ever shown
  std::uint8_t size_ = 0;
};

}  // namespace vfs::passthrough
