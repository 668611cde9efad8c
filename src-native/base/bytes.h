// Plain bytes in our own memory: the one place outside guest memory where values are copied by representation.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace vfs {

using ByteSpan = std::span<const std::byte>;
using MutableByteSpan = std::span<std::byte>;

// A value that may cross to a guest: copied as bytes, and with no padding, because padding is host memory.
template <typename T>
concept WireValue = std::is_trivially_copyable_v<T> && std::has_unique_object_representations_v<T>;

// Copies min(to.size(), from.size()) bytes and returns their number. The two must not overlap.
inline std::size_t copy_bytes(MutableByteSpan to, ByteSpan from) {
  const std::size_t n = to.size() < from.size() ? to.size() : from.size();
  if (n > 0) std::memcpy(to.data(), from.data(), n);
  return n;
}

// The same bytes as characters, for names; they live as long as `bytes`.
inline std::string_view text_of(ByteSpan bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// The bytes of a value, for as long as the value lives.
template <WireValue T>
ByteSpan bytes_of(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}

// A value from the first sizeof(T) bytes; the caller has checked that there are as many.
template <WireValue T>
T value_from(ByteSpan bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof(T));
  return value;
}

// A value to the first sizeof(T) bytes; the caller has checked that there are as many.
template <WireValue T>
void value_to(MutableByteSpan bytes, const T& value) {
  std::memcpy(bytes.data(), &value, sizeof(T));
}

}  // namespace vfs
