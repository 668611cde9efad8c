// Input: a fuzzer's bytes, taken as decisions. Whatever the bytes are, they mean something: when they run out, every
// further decision is 0, so that a short input is a short test. A change of one byte changes one decision.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "base/bytes.h"

namespace vfs::fuzz {

class Input {
 public:
  explicit Input(ByteSpan bytes) : rest_(bytes) {}

  bool empty() const { return rest_.empty(); }
  ByteSpan rest() const { return rest_; }

  std::uint8_t byte() { return value<std::uint8_t>(); }
  // True in `of_256` of 256 cases, and never once the bytes have run out.
  bool chance(unsigned of_256) { return byte() > 255 - of_256; }

  template <WireValue T>
  T value() {
    std::array<std::byte, sizeof(T)> bytes{};
    const std::size_t taken = copy_bytes(bytes, rest_);
    rest_ = rest_.subspan(taken);
    return value_from<T>(bytes);
  }

  // 0 to `count` - 1; `count` is from 1 to 256.
  std::size_t below(std::size_t count) { return byte() % count; }

  template <typename Table>
  auto pick(const Table& table) {
    return table[below(table.size())];
  }

  // A length of one byte, and then so many bytes, or those that are left.
  ByteSpan bytes() {
    const std::size_t claimed = byte();
    const std::size_t length = std::min(claimed, rest_.size());
    const ByteSpan taken = rest_.first(length);
    rest_ = rest_.subspan(length);
    return taken;
  }
  std::string text() { return std::string(text_of(bytes())); }

 private:
  ByteSpan rest_;
};

}  // namespace vfs::fuzz
