#include "passthrough/override_stat.h"

#include <sys/stat.h>

#include <array>
#include <charconv>

namespace vfs::passthrough {

namespace {

constexpr std::uint32_t kNoId = 0xFFFFFFFF;
constexpr mode_t kPermissions = 07777;
// The kernel's dev_t has 12 and 20 bits.
constexpr std::uint32_t kMajorMax = 0xFFF;
constexpr std::uint32_t kMinorMax = 0xFFFFF;

struct TypeName {
  std::string_view name;
  mode_t type;
};
constexpr std::array<TypeName, 7> kTypes = {{{"file", S_IFREG},
                                             {"dir", S_IFDIR},
                                             {"symlink", S_IFLNK},
                                             {"pipe", S_IFIFO},
                                             {"socket", S_IFSOCK},
                                             {"block", S_IFBLK},
                                             {"char", S_IFCHR}}};

bool is_device(mode_t type) { return type == S_IFBLK || type == S_IFCHR; }

bool is_type(mode_t type) {
  for (const TypeName& each : kTypes) {
    if (each.type == type) return true;
  }
  return false;
}

// Takes what stands before the next `separator`, or everything, from the front of `rest`.
std::string_view take(std::string_view& rest, char separator) {
  const std::size_t end = rest.find(separator);
  const std::string_view field = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  return field;
}

// Digits of the base and nothing else, at most `max`.
std::optional<std::uint32_t> number(std::string_view digits, std::uint32_t base, std::uint32_t max) {
  if (digits.empty()) return std::nullopt;
  std::uint64_t value = 0;
  for (const char c : digits) {
    if (c < '0' || c >= static_cast<char>('0' + base)) return std::nullopt;
    value = value * base + static_cast<std::uint32_t>(c - '0');
    if (value > max) return std::nullopt;
  }
  return static_cast<std::uint32_t>(value);
}

// Reads TYPE into `overriding`; false: it is no type.
bool parse_type(std::string_view text, OverrideStat& overriding) {
  const std::string_view whole = text;
  const std::string_view name = take(text, '-');
  for (const TypeName& each : kTypes) {
    if (each.name != (is_device(each.type) ? name : whole)) continue;
    // A mode that includes another type contradicts the word.
    if (overriding.type != 0 && overriding.type != each.type) return false;
    overriding.type = each.type;
    if (!is_device(each.type)) return true;
    const std::string_view major_digits = take(text, '-');
    const auto major_number = number(major_digits, 10, kMajorMax);
    const auto minor_number = number(text, 10, kMinorMax);
    if (!major_number.has_value() || !minor_number.has_value()) return false;
    overriding.device_major = *major_number;
    overriding.device_minor = *minor_number;
    return true;
  }
  return false;
}

// Writes numbers and words into a buffer that is large enough for any value.
class Writer {
 public:
  Writer& put(std::string_view text) {
    size_ += text.copy(bytes_.data() + size_, bytes_.size() - size_);
    return *this;
  }
  Writer& put(std::uint32_t value, int base = 10) {
    size_ = static_cast<std::size_t>(
        std::to_chars(bytes_.data() + size_, bytes_.data() + bytes_.size(), value, base).ptr - bytes_.data());
    return *this;
  }
  std::string_view text() const { return {bytes_.data(), size_}; }

 private:
  std::array<char, kOverrideStatBytesMax> bytes_;
  std::size_t size_ = 0;
};

}  // namespace

std::optional<OverrideStat> parse_override_stat(std::string_view value) {
  if (value.size() > kOverrideStatBytesMax) return std::nullopt;
  std::string_view rest = value;
  const auto uid = number(take(rest, ':'), 10, kNoId - 1);
  const auto gid = number(take(rest, ':'), 10, kNoId - 1);
  const bool typed = rest.find(':') != std::string_view::npos;
  const auto mode = number(take(rest, ':'), 8, S_IFMT | kPermissions);
  if (!uid.has_value() || !gid.has_value() || !mode.has_value()) return std::nullopt;
  OverrideStat overriding{GuestUid{*uid}, GuestGid{*gid}, *mode & kPermissions, *mode & S_IFMT};
  if (overriding.type != 0 && !is_type(overriding.type)) return std::nullopt;
  if (typed && !parse_type(rest, overriding)) return std::nullopt;
  return overriding;
}

ShortText format_override_stat(const OverrideStat& overriding) {
  Writer writer;
  // The zero tells readers that guess the base that the mode is octal.
  writer.put(overriding.uid.value).put(":").put(overriding.gid.value).put(":0");
  writer.put(overriding.permissions & kPermissions, 8);
  for (const TypeName& each : kTypes) {
    if (each.type != overriding.type) continue;
    writer.put(":").put(each.name);
    if (is_device(each.type)) writer.put("-").put(overriding.device_major).put("-").put(overriding.device_minor);
  }
  return ShortText::of(writer.text()).value();
}

mode_t shown_mode(const OverrideStat& overriding, mode_t real) {
  const bool stands_for = (real & S_IFMT) == S_IFREG &&
                          (is_device(overriding.type) || overriding.type == S_IFIFO || overriding.type == S_IFSOCK);
  return (stands_for ? overriding.type : real & S_IFMT) | (overriding.permissions & kPermissions);
}

XattrBlock override_stat_block() { return {kOverrideStatName, XattrVerdict::kHidden}; }

}  // namespace vfs::passthrough
