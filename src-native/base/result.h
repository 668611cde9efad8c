// Result<T>: a value or the reason why there is none. The core has no exceptions; every operation that can fail
// returns one of these, and the class itself is nodiscard so that no failure is dropped by accident.
//
// Two kinds of failure are kept apart by their type (docs/architecture.md, "Errors"):
//   Result<T>         an operating error: an errno that the guest gets as its answer
//   Result<T, Fault>  a peer's mistake: a malformed ring or chain; it stops the chain or the queue, never the process
#pragma once

#include <cerrno>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "base/assert.h"

namespace vfs {

// An errno value, 1..511 (what FUSE can carry), or one of the internal verdicts below.
class Errno {
 public:
  constexpr explicit Errno(int value) : value_(value) {}
  constexpr int value() const { return value_; }
  friend constexpr bool operator==(Errno, Errno) = default;

 private:
  int value_;
};

// Not an errno and never on the wire: the handler was asked not to wait and would have to. The server runs the
// request again where waiting is allowed (device/thread_pool).
inline constexpr Errno kWouldWait{0x10000};

// "Done, nothing to say".
struct Unit {};

template <typename T, typename E = Errno>
class [[nodiscard]] Result {
  static_assert(!std::is_same_v<T, E>, "a result must tell its value from its error by type");

 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT(google-explicit-constructor)
  Result(E error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return state_.index() == 0; }
  const T& value() const& {
    VFS_ASSERT(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    VFS_ASSERT(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  const E& error() const {
    VFS_ASSERT(!ok());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, E> state_;
};

using Status = Result<Unit>;
inline Status ok_status() { return Unit{}; }

}  // namespace vfs

#define VFS_CONCAT_(a, b) a##b
#define VFS_CONCAT(a, b) VFS_CONCAT_(a, b)

// VFS_TRY(const auto fd, open(...)): the value, or return the error of `expression` from the enclosing function.
#define VFS_TRY(declaration, ...) VFS_TRY_(VFS_CONCAT(vfs_try_, __LINE__), declaration, __VA_ARGS__)
#define VFS_TRY_(name, declaration, ...) \
  auto name = (__VA_ARGS__);             \
  if (!name.ok()) return name.error();   \
  declaration = std::move(name).value()

// VFS_CHECK(do_it()): the same for a result whose value does not matter.
#define VFS_CHECK(...) VFS_CHECK_(VFS_CONCAT(vfs_check_, __LINE__), __VA_ARGS__)
#define VFS_CHECK_(name, ...)                  \
  if (auto name = (__VA_ARGS__); !name.ok()) { \
    return name.error();                       \
  }                                            \
  static_assert(true, "")
